"""ConfigMap keys of rate and connection limits."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.setting import Becomes, Scope
from tidegate.settings.texts import HashExpression
from tidegate.settings.types import LiteralInt

_FAMILY: Final = Family("Limits", scope=Scope.GLOBAL, becomes=Becomes.GLOBAL)

LIMIT_REQ_STATUS_CODE: Final = _FAMILY.setting(
    "limit-req-status-code", LiteralInt(400, 599), 503, "The status for a request above `limit-rps` or `limit-rpm`."
)
LIMIT_CONN_STATUS_CODE: Final = _FAMILY.setting(
    "limit-conn-status-code", LiteralInt(400, 599), 503, "The status for a request above `limit-connections`."
)
LIMIT_CONN_ZONE_VARIABLE: Final = _FAMILY.setting(
    "limit-conn-zone-variable",
    HashExpression(known=True),
    "$binary_remote_addr",
    "What counts as one client for all limits. A request for which it is empty is not limited.",
)
