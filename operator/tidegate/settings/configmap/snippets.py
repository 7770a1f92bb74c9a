"""ConfigMap keys with lines of NGINX configuration."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.setting import Becomes, Scope, Support
from tidegate.settings.texts import Snippet

_FAMILY: Final = Family("Snippets", scope=Scope.GLOBAL, becomes=Becomes.GLOBAL, support=Support.NOT_YET)

MAIN_SNIPPET: Final = _FAMILY.setting("main-snippet", Snippet(), "", "Lines at the top level of the configuration.")
HTTP_SNIPPET: Final = _FAMILY.setting("http-snippet", Snippet(), "", "Lines for all of HTTP.")
SERVER_SNIPPET: Final = _FAMILY.setting("server-snippet", Snippet(), "", "Lines for each host, unknown ones included.")
LOCATION_SNIPPET: Final = _FAMILY.setting("location-snippet", Snippet(), "", "Lines for each path of each Ingress.")
STREAM_SNIPPET: Final = _FAMILY.setting("stream-snippet", Snippet(), "", "Lines for TCP and UDP services.")
