"""ConfigMap keys of the client's side: connections, headers, bodies, listeners."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.lists import AddressList, CommaList
from tidegate.settings.nginx_types import BufferPair, Buffers, MimeType
from tidegate.settings.setting import Becomes, Scope, Support
from tidegate.settings.texts import CharClass, OptionalReference
from tidegate.settings.types import LiteralInt, OptionalSize, Size, WeakBool

_FAMILY: Final = Family("Clients", scope=Scope.GLOBAL, becomes=Becomes.GLOBAL)
_MAX_SECONDS: Final = 2**31 - 1

KEEP_ALIVE: Final = _FAMILY.setting(
    "keep-alive",
    LiteralInt(0, _MAX_SECONDS, "seconds"),
    75,
    "Seconds that an idle client connection stays open; 0 closes it after each answer.",
)
KEEP_ALIVE_REQUESTS: Final = _FAMILY.setting(
    "keep-alive-requests", LiteralInt(0, 2**31 - 1), 1000, "Requests that one client connection may carry."
)
CLIENT_HEADER_BUFFER_SIZE: Final = _FAMILY.setting(
    "client-header-buffer-size", Size(1, 2**24), 1024, "Bytes set aside for the head of an ordinary request."
)
LARGE_CLIENT_HEADER_BUFFERS: Final = _FAMILY.setting(
    "large-client-header-buffers",
    BufferPair(),
    Buffers(4, 8192),
    "Number and size of buffers for longer heads. A longer request line gets 414, a longer header line 400.",
)
CLIENT_HEADER_TIMEOUT: Final = _FAMILY.setting(
    "client-header-timeout",
    LiteralInt(1, _MAX_SECONDS, "seconds"),
    60,
    "Seconds that a client has for the head of its request.",
)
CLIENT_BODY_BUFFER_SIZE: Final = _FAMILY.setting(
    "client-body-buffer-size",
    Size(1, 2**30),
    8192,
    "Bytes of a request body that are kept in memory; the rest goes to a file.",
)
CLIENT_BODY_TIMEOUT: Final = _FAMILY.setting(
    "client-body-timeout",
    LiteralInt(1, _MAX_SECONDS, "seconds"),
    60,
    "Seconds between two pieces of a request body.",
)
PROXY_BODY_SIZE: Final = _FAMILY.setting(
    "proxy-body-size",
    Size(giga=True),
    1024**2,
    "The largest request body in bytes; a larger one gets 413. 0 means no limit.",
    scope=Scope.LOCATION,
    becomes=Becomes.POLICY,
)
ENABLE_UNDERSCORES_IN_HEADERS: Final = _FAMILY.setting(
    "enable-underscores-in-headers", WeakBool(), False, "Whether request headers with an underscore reach backends."
)
IGNORE_INVALID_HEADERS: Final = _FAMILY.setting(
    "ignore-invalid-headers", WeakBool(), True, "Whether request headers with odd characters are dropped."
)
HTTP2_MAX_CONCURRENT_STREAMS: Final = _FAMILY.setting(
    "http2-max-concurrent-streams",
    LiteralInt(1, 2**31 - 1),
    128,
    "Requests that may be open at once on one HTTP/2 connection.",
)
USE_HTTP2: Final = _FAMILY.setting("use-http2", WeakBool(), True, "Whether clients may speak HTTP/2.")
ENABLE_MULTI_ACCEPT: Final = _FAMILY.setting(
    "enable-multi-accept", WeakBool(), True, "Whether a worker accepts all waiting connections at once."
)
REUSE_PORT: Final = _FAMILY.setting(
    "reuse-port", WeakBool(), True, "Whether each worker has a listening socket of its own."
)
DISABLE_IPV6: Final = _FAMILY.setting("disable-ipv6", WeakBool(), False, "No IPv6 listeners.")
DISABLE_IPV6_DNS: Final = _FAMILY.setting(
    "disable-ipv6-dns", WeakBool(), False, "Names are not looked up for IPv6 addresses."
)
BIND_ADDRESS: Final = _FAMILY.setting(
    "bind-address", AddressList(), (), "Addresses to listen on in place of all; by family."
)
ENABLE_AIO_WRITE: Final = _FAMILY.setting(
    "enable-aio-write",
    WeakBool(),
    True,
    "Whether files are written by threads.",
    becomes=Becomes.NOTHING,
    support=Support.DEAD,
    note="Workers write files themselves: one that ends after a reload would cut answers that threads still write.",
)
DEFAULT_TYPE: Final = _FAMILY.setting(
    "default-type", MimeType(), "text/html", "The Content-Type of bodies that NGINX itself makes."
)
SERVER_TOKENS: Final = _FAMILY.setting(
    "server-tokens",
    WeakBool(),
    False,
    "Whether answers and error pages name NGINX and its version.",
)
ALLOW_BACKEND_SERVER_HEADER: Final = _FAMILY.setting(
    "allow-backend-server-header", WeakBool(), False, "Whether the Server header of the backend is passed on."
)
HIDE_HEADERS: Final = _FAMILY.setting(
    "hide-headers",
    CommaList(CharClass.WORD, "header names", lenient=True, skip_bad=True, longest=46),  # more is too much for gRPC
    (),
    "Response headers of backends that clients do not see.",
)
ADD_HEADERS: Final = _FAMILY.setting(
    "add-headers", OptionalReference(), None, "A ConfigMap whose entries are response headers of every answer."
)
_OBSOLETE: Final = Family("Clients", scope=Scope.GLOBAL, becomes=Becomes.NOTHING, support=Support.DEAD)

HTTP2_MAX_FIELD_SIZE: Final = _OBSOLETE.setting(
    "http2-max-field-size",
    OptionalSize(),
    None,
    "NGINX no longer has this limit; `large-client-header-buffers` does its work.",
)
HTTP2_MAX_HEADER_SIZE: Final = _OBSOLETE.setting(
    "http2-max-header-size",
    OptionalSize(),
    None,
    "NGINX no longer has this limit; `large-client-header-buffers` does its work.",
)
HTTP2_MAX_REQUESTS: Final = _OBSOLETE.setting(
    "http2-max-requests", LiteralInt(), 0, "NGINX no longer has this limit; `keep-alive-requests` does its work."
)
