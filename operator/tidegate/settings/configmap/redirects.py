"""ConfigMap keys of redirects and of strict transport security."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.lists import CommaList
from tidegate.settings.setting import Becomes, Scope
from tidegate.settings.types import Digits, NumberChoice, WeakBool

_FAMILY: Final = Family("Redirects", scope=Scope.LOCATION, becomes=Becomes.DATA)

SSL_REDIRECT: Final = _FAMILY.setting(
    "ssl-redirect", WeakBool(), True, "Whether plain HTTP is sent to HTTPS on hosts that have TLS."
)
FORCE_SSL_REDIRECT: Final = _FAMILY.setting(
    "force-ssl-redirect", WeakBool(), False, "Whether plain HTTP is sent to HTTPS on hosts without TLS, too."
)
HTTP_REDIRECT_CODE: Final = _FAMILY.setting(
    "http-redirect-code",
    NumberChoice((301, 302, 307, 308)),
    308,
    "The status of redirects to HTTPS and between a host and its www name.",
    scope=Scope.GLOBAL,
)
NO_TLS_REDIRECT_LOCATIONS: Final = _FAMILY.setting(
    "no-tls-redirect-locations",
    CommaList(what="path prefixes", lenient=True),
    ("/.well-known/acme-challenge",),
    "Paths of Ingresses, by prefix, that are never redirected to HTTPS.",
    scope=Scope.GLOBAL,
)
RELATIVE_REDIRECTS: Final = _FAMILY.setting(
    "relative-redirects", WeakBool(), False, "Whether NGINX's own redirects to a path stay without scheme and host."
)
USE_PORT_IN_REDIRECTS: Final = _FAMILY.setting(
    "use-port-in-redirects", WeakBool(), False, "Whether redirects name the port."
)
PRESERVE_TRAILING_SLASH: Final = _FAMILY.setting(
    "preserve-trailing-slash", WeakBool(), False, "Whether the redirect to HTTPS keeps a final slash."
)
_HSTS: Final = Family("Redirects", scope=Scope.GLOBAL, becomes=Becomes.GLOBAL)

HSTS: Final = _HSTS.setting("hsts", WeakBool(), True, "Whether HTTPS answers carry Strict-Transport-Security.")
HSTS_MAX_AGE: Final = _HSTS.setting(
    "hsts-max-age", Digits(unit="seconds"), 31536000, "Seconds for which browsers remember it."
)
HSTS_INCLUDE_SUBDOMAINS: Final = _HSTS.setting(
    "hsts-include-subdomains", WeakBool(), True, "Whether it counts for subdomains."
)
HSTS_PRELOAD: Final = _HSTS.setting("hsts-preload", WeakBool(), False, "Whether it asks for browsers' preload lists.")
