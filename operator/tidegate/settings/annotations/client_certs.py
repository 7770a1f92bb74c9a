"""Annotations of client certificates. They count for the whole host."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.setting import Becomes, OnInvalid, Risk, Scope
from tidegate.settings.texts import CommonNamePattern, Reference
from tidegate.settings.types import Choice, GoBool, Int
from tidegate.settings.urls import ErrorPage

_FAMILY: Final = Family(
    "Client certificates",
    scope=Scope.SERVER,
    on_invalid=OnInvalid.REJECT,
    security=True,
)

AUTH_TLS_SECRET: Final = _FAMILY.setting(
    "auth-tls-secret",
    Reference(namespace_required=True),
    None,
    "The Secret with the authorities whose certificates clients have to show.",
    risk=Risk.MEDIUM,
    on_misfit=OnInvalid.DENY,
)
AUTH_TLS_VERIFY_CLIENT: Final = _FAMILY.setting(
    "auth-tls-verify-client",
    Choice(("on", "off", "optional", "optional_no_ca")),
    "on",
    "Whether a client has to show a certificate, may, or is not asked.",
    risk=Risk.MEDIUM,
    on_invalid=OnInvalid.CLOSED,
    fallback="on",
    inert=("off",),
)
AUTH_TLS_VERIFY_DEPTH: Final = _FAMILY.setting(
    "auth-tls-verify-depth",
    Int(1, 100, zero_means=1),
    1,
    "How many authorities may stand between a certificate and the Secret's root.",
    on_invalid=OnInvalid.CLOSED,
    fallback=1,
)
AUTH_TLS_ERROR_PAGE: Final = _FAMILY.setting(
    "auth-tls-error-page",
    ErrorPage(),
    "",
    "Where clients without a good certificate are sent.",
    risk=Risk.HIGH,
    becomes=Becomes.DATA,
)
AUTH_TLS_PASS_CERTIFICATE_TO_UPSTREAM: Final = _FAMILY.setting(
    "auth-tls-pass-certificate-to-upstream",
    GoBool(),
    False,
    "Whether the backend gets the certificate in the header ssl-client-cert.",
    becomes=Becomes.DATA,
)
AUTH_TLS_MATCH_CN: Final = _FAMILY.setting(
    "auth-tls-match-cn",
    CommonNamePattern(),
    "",
    "A pattern that the subject of the certificate has to match; otherwise 403.",
    risk=Risk.HIGH,
    exact=True,
    becomes=Becomes.DATA,
)
