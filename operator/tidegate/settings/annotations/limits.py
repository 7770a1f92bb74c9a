"""Annotations that limit requests, connections and bandwidth."""

from __future__ import annotations

from typing import Final

from tidegate.settings.configmap import proxying as keys
from tidegate.settings.family import Family
from tidegate.settings.lists import CidrList
from tidegate.settings.setting import Becomes, OnInvalid
from tidegate.settings.types import Int

_GUARDS: Final = Family("Limits", on_invalid=OnInvalid.REJECT, security=True)
_FAMILY: Final = Family("Limits")
_MAX_INT: Final = 2**31 - 1
# NGINX counts bursts in thousandths: the largest rate times this factor has to fit into 64 bits.
_MAX_FACTOR: Final = 1_000_000

LIMIT_RPS: Final = _GUARDS.setting(
    "limit-rps",
    Int(maximum=_MAX_INT),
    0,
    "Requests per second of one client to the whole Ingress; more get 503. 0 or less: no limit.",
)
LIMIT_RPM: Final = _GUARDS.setting(
    "limit-rpm",
    Int(maximum=_MAX_INT),
    0,
    "Requests per minute of one client to the whole Ingress; more get 503. 0 or less: no limit.",
)
LIMIT_CONNECTIONS: Final = _GUARDS.setting(
    "limit-connections",
    Int(maximum=_MAX_INT),
    0,
    "Requests that one client may have open at once; more get 503. 0 or less: no limit.",
)
LIMIT_ALLOWLIST: Final = _GUARDS.setting(
    "limit-allowlist",
    CidrList(),
    (),
    "Clients that the three limits spare.",
    aliases=("limit-whitelist",),
    becomes=Becomes.DATA,
)
LIMIT_BURST_MULTIPLIER: Final = _FAMILY.setting(
    "limit-burst-multiplier",
    Int(1, _MAX_FACTOR),
    5,
    "How many times a rate a client may send at once before it is limited.",
)
LIMIT_RATE: Final = _FAMILY.overriding(
    keys.LIMIT_RATE,
    Int(0, _MAX_INT, "kilobytes per second"),
    "Kilobytes per second of one answer; 0: no limit. Only where `proxy-buffering` is on.",
)
LIMIT_RATE_AFTER: Final = _FAMILY.overriding(
    keys.LIMIT_RATE_AFTER,
    Int(0, _MAX_INT, "kilobytes"),
    "Kilobytes of an answer before `limit-rate` sets in.",
)
