"""ConfigMap keys of forwarded headers, client addresses and the PROXY protocol."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.lists import CidrList
from tidegate.settings.nginx_types import GoDuration
from tidegate.settings.setting import Becomes, OnInvalid, Scope
from tidegate.settings.texts import HeaderName, OptionalReference
from tidegate.settings.types import WeakBool

_FAMILY: Final = Family("Forwarded headers", scope=Scope.GLOBAL, becomes=Becomes.GLOBAL)

USE_FORWARDED_HEADERS: Final = _FAMILY.setting(
    "use-forwarded-headers",
    WeakBool(),
    False,
    "Whether scheme, port and host that a client forwards are believed, and its address if its peer is trusted.",
)
ENABLE_REAL_IP: Final = _FAMILY.setting(
    "enable-real-ip",
    WeakBool(),
    False,
    "Whether the client's address comes from `forwarded-for-header` if the peer is in `proxy-real-ip-cidr`.",
)
FORWARDED_FOR_HEADER: Final = _FAMILY.setting(
    "forwarded-for-header", HeaderName(), "X-Forwarded-For", "The request header that carries the client's address."
)
FORWARDED_FOR_PROXY_PROTOCOL_HEADER: Final = _FAMILY.setting(
    "forwarded-for-proxy-protocol-header",
    HeaderName(),
    "X-Forwarded-For-Proxy-Protocol",
    "A header that carries the client's address inside, where forwarded headers meet the PROXY protocol.",
)
FORWARDED_HOST_HEADER: Final = _FAMILY.setting(
    "forwarded-host-header",
    HeaderName(),
    "X-Forwarded-Host",
    "The request header that backends get to see as X-Original-Forwarded-Host.",
)
PROXY_REAL_IP_CIDR: Final = _FAMILY.setting(
    "proxy-real-ip-cidr",
    CidrList(lenient=True, skip_bad=True),
    ("0.0.0.0/0",),
    "Peers whose word about the client's address counts. The default trusts every IPv4 peer and no IPv6 peer.",
    on_invalid=OnInvalid.CLOSED,
    fallback=(),
    note="Elements that are no network are left out; the default does not come back in their place.",
)
COMPUTE_FULL_FORWARDED_FOR: Final = _FAMILY.setting(
    "compute-full-forwarded-for",
    WeakBool(),
    False,
    "Whether X-Forwarded-For continues the chain of a trusted client, instead of beginning with its address.",
)
USE_PROXY_PROTOCOL: Final = _FAMILY.setting(
    "use-proxy-protocol", WeakBool(), False, "Whether every connection has to begin with the PROXY protocol."
)
PROXY_PROTOCOL_HEADER_TIMEOUT: Final = _FAMILY.setting(
    "proxy-protocol-header-timeout",
    GoDuration(),
    5000,
    "Milliseconds to wait for the PROXY line where TLS is passed through.",
)
GENERATE_REQUEST_ID: Final = _FAMILY.setting(
    "generate-request-id", WeakBool(), True, "Whether a request without X-Request-ID gets a random one."
)
PROXY_ADD_ORIGINAL_URI_HEADER: Final = _FAMILY.setting(
    "proxy-add-original-uri-header", WeakBool(), False, "Whether backends get X-Original-URI."
)
PROXY_SET_HEADERS: Final = _FAMILY.setting(
    "proxy-set-headers",
    OptionalReference(),
    None,
    "Headers for every backend from a ConfigMap. They take the place of others of the same name; "
    "an empty value removes one.",
)
