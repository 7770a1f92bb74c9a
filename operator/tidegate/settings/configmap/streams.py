"""ConfigMap keys of TCP and UDP services."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.nginx_types import Duration
from tidegate.settings.setting import Becomes, Scope
from tidegate.settings.types import Int, LiteralInt, WeakBool

_FAMILY: Final = Family("TCP and UDP", scope=Scope.GLOBAL, becomes=Becomes.GLOBAL)

PROXY_STREAM_TIMEOUT: Final = _FAMILY.setting(
    "proxy-stream-timeout", Duration(), 600_000, "Milliseconds of silence that end a session."
)
PROXY_STREAM_NEXT_UPSTREAM: Final = _FAMILY.setting(
    "proxy-stream-next-upstream", WeakBool(), True, "Whether another endpoint is tried when connecting fails."
)
PROXY_STREAM_NEXT_UPSTREAM_TIMEOUT: Final = _FAMILY.setting(
    "proxy-stream-next-upstream-timeout", Duration(), 600_000, "Milliseconds during which others are tried."
)
PROXY_STREAM_NEXT_UPSTREAM_TRIES: Final = _FAMILY.setting(
    "proxy-stream-next-upstream-tries", LiteralInt(0, 2**31 - 1), 3, "Endpoints that are tried in all; 0: no limit."
)
PROXY_STREAM_RESPONSES: Final = _FAMILY.setting(
    "proxy-stream-responses", Int(0, 2**31 - 1), 1, "Datagrams that a UDP client expects as its answer."
)
