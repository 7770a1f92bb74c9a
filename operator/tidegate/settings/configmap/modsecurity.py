"""ConfigMap keys of the web application firewall."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.setting import Becomes, OnInvalid, Scope
from tidegate.settings.texts import Snippet
from tidegate.settings.types import WeakBool

_FAMILY: Final = Family(
    "ModSecurity",
    scope=Scope.LOCATION,
    becomes=Becomes.POLICY,
    on_invalid=OnInvalid.CLOSED,
    security=True,
)

ENABLE_MODSECURITY: Final = _FAMILY.setting(
    "enable-modsecurity", WeakBool(), False, "Whether the firewall inspects requests of every path.", fallback=True
)
ENABLE_OWASP_MODSECURITY_CRS: Final = _FAMILY.setting(
    "enable-owasp-modsecurity-crs", WeakBool(), False, "Whether it uses the OWASP core rules.", fallback=True
)
MODSECURITY_SNIPPET: Final = _FAMILY.setting(
    "modsecurity-snippet", Snippet(), "", "Rules in place of the recommended ones.", on_invalid=OnInvalid.DENY
)
