"""ConfigMap keys with lines of NGINX configuration."""

from __future__ import annotations

from typing import Final

from tidegate.settings.directives import Directives
from tidegate.settings.family import Family
from tidegate.settings.setting import Becomes, Scope, Support

_FAMILY: Final = Family("Snippets", scope=Scope.GLOBAL, becomes=Becomes.GLOBAL)

MAIN_SNIPPET: Final = _FAMILY.setting("main-snippet", Directives(), (), "Lines at the top level of the configuration.")
HTTP_SNIPPET: Final = _FAMILY.setting("http-snippet", Directives(), (), "Lines for all of HTTP.")
SERVER_SNIPPET: Final = _FAMILY.setting(
    "server-snippet", Directives(), (), "Lines for each host, unknown ones included."
)
LOCATION_SNIPPET: Final = _FAMILY.setting("location-snippet", Directives(), (), "Lines for each path of each Ingress.")
STREAM_SNIPPET: Final = _FAMILY.setting(
    "stream-snippet", Directives(), (), "Lines for TCP and UDP services.", support=Support.SUPPORTED
)
