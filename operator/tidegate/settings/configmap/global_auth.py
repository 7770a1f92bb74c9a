"""ConfigMap keys of external authentication for every Ingress, and of the paths that need none."""

from __future__ import annotations

from typing import Final

from tidegate.settings.directives import Directives
from tidegate.settings.family import Family
from tidegate.settings.lists import CacheDurations, CommaList
from tidegate.settings.setting import Becomes, OnInvalid, Scope
from tidegate.settings.texts import CharClass, PlainText, Text
from tidegate.settings.types import Choice, WeakBool
from tidegate.settings.urls import OptionalUrl

_FAMILY: Final = Family(
    "Global authentication",
    scope=Scope.LOCATION,
    becomes=Becomes.POLICY,
    on_invalid=OnInvalid.DENY,
    security=True,
)

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE")

GLOBAL_AUTH_URL: Final = _FAMILY.setting(
    "global-auth-url",
    OptionalUrl(CharClass.PRINTABLE),
    "",
    "The service that is asked about each request, on paths without an `auth-url` of their own.",
)
GLOBAL_AUTH_METHOD: Final = _FAMILY.setting(
    "global-auth-method",
    Choice(("", *METHODS)),
    "",
    "The method of that question; empty: GET.",
    on_invalid=OnInvalid.CLOSED,
    fallback="",
)
GLOBAL_AUTH_SIGNIN: Final = _FAMILY.setting(
    "global-auth-signin",
    OptionalUrl(CharClass.PRINTABLE),
    "",
    "Where a client is sent when the service answers 401; empty: nowhere.",
    on_invalid=OnInvalid.CLOSED,
    fallback="",
)
GLOBAL_AUTH_SIGNIN_REDIRECT_PARAM: Final = _FAMILY.setting(
    "global-auth-signin-redirect-param",
    Text(CharClass.URL),
    "rd",
    "The query parameter that carries the wanted URL there.",
    on_invalid=OnInvalid.CLOSED,
    fallback="rd",
    inert=("",),
)
GLOBAL_AUTH_RESPONSE_HEADERS: Final = _FAMILY.setting(
    "global-auth-response-headers",
    CommaList(CharClass.WORD, "header names", lenient=True, skip_bad=True, longest=128),
    (),
    "Headers of the service's answer that backends get. Elements that are no name of a header are left out.",
    on_invalid=OnInvalid.CLOSED,
    fallback=(),
)
GLOBAL_AUTH_REQUEST_REDIRECT: Final = _FAMILY.setting(
    "global-auth-request-redirect",
    PlainText(),
    "",
    "What the service gets as X-Auth-Request-Redirect; empty: the request URI.",
)
GLOBAL_AUTH_SNIPPET: Final = _FAMILY.setting(
    "global-auth-snippet",
    Directives(),
    (),
    "Lines of NGINX configuration for the question to the service.",
)
GLOBAL_AUTH_CACHE_KEY: Final = _FAMILY.setting(
    "global-auth-cache-key",
    PlainText(),
    "",
    "What distinguishes answers of the service that may be remembered, per host and path; empty: none are.",
    on_invalid=OnInvalid.CLOSED,
    fallback="",
)
GLOBAL_AUTH_CACHE_DURATION: Final = _FAMILY.setting(
    "global-auth-cache-duration",
    CacheDurations(),
    (),
    "How long answers of the service are remembered, by status.",
    on_invalid=OnInvalid.CLOSED,
    fallback=("200 202 401 5m",),
)
GLOBAL_AUTH_ALWAYS_SET_COOKIE: Final = _FAMILY.setting(
    "global-auth-always-set-cookie",
    WeakBool(),
    False,
    "Whether a cookie of the service is added to errors, too.",
    on_invalid=OnInvalid.CLOSED,
    fallback=False,
)
_EXEMPTIONS: Final = Family("Global authentication", scope=Scope.GLOBAL, becomes=Becomes.DATA)

NO_AUTH_LOCATIONS: Final = _EXEMPTIONS.setting(
    "no-auth-locations",
    CommaList(what="path prefixes", lenient=True),
    ("/.well-known/acme-challenge",),
    "Paths of Ingresses, by prefix, that need neither basic nor external authentication.",
    on_invalid=OnInvalid.CLOSED,
    fallback=(),
)
