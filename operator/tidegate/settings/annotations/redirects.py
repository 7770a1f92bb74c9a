"""Annotations that redirect."""

from __future__ import annotations

from typing import Final

from tidegate.settings.configmap import redirects as keys
from tidegate.settings.family import Family
from tidegate.settings.setting import Becomes, OnInvalid, Risk, Scope
from tidegate.settings.texts import CharClass, Text
from tidegate.settings.types import GoBool, Int
from tidegate.settings.urls import AbsolutePath, Url

_FAMILY: Final = Family("Redirects", becomes=Becomes.DATA)

APP_ROOT: Final = _FAMILY.setting(
    "app-root",
    AbsolutePath(),
    "",
    "Where a request for exactly / is redirected, with 302. It counts for the whole host.",
    scope=Scope.SERVER,
    risk=Risk.MEDIUM,
    exact=True,
)
PERMANENT_REDIRECT: Final = _FAMILY.setting(
    "permanent-redirect",
    Text(CharClass.URL),
    "",
    "Each request is redirected to this URL; nothing of the request is added to it.",
    risk=Risk.MEDIUM,
    on_invalid=OnInvalid.REJECT,
    exact=True,
)
PERMANENT_REDIRECT_CODE: Final = _FAMILY.setting(
    "permanent-redirect-code",
    Int(300, 308),
    301,
    "The status of `permanent-redirect`.",
    on_invalid=OnInvalid.REJECT,
    on_misfit=OnInvalid.DEFAULT,
)
TEMPORAL_REDIRECT: Final = _FAMILY.setting(
    "temporal-redirect",
    Url(CharClass.URL, any_http=True),
    "",
    "Each request is redirected to this http or https URL. It wins over `permanent-redirect`; with a URL of another"
    " scheme the Ingress redirects nothing but plain HTTP.",
    risk=Risk.MEDIUM,
    on_invalid=OnInvalid.REJECT,
    on_misfit=OnInvalid.DEFAULT,
    exact=True,
)
TEMPORAL_REDIRECT_CODE: Final = _FAMILY.setting(
    "temporal-redirect-code",
    Int(300, 307),
    302,
    "The status of `temporal-redirect`.",
    on_invalid=OnInvalid.REJECT,
    on_misfit=OnInvalid.DEFAULT,
)
FROM_TO_WWW_REDIRECT: Final = _FAMILY.setting(
    "from-to-www-redirect",
    GoBool(),
    False,
    "Whether the host's name with www. (or without, if it has it) is redirected to the host.",
    scope=Scope.SERVER,
    on_invalid=OnInvalid.REJECT,
)
RELATIVE_REDIRECTS: Final = _FAMILY.overriding(
    keys.RELATIVE_REDIRECTS,
    GoBool(),
    "Whether NGINX's own redirects to a path stay without scheme and host.",
    on_invalid=OnInvalid.REJECT,
)
USE_PORT_IN_REDIRECTS: Final = _FAMILY.overriding(
    keys.USE_PORT_IN_REDIRECTS, GoBool(), "Whether redirects name the port."
)
SSL_REDIRECT: Final = _FAMILY.overriding(
    keys.SSL_REDIRECT, GoBool(), "Whether plain HTTP is sent to HTTPS if the host has TLS."
)
FORCE_SSL_REDIRECT: Final = _FAMILY.overriding(
    keys.FORCE_SSL_REDIRECT,
    GoBool(),
    "Whether plain HTTP is sent to HTTPS even if the host has no TLS here.",
    risk=Risk.MEDIUM,
)
PRESERVE_TRAILING_SLASH: Final = _FAMILY.overriding(
    keys.PRESERVE_TRAILING_SLASH,
    GoBool(),
    "Whether the redirect to HTTPS keeps a final slash.",
    risk=Risk.MEDIUM,
)
