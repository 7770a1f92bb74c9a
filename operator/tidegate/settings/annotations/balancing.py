"""Annotations that say which backend a request goes to, and how."""

from __future__ import annotations

from typing import Final

from tidegate.settings.configmap import proxying as keys
from tidegate.settings.family import Family
from tidegate.settings.setting import Becomes, OnInvalid, Risk, Scope
from tidegate.settings.texts import HashExpression
from tidegate.settings.types import Choice, GoBool, Int

_FAMILY: Final = Family("Balancing", scope=Scope.UPSTREAM, becomes=Becomes.DATA, on_invalid=OnInvalid.REJECT)

UPSTREAM_HASH_BY: Final = _FAMILY.setting(
    "upstream-hash-by",
    HashExpression(),
    "",
    "Text with NGINX variables; requests for which it comes out equal reach the same endpoint.",
    risk=Risk.HIGH,
)
UPSTREAM_HASH_BY_SUBSET: Final = _FAMILY.setting(
    "upstream-hash-by-subset",
    GoBool(),
    False,
    "Whether the hash chooses a group of endpoints, and chance one of the group.",
)
UPSTREAM_HASH_BY_SUBSET_SIZE: Final = _FAMILY.setting(
    "upstream-hash-by-subset-size",
    Int(1, 2**31 - 1, zero_means=3),
    3,
    "How many endpoints such a group has.",
)
LOAD_BALANCE: Final = _FAMILY.overriding(
    keys.LOAD_BALANCE,
    Choice(("round_robin", "ewma", "chash", "chashsubset", "sticky_balanced", "sticky_persistent")),
    "How requests are spread over endpoints. The names after ewma are accepted and say nothing by themselves.",
)
SERVICE_UPSTREAM: Final = _FAMILY.overriding(
    keys.SERVICE_UPSTREAM,
    GoBool(),
    "Whether requests go to the cluster address of the Service instead of its endpoints.",
    on_invalid=OnInvalid.DEFAULT,
    fallback=False,
)
BACKEND_PROTOCOL: Final = _FAMILY.setting(
    "backend-protocol",
    Choice(("HTTP", "HTTPS", "AUTO_HTTP", "GRPC", "GRPCS", "FCGI"), any_case=True),
    "HTTP",
    "What the backend speaks. AUTO_HTTP: what the client speaks.",
    scope=Scope.LOCATION,
    becomes=Becomes.POLICY,
    on_invalid=OnInvalid.DEFAULT,
    note="Lower case works in every respect.",
)
