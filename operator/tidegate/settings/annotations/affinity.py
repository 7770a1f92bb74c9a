"""Annotations of cookie affinity."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.setting import Becomes, Risk
from tidegate.settings.texts import CharClass, SameSite, Text
from tidegate.settings.types import Choice, GoBool
from tidegate.settings.types import CookieAge as Age

_FAMILY: Final = Family("Affinity", becomes=Becomes.DATA)

AFFINITY: Final = _FAMILY.setting(
    "affinity",
    Choice(("cookie",)),
    "",
    "cookie: a client stays with one endpoint by means of a cookie, which other Ingresses of the Service follow.",
    note="Of several Ingresses of one Service each gives the cookie that it asks for.",
)
AFFINITY_MODE: Final = _FAMILY.setting(
    "affinity-mode",
    Choice(("balanced", "persistent")),
    "balanced",
    "Whether sessions move when endpoints are added (balanced) or stay while theirs lives (persistent).",
    risk=Risk.MEDIUM,
)
SESSION_COOKIE_NAME: Final = _FAMILY.setting(
    "session-cookie-name",
    Text(CharClass.BASIC, spaces_ignored=True),
    "INGRESSCOOKIE",
    "The name of the cookie.",
    risk=Risk.MEDIUM,
)
SESSION_COOKIE_PATH: Final = _FAMILY.setting(
    "session-cookie-path",
    Text(CharClass.URL),
    "",
    "The Path of the cookie; unset: the path of the rule as written.",
    risk=Risk.MEDIUM,
)
SESSION_COOKIE_DOMAIN: Final = _FAMILY.setting(
    "session-cookie-domain", Text(CharClass.BASIC), "", "The Domain of the cookie; unset: none.", risk=Risk.MEDIUM
)
SESSION_COOKIE_EXPIRES: Final = _FAMILY.setting(
    "session-cookie-expires",
    Age(),
    None,
    "Seconds from now on that make the Expires of the cookie; unset: none.",
    risk=Risk.MEDIUM,
)
SESSION_COOKIE_MAX_AGE: Final = _FAMILY.setting(
    "session-cookie-max-age",
    Age(),
    None,
    "Seconds that make the Max-Age of the cookie; unset: none.",
    risk=Risk.MEDIUM,
    exact=True,
)
SESSION_COOKIE_SECURE: Final = _FAMILY.setting(
    "session-cookie-secure",
    GoBool(),
    False,
    "Whether the cookie is always Secure; otherwise it is over TLS alone.",
)
SESSION_COOKIE_SAMESITE: Final = _FAMILY.setting(
    "session-cookie-samesite", SameSite(), "", "The SameSite of the cookie; unset: none."
)
SESSION_COOKIE_CONDITIONAL_SAMESITE_NONE: Final = _FAMILY.setting(
    "session-cookie-conditional-samesite-none",
    GoBool(),
    False,
    "Whether SameSite=None is left out for browsers known to read it wrongly.",
)
SESSION_COOKIE_CHANGE_ON_FAILURE: Final = _FAMILY.setting(
    "session-cookie-change-on-failure",
    GoBool(),
    False,
    "Whether a client whose endpoint fails gets another one, with a new cookie.",
)
