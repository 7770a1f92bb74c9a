"""ConfigMap keys of rate and connection limits."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.setting import Becomes, OnInvalid, Scope
from tidegate.settings.texts import HashExpression
from tidegate.settings.types import LiteralInt, WeakBool

_FAMILY: Final = Family("Limits", scope=Scope.GLOBAL, becomes=Becomes.GLOBAL)

LIMIT_REQ_STATUS_CODE: Final = _FAMILY.setting(
    "limit-req-status-code", LiteralInt(400, 599), 503, "The status for a request above `limit-rps` or `limit-rpm`."
)
LIMIT_CONN_STATUS_CODE: Final = _FAMILY.setting(
    "limit-conn-status-code", LiteralInt(400, 599), 503, "The status for a request above `limit-connections`."
)
LIMIT_DIVIDE_BY_REPLICAS: Final = _FAMILY.setting(
    "limit-divide-by-replicas",
    WeakBool(),
    False,
    "Whether each replica counts only its share of `limit-rps`, `limit-rpm` and `limit-connections`: the limit divided "
    "by the ready endpoints of `--publish-service`, rounded up. A change of their number reloads once.",
    becomes=Becomes.POLICY,
    on_invalid=OnInvalid.CLOSED,
    fallback=True,
    note="A key of Tidegate's own; there each replica always counts the whole limit.",
)
LIMIT_CONN_ZONE_VARIABLE: Final = _FAMILY.setting(
    "limit-conn-zone-variable",
    HashExpression(known=True),
    "$binary_remote_addr",
    "What counts as one client for all limits. A request for which it is empty is not limited.",
)
