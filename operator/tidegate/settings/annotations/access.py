"""Annotations that let clients in by address."""

from __future__ import annotations

from typing import Final

from tidegate.settings.configmap import access as keys
from tidegate.settings.family import Family
from tidegate.settings.lists import CidrList
from tidegate.settings.setting import Becomes, OnInvalid, Risk
from tidegate.settings.types import Choice

_FAMILY: Final = Family("Access", on_invalid=OnInvalid.DENY, security=True)

ALLOWLIST_SOURCE_RANGE: Final = _FAMILY.overriding(
    keys.WHITELIST_SOURCE_RANGE,
    CidrList(),
    "Clients that may enter; others get 403. It takes the place of the ConfigMap's list.",
    name="allowlist-source-range",
    risk=Risk.MEDIUM,
    aliases=("whitelist-source-range",),
    empty_is_set=True,
    becomes=Becomes.DATA,
)
DENYLIST_SOURCE_RANGE: Final = _FAMILY.overriding(
    keys.DENYLIST_SOURCE_RANGE,
    CidrList(),
    "Clients that get 403, whatever an allow list says. It takes the place of the ConfigMap's list.",
    risk=Risk.MEDIUM,
    empty_is_set=True,
    becomes=Becomes.DATA,
)
SATISFY: Final = _FAMILY.setting(
    "satisfy",
    Choice(("any", "all")),
    "all",
    "Whether a client has to pass address lists and authentication both (all) or one of them (any).",
    on_invalid=OnInvalid.CLOSED,
    fallback="all",
)
