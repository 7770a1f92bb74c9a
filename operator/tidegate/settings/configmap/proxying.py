"""ConfigMap keys that are the defaults of how requests are passed to backends."""

from __future__ import annotations

from typing import Final

from tidegate.settings.directives import WordPair
from tidegate.settings.family import Family
from tidegate.settings.lists import CodeList, NextUpstream
from tidegate.settings.nginx_types import Duration
from tidegate.settings.setting import Becomes, Scope, Setting, Support
from tidegate.settings.texts import CharClass, Text
from tidegate.settings.types import Choice, LiteralInt, OnOff, OptionalSize, Size, WeakBool

_FAMILY: Final = Family("Proxying", scope=Scope.LOCATION, becomes=Becomes.POLICY)
_UPSTREAMS: Final = Family("Proxying", scope=Scope.GLOBAL, becomes=Becomes.GLOBAL)
_MAX_INT: Final = 2**31 - 1
_SECONDS: Final = LiteralInt(1, _MAX_INT, "seconds")

PROXY_CONNECT_TIMEOUT: Final = _FAMILY.setting(
    "proxy-connect-timeout",
    _SECONDS,
    5,
    "Seconds for connecting to a backend; then 504.",
    becomes=Becomes.DATA,
    note="0 is refused: it would end every attempt at once.",
)
PROXY_SEND_TIMEOUT: Final = _FAMILY.setting(
    "proxy-send-timeout",
    _SECONDS,
    60,
    "Seconds between two pieces of a request sent to a backend.",
    becomes=Becomes.DATA,
    note="0 is refused: it would end every attempt at once.",
)
PROXY_READ_TIMEOUT: Final = _FAMILY.setting(
    "proxy-read-timeout",
    _SECONDS,
    60,
    "Seconds between two pieces of a backend's answer, and of silence on a WebSocket; then 504.",
    becomes=Becomes.DATA,
    note="0 is refused: it would end every attempt at once.",
)
PROXY_BUFFERING: Final = _FAMILY.setting(
    "proxy-buffering", OnOff(), False, "Whether answers are collected before they go to the client."
)
PROXY_BUFFERS_NUMBER: Final = _FAMILY.setting(
    "proxy-buffers-number", LiteralInt(2, 2**16), 4, "Buffers for one answer, each of `proxy-buffer-size`."
)
PROXY_BUFFER_SIZE: Final = _FAMILY.setting(
    "proxy-buffer-size", Size(1, 2**30), 4096, "Bytes for the head of an answer; a longer head gives 502."
)
PROXY_BUSY_BUFFERS_SIZE: Final = _FAMILY.setting(
    "proxy-busy-buffers-size",
    OptionalSize(Size(1, 2**30)),
    None,
    "Bytes of an answer that may be on their way to the client while the rest is read.",
)
PROXY_MAX_TEMP_FILE_SIZE: Final = _FAMILY.setting(
    "proxy-max-temp-file-size",
    Size(giga=True),
    1024**3,
    "Bytes of an answer that may be put into a file; 0: none.",
)
PROXY_REQUEST_BUFFERING: Final = _FAMILY.setting(
    "proxy-request-buffering", OnOff(), True, "Whether a request body is read in full before a backend gets it."
)
PROXY_HTTP_VERSION: Final = _FAMILY.setting(
    "proxy-http-version", Choice(("1.0", "1.1")), "1.1", "The HTTP version spoken to backends."
)
PROXY_COOKIE_PATH: Final = _FAMILY.setting(
    "proxy-cookie-path",
    WordPair(),
    None,
    "What to replace, and with what, in the Path of backends' cookies.",
)
PROXY_COOKIE_DOMAIN: Final = _FAMILY.setting(
    "proxy-cookie-domain",
    WordPair(),
    None,
    "What to replace, and with what, in the Domain of backends' cookies.",
)
PROXY_REDIRECT_FROM: Final = _FAMILY.setting(
    "proxy-redirect-from",
    Text(CharClass.URL),
    "off",
    "The beginning of a backend's Location header that is replaced; off: none, default: the backend's address.",
    note="A text other than off and default works here, too; it broke the retired controller's configuration.",
)
PROXY_REDIRECT_TO: Final = _FAMILY.setting(
    "proxy-redirect-to",
    Text(CharClass.URL),
    "off",
    "What takes the place of `proxy-redirect-from`.",
)
PROXY_NEXT_UPSTREAM: Final[Setting[tuple[str, ...]]] = _FAMILY.setting(
    "proxy-next-upstream",
    NextUpstream(),
    ("error", "timeout"),
    "When a request is tried again on another endpoint.",
)
PROXY_NEXT_UPSTREAM_TIMEOUT: Final = _FAMILY.setting(
    "proxy-next-upstream-timeout",
    LiteralInt(0, _MAX_INT, "seconds"),
    0,
    "Seconds during which a request may be tried again; 0: no limit.",
)
PROXY_NEXT_UPSTREAM_TRIES: Final = _FAMILY.setting(
    "proxy-next-upstream-tries",
    LiteralInt(0, _MAX_INT),
    3,
    "Attempts for one request in all; 0: no limit.",
    becomes=Becomes.DATA,
)
RETRY_NON_IDEMPOTENT: Final = _FAMILY.setting(
    "retry-non-idempotent",
    WeakBool(),
    False,
    "Whether POST, LOCK and PATCH are tried again, too, everywhere.",
)
LIMIT_RATE: Final = _FAMILY.setting(
    "limit-rate",
    LiteralInt(0, _MAX_INT, "kilobytes per second"),
    0,
    "Kilobytes per second of one answer; 0: no limit. Only where `proxy-buffering` is on.",
)
LIMIT_RATE_AFTER: Final = _FAMILY.setting(
    "limit-rate-after",
    LiteralInt(0, _MAX_INT, "kilobytes"),
    0,
    "Kilobytes of an answer before `limit-rate` sets in.",
)
LOAD_BALANCE: Final = _FAMILY.setting(
    "load-balance",
    Choice(("round_robin", "ewma")),
    "round_robin",
    "How requests are spread over endpoints where the Ingress does not say.",
    scope=Scope.UPSTREAM,
    becomes=Becomes.DATA,
)
SERVICE_UPSTREAM: Final = _FAMILY.setting(
    "service-upstream",
    WeakBool(),
    False,
    "Whether requests go to the cluster address of a Service instead of its endpoints.",
    scope=Scope.UPSTREAM,
    becomes=Becomes.DATA,
)
UPSTREAM_KEEPALIVE_CONNECTIONS: Final = _UPSTREAMS.setting(
    "upstream-keepalive-connections",
    LiteralInt(0, 2**20),
    320,
    "Idle connections to backends that each worker keeps; 0: none, and backends are told to close.",
)
UPSTREAM_KEEPALIVE_TIME: Final = _UPSTREAMS.setting(
    "upstream-keepalive-time",
    Duration(),
    3_600_000,
    "Milliseconds after which a connection to a backend is not reused.",
)
UPSTREAM_KEEPALIVE_TIMEOUT: Final = _UPSTREAMS.setting(
    "upstream-keepalive-timeout",
    LiteralInt(0, _MAX_INT, "seconds"),
    60,
    "Seconds that an idle connection to a backend is kept.",
)
UPSTREAM_KEEPALIVE_REQUESTS: Final = _UPSTREAMS.setting(
    "upstream-keepalive-requests", LiteralInt(1, _MAX_INT), 10000, "Requests that one connection to a backend carries."
)
GRPC_BUFFER_SIZE_KB: Final = _UPSTREAMS.setting(
    "grpc-buffer-size-kb",
    LiteralInt(0, 2**20, "kilobytes"),
    0,
    "Kilobytes for reading a gRPC answer; 0: NGINX's default.",
)
CUSTOM_HTTP_ERRORS: Final = _FAMILY.setting(
    "custom-http-errors",
    CodeList(300, 599, lenient=True),
    (),
    "Status codes whose answers come from the default backend instead. Elements that are no such code are left out.",
)
DISABLE_PROXY_INTERCEPT_ERRORS: Final = _FAMILY.setting(
    "disable-proxy-intercept-errors",
    WeakBool(),
    False,
    "Whether errors made by backends pass, so that only NGINX's own ones are replaced.",
)
PROXY_HEADERS_HASH_MAX_SIZE: Final = _UPSTREAMS.setting(
    "proxy-headers-hash-max-size", LiteralInt(1, 2**24), 512, "Size of an NGINX hash table."
)
PROXY_HEADERS_HASH_BUCKET_SIZE: Final = _UPSTREAMS.setting(
    "proxy-headers-hash-bucket-size", LiteralInt(1, 2**16), 64, "Bucket size of an NGINX hash table."
)
PROXY_SSL_LOCATION_ONLY: Final = _FAMILY.setting(
    "proxy-ssl-location-only",
    WeakBool(),
    False,
    "Whether proxy-ssl-* of an Ingress stay with its own paths instead of the whole host.",
)
_UNREAD: Final = Family("Proxying", scope=Scope.GLOBAL, becomes=Becomes.NOTHING, support=Support.DEAD)

APP_ROOT: Final = _UNREAD.dead("app-root", "Only the annotation of this name acts.")
UPSTREAM_HASH_BY: Final = _UNREAD.dead("upstream-hash-by", "Only the annotation of this name acts.")
UPSTREAM_HASH_BY_SUBSET: Final = _UNREAD.dead("upstream-hash-by-subset", "Only the annotation of this name acts.")
UPSTREAM_HASH_BY_SUBSET_SIZE: Final = _UNREAD.dead(
    "upstream-hash-by-subset-size", "Only the annotation of this name acts."
)
