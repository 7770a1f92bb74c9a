"""Annotations of canaries: a second Service for a share of a route's requests."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.setting import Becomes, Risk, Scope
from tidegate.settings.texts import CharClass, Text
from tidegate.settings.types import Choice, GoBool, Int

_FAMILY: Final = Family("Canary", scope=Scope.UPSTREAM, becomes=Becomes.DATA)
_TEXT: Final = Text(CharClass.BASIC, spaces_ignored=True)

CANARY: Final = _FAMILY.setting(
    "canary",
    GoBool(),
    False,
    "Whether this Ingress gives another Service to the same paths of an ordinary Ingress. The other canary-* need it.",
    note="Several canaries of one path all count, not just the oldest.",
)
CANARY_BY_HEADER: Final = _FAMILY.setting(
    "canary-by-header",
    _TEXT,
    "",
    "A request header that decides: always goes to the canary, never does not, anything else leaves it open.",
    risk=Risk.MEDIUM,
)
CANARY_BY_HEADER_VALUE: Final = _FAMILY.setting(
    "canary-by-header-value",
    _TEXT,
    "",
    "The one value of that header that goes to the canary; any other leaves it open.",
    risk=Risk.MEDIUM,
)
CANARY_BY_HEADER_PATTERN: Final = _FAMILY.setting(
    "canary-by-header-pattern",
    Text(CharClass.REGEX),
    "",
    "A pattern for the values of that header that go to the canary. With one that does not compile, requests with the"
    " header do not go there.",
    risk=Risk.MEDIUM,
    exact=True,
)
CANARY_BY_COOKIE: Final = _FAMILY.setting(
    "canary-by-cookie",
    _TEXT,
    "",
    "A cookie that decides: always goes to the canary, never does not, anything else leaves it open.",
    risk=Risk.MEDIUM,
)
CANARY_WEIGHT: Final = _FAMILY.setting(
    "canary-weight", Int(), 0, "How many of `canary-weight-total` requests go to the canary when nothing else decides."
)
CANARY_WEIGHT_TOTAL: Final = _FAMILY.setting(
    "canary-weight-total", Int(), 100, "What `canary-weight` is a share of; less than 100 counts as 100."
)
AFFINITY_CANARY_BEHAVIOR: Final = _FAMILY.setting(
    "affinity-canary-behavior",
    Choice(("sticky", "legacy")),
    "sticky",
    "Whether clients with a session cookie stay with the canary (sticky) or are decided anew each time (legacy).",
)
