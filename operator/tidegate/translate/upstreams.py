"""How requests of a location reach its backend: the protocol, and what a connection to it is like."""

from __future__ import annotations

from typing import Final, NamedTuple

from tidegate.model import Protocol, Upstream
from tidegate.settings import annotations as ann
from tidegate.settings.resolve import GlobalSettings
from tidegate.translate.acceptance import View
from tidegate.translate.authentication import Denied
from tidegate.translate.backend_tls import OVER_TLS, PemFile, TLSSettings, tls_settings
from tidegate.translate.backends import BackendName
from tidegate.translate.reader import Reader

_PROTOCOLS: Final[dict[str, Protocol]] = {
    "HTTP": "http",
    "HTTPS": "https",
    "AUTO_HTTP": "auto",
    "GRPC": "grpc",
    "GRPCS": "grpcs",
    "FCGI": "fcgi",
}


class UpstreamResult(NamedTuple):
    """`unverified`: the Ingress asks for verification and names no Secret to verify with, so that it has no effect."""

    upstream: Upstream
    files: tuple[PemFile, ...] = ()
    unverified: bool = False


def upstream_of(
    view: View,
    backend: BackendName | None,
    inherited: TLSSettings | Denied | None,
    globals_: GlobalSettings,
    reader: Reader,
) -> UpstreamResult:
    """How to speak to a backend; to the default backend, which None stands for, always plain HTTP.

    `inherited` is what the host says about TLS to backends. Raises Denied when what is asked for cannot be had.
    """
    own = tls_settings(view.settings, globals_, view.ingress.metadata.namespace, reader)
    if backend is None:
        return UpstreamResult(Upstream())
    protocol = _PROTOCOLS[view.settings.get(ann.BACKEND_PROTOCOL)]
    if protocol not in OVER_TLS:
        return UpstreamResult(Upstream(protocol))
    wanted = view.settings.get(ann.PROXY_SSL_VERIFY)
    tls = own or inherited
    if tls is None:
        return UpstreamResult(Upstream(protocol), unverified=wanted)
    if isinstance(tls, Denied):
        raise tls
    return UpstreamResult(Upstream(protocol, tls.towards(backend)), tls.files, wanted and not tls.tls.verify)
