"""How requests of a location reach its backend: the protocol, and what a connection to it is like."""

from __future__ import annotations

from typing import Final, NamedTuple

from tidegate.model import FastCGI, Protocol, Upstream
from tidegate.settings import annotations as ann
from tidegate.settings.resolve import GlobalSettings
from tidegate.translate.acceptance import View
from tidegate.translate.backend_tls import OVER_TLS, TLSSettings, tls_settings
from tidegate.translate.backends import BackendName
from tidegate.translate.fastcgi import Foreign, fastcgi
from tidegate.translate.pem import PemFile
from tidegate.translate.reader import Reader
from tidegate.translate.references import Denied

_PROTOCOLS: Final[dict[str, Protocol]] = {
    "HTTP": "http",
    "HTTPS": "https",
    "AUTO_HTTP": "auto",
    "GRPC": "grpc",
    "GRPCS": "grpcs",
    "FCGI": "fcgi",
}


class UpstreamResult(NamedTuple):
    """`without_effect`: annotations that are asked for and mean nothing here, each with the reason."""

    upstream: Upstream
    files: tuple[PemFile, ...] = ()
    fastcgi: FastCGI = FastCGI()
    without_effect: tuple[tuple[str, str], ...] = ()


_UNVERIFIED: Final = (
    ann.PROXY_SSL_VERIFY.name,
    "has no effect without proxy-ssl-secret, whose ca.crt is what to verify with",
)


def upstream_of(
    view: View,
    backend: BackendName | None,
    inherited: TLSSettings | Denied | None,
    globals_: GlobalSettings,
    reader: Reader,
    *,
    over_tls: bool = False,
) -> UpstreamResult:
    """How to speak to a backend; to the default backend, which None stands for, always plain HTTP.

    HTTP is HTTPS where it is known that the backend wants it (`over_tls`). `inherited` is what the host says about TLS
    to backends. Raises Denied when what is asked for cannot be had, and Refused when it must not be tried.
    """
    namespace = view.ingress.metadata.namespace
    own = tls_settings(view.settings, globals_, namespace, reader)
    complaints: tuple[tuple[str, str], ...] = ()
    try:
        told = fastcgi(view.settings, globals_, namespace, reader)
    except Foreign as foreign:
        told, complaints = FastCGI(), ((ann.FASTCGI_PARAMS_CONFIGMAP.name, str(foreign)),)
    if backend is None:
        return UpstreamResult(Upstream(), without_effect=complaints)
    protocol = _PROTOCOLS[view.settings.get(ann.BACKEND_PROTOCOL)]
    if over_tls and protocol in ("http", "auto"):
        protocol = "https"
    if protocol == "fcgi":
        return UpstreamResult(Upstream(protocol), fastcgi=told, without_effect=complaints)
    if protocol not in OVER_TLS:
        return UpstreamResult(Upstream(protocol), without_effect=complaints)
    tls = own or inherited
    if isinstance(tls, Denied):
        raise tls
    if view.settings.get(ann.PROXY_SSL_VERIFY) and not (tls and tls.tls.verify):
        complaints += (_UNVERIFIED,)
    if tls is None:
        return UpstreamResult(Upstream(protocol), without_effect=complaints)
    return UpstreamResult(Upstream(protocol, tls.towards(backend)), tls.files, without_effect=complaints)
