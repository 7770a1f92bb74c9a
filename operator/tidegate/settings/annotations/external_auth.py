"""Annotations of authentication by another service."""

from __future__ import annotations

from typing import Final

from tidegate.settings.configmap.global_auth import METHODS
from tidegate.settings.directives import Directives
from tidegate.settings.family import Family
from tidegate.settings.lists import CacheDurations, CommaList
from tidegate.settings.setting import Becomes, OnInvalid, Risk
from tidegate.settings.texts import CharClass, HashExpression, Reference, Text
from tidegate.settings.types import Choice, GoBool, Int
from tidegate.settings.urls import Url

_FAMILY: Final = Family("External authentication", on_invalid=OnInvalid.DENY, security=True)
_CLOSED: Final = OnInvalid.CLOSED

AUTH_URL: Final = _FAMILY.setting(
    "auth-url",
    Url(CharClass.URLVAR),
    "",
    "The service that is asked about each request: 2xx lets it in, 401 and 403 are passed on.",
    risk=Risk.HIGH,
    on_invalid=OnInvalid.REJECT,
    on_misfit=OnInvalid.DENY,
)
AUTH_METHOD: Final = _FAMILY.setting(
    "auth-method", Choice(METHODS), "GET", "The method of that question.", becomes=Becomes.DATA
)
AUTH_SIGNIN: Final = _FAMILY.setting(
    "auth-signin",
    Text(CharClass.URLVAR),
    "",
    "Where a client without valid credentials is redirected, with the wanted URL in the query.",
    risk=Risk.HIGH,
    on_invalid=_CLOSED,
    fallback="",
    becomes=Becomes.DATA,
)
AUTH_SIGNIN_REDIRECT_PARAM: Final = _FAMILY.setting(
    "auth-signin-redirect-param",
    Text(CharClass.URL),
    "rd",
    "The query parameter that carries the wanted URL.",
    risk=Risk.MEDIUM,
    on_invalid=_CLOSED,
    fallback="rd",
    becomes=Becomes.DATA,
)
AUTH_RESPONSE_HEADERS: Final = _FAMILY.setting(
    "auth-response-headers",
    CommaList(CharClass.WORD, "header names", longest=128),
    (),
    "Headers of the service's answer that the backend gets in place of the client's.",
    risk=Risk.MEDIUM,
)
AUTH_PROXY_SET_HEADERS: Final = _FAMILY.setting(
    "auth-proxy-set-headers",
    Reference(namespace_required=True),
    None,
    "A ConfigMap whose entries are headers of the question.",
    risk=Risk.MEDIUM,
    note="Any bad value denies; a foreign character used to leave the headers out.",
)
AUTH_REQUEST_REDIRECT: Final = _FAMILY.setting(
    "auth-request-redirect",
    Text(CharClass.URL),
    "",
    "What the service gets as X-Auth-Request-Redirect; unset: the request URI.",
    risk=Risk.MEDIUM,
    note="A bad value denies; it used to switch authentication off.",
    becomes=Becomes.DATA,
)
AUTH_CACHE_KEY: Final = _FAMILY.setting(
    "auth-cache-key",
    HashExpression(),
    "",
    "What distinguishes answers of the service that may be remembered, per host and path; unset: none are.",
    risk=Risk.MEDIUM,
    on_invalid=_CLOSED,
    fallback="",
    becomes=Becomes.DATA,
)
AUTH_CACHE_DURATION: Final = _FAMILY.setting(
    "auth-cache-duration",
    CacheDurations(),
    ("200 202 401 5m",),
    "How long answers of the service are remembered, by status.",
    risk=Risk.MEDIUM,
    note="A bad value denies; it used to switch authentication off.",
    becomes=Becomes.DATA,
)
AUTH_ALWAYS_SET_COOKIE: Final = _FAMILY.setting(
    "auth-always-set-cookie",
    GoBool(),
    False,
    "Whether a cookie of the service is added to errors, too.",
    note="A bad value denies; it used to switch authentication off.",
    becomes=Becomes.DATA,
)
AUTH_KEEPALIVE: Final = _FAMILY.setting(
    "auth-keepalive",
    Int(),
    0,
    "Idle connections to the service that are kept.",
    on_invalid=_CLOSED,
    fallback=0,
)
AUTH_KEEPALIVE_SHARE_VARS: Final = _FAMILY.setting(
    "auth-keepalive-share-vars",
    GoBool(),
    False,
    "Whether the question shares variables with the request.",
    on_invalid=_CLOSED,
    fallback=False,
    note="A question is NGINX's own and always shares them.",
)
AUTH_KEEPALIVE_REQUESTS: Final = _FAMILY.setting(
    "auth-keepalive-requests",
    Int(),
    1000,
    "Questions that one connection carries; 0 or less: connections are not kept.",
    on_invalid=_CLOSED,
    fallback=0,
)
AUTH_KEEPALIVE_TIMEOUT: Final = _FAMILY.setting(
    "auth-keepalive-timeout",
    Int(unit="seconds"),
    60,
    "Seconds that an idle connection is kept; 0 or less: connections are not kept.",
    on_invalid=_CLOSED,
    fallback=0,
)
AUTH_SNIPPET: Final = _FAMILY.setting(
    "auth-snippet",
    Directives(),
    (),
    "Lines of NGINX configuration for the question to the service.",
    risk=Risk.CRITICAL,
)
ENABLE_GLOBAL_AUTH: Final = _FAMILY.setting(
    "enable-global-auth",
    GoBool(),
    True,
    "Whether the ConfigMap's `global-auth-url` guards this Ingress.",
    on_invalid=_CLOSED,
    fallback=True,
    inert=(False,),
)
