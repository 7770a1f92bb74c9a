"""TLS towards backends: from `proxy-ssl-*` and a Secret to what a connection has to be like (reference: annotations 9).

An Ingress with `proxy-ssl-secret` says it for its own paths and, unless the ConfigMap says `proxy-ssl-location-only`,
the oldest such Ingress of a host also for the paths of others that have none. What cannot be carried out closes all of
these paths: to leave a verification out would be to trust anybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from msgspec.structs import replace

from tidegate.model import BackendTLS, Protocol
from tidegate.resources.model import Secret
from tidegate.settings import annotations as ann
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings, IngressSettings
from tidegate.translate.acceptance import Hold, View
from tidegate.translate.backends import BackendName
from tidegate.translate.certificates import InvalidCertificate, parse_secret
from tidegate.translate.expressions import UnsoundExpression, check_variables
from tidegate.translate.pem import InvalidBundle, PemFile, authorities, pem_file
from tidegate.translate.reader import Reader
from tidegate.translate.references import Denied, named_secret

OVER_TLS: Final[tuple[Protocol, ...]] = ("https", "auto", "grpcs")


class TLSSettings(NamedTuple):
    """The settings of one Ingress, and the files that they name."""

    tls: BackendTLS
    files: tuple[PemFile, ...]

    def towards(self, backend: BackendName) -> BackendTLS:
        """The same for one backend: a certificate that is asked for without a name has to be for the upstream's."""
        if self.tls.name or not (self.tls.verify or self.tls.server_name):
            return self.tls
        return replace(self.tls, name=f"{backend.namespace}-{backend.service}-{backend.port}")


def _secret(settings: IngressSettings, globals_: GlobalSettings, namespace: str, reader: Reader) -> Secret:
    reference = settings.get(ann.PROXY_SSL_SECRET)
    assert reference is not None
    return named_secret(ann.PROXY_SSL_SECRET.name, reference, namespace, globals_, reader)


def tls_settings(
    settings: IngressSettings, globals_: GlobalSettings, namespace: str, reader: Reader
) -> TLSSettings | None:
    """What an Ingress says about TLS to its backends; None when it has no `proxy-ssl-secret`, which all else needs.

    Raises Denied when it cannot be carried out.
    """
    if settings.get(ann.PROXY_SSL_SECRET) is None:
        return None
    secret = _secret(settings, globals_, namespace, reader)
    name = f"{secret.metadata.namespace}/{secret.metadata.name}"
    shown = trusted = None
    if secret.data.keys() & {"tls.crt", "tls.key"}:
        try:
            pair = parse_secret(secret).pair
        except InvalidCertificate as error:
            raise Denied(ann.PROXY_SSL_SECRET.name, f"Secret {name}: {error}") from None
        shown = pem_file(pair.chain + pair.key)
    verify = settings.get(ann.PROXY_SSL_VERIFY)
    if verify:
        if "ca.crt" not in secret.data:
            raise Denied(ann.PROXY_SSL_VERIFY.name, f"the Secret {name} has no key ca.crt to verify with")
        try:
            trusted = authorities(secret.data["ca.crt"]).file
        except InvalidBundle as error:
            raise Denied(ann.PROXY_SSL_SECRET.name, f"Secret {name}: ca.crt {error}") from None
    elif shown is None and "ca.crt" not in secret.data:
        raise Denied(ann.PROXY_SSL_SECRET.name, f"the Secret {name} has none of tls.crt, tls.key and ca.crt")
    server_name = settings.get(ann.PROXY_SSL_SERVER_NAME)
    if verify or server_name:
        try:
            check_variables(settings.get(ann.PROXY_SSL_NAME), settings.globals.own_variables)
        except UnsoundExpression as error:
            raise Denied(ann.PROXY_SSL_NAME.name, str(error)) from None
    tls = BackendTLS(
        certificate=shown.digest if shown else "",
        trusted=trusted.digest if trusted else "",
        verify=verify,
        depth=settings.get(ann.PROXY_SSL_VERIFY_DEPTH) if verify else 1,
        name=settings.get(ann.PROXY_SSL_NAME) if verify or server_name else "",
        server_name=server_name,
        protocols=settings.get(ann.PROXY_SSL_PROTOCOLS),
        ciphers=settings.get(ann.PROXY_SSL_CIPHERS),
    )
    return TLSSettings(tls, tuple(file for file in (shown, trusted) if file))


_OWN: Final = frozenset({ann.PROXY_SSL_SECRET.name, ann.PROXY_SSL_VERIFY.name})


def tls_of_host(views: Iterable[View], globals_: GlobalSettings, reader: Reader) -> TLSSettings | Denied | None:
    """What holds for paths of a host whose Ingress says nothing itself; `views` are its Ingresses, oldest first."""
    if globals_.get(cm.PROXY_SSL_LOCATION_ONLY):
        return None
    for view in views:
        settings = view.settings
        if view.hold is Hold.NOT_FOUND or not (settings.denials & _OWN or settings.is_set(ann.PROXY_SSL_SECRET)):
            continue
        meta = view.ingress.metadata
        try:
            if settings.denials & _OWN:
                raise Denied("", "one of its proxy-ssl-* is invalid")
            return tls_settings(settings, globals_, meta.namespace, reader)
        except Denied as denied:
            return Denied("", f"TLS to backends of this host is set by Ingress {meta.namespace}/{meta.name}: {denied}")
    return None
