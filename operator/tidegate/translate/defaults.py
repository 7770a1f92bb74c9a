"""What is served where no host says otherwise: the backend and the certificate that flags name."""

from __future__ import annotations

import msgspec

from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.model import Certificate, CertificateInfo, Labels, Match, Route
from tidegate.resources.changes import Wish
from tidegate.settings.resolve import GlobalSettings
from tidegate.store import Store
from tidegate.translate.backends import BackendName
from tidegate.translate.certificates import InvalidCertificate, parse_secret
from tidegate.translate.fetched import complete
from tidegate.translate.options import Options
from tidegate.translate.reader import Reader


class DefaultRoute(msgspec.Struct, frozen=True):
    """What the data plane needs for requests that no host takes by its name; `default_backend` may be empty.

    `host_patterns` are aliases that begin with `~`, in the order in which they are tried.
    """

    default_backend: str
    default_route: Route
    host_patterns: tuple[str, ...] = ()


class Defaults:
    """The default backend and certificate as the store has them now."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.backend: BackendName | None = None
        self.certificate: Certificate | None = None
        self.info: CertificateInfo | None = None
        self.wishes: tuple[Wish, ...] = ()
        self.findings: tuple[Finding, ...] = ()

    def update(self, store: Store, settings: GlobalSettings) -> None:
        """Look again at both; what is missing becomes a finding."""
        found: list[Finding | None] = []
        if self._options.default_backend is not None:
            found.append(self._update_backend(store, self._options.default_backend))
        if self._options.default_certificate is not None:
            found.append(self._update_certificate(store, self._options.default_certificate, settings))
        self.findings = tuple(finding for finding in found if finding is not None)

    def route(self, host_patterns: tuple[str, ...]) -> DefaultRoute:
        name = self.backend
        return DefaultRoute(str(name) if name else "", Route(Match.PREFIX, "/", Labels()), host_patterns)

    def _update_backend(self, store: Store, key: ObjectKey) -> Finding | None:
        service = store.service(key.namespace, key.name)
        if service is None or not service.ports:
            self.backend = None
            return Finding(key, "", Severity.WARNING, "BackendNotFound", "the default backend's Service is missing")
        self.backend = BackendName(key.namespace, key.name, service.ports[0].port)
        return None

    def _update_certificate(self, store: Store, key: ObjectKey, settings: GlobalSettings) -> Finding | None:
        self.certificate = self.info = None
        self.wishes = ()
        secret = store.secret(key.namespace, key.name)
        message = "the default certificate's Secret is missing"
        if secret is not None:
            try:
                bundle = parse_secret(secret)
            except InvalidCertificate as error:
                message = str(error)
            else:
                completed = complete(bundle, settings, self._options, Reader(store))
                self.wishes = completed.wishes
                self.certificate = Certificate("_", (completed.bundle.pair,))
                self.info = bundle.info
                return None
        return Finding(key, "", Severity.WARNING, "CertificateInvalid", f"{message}; a self-signed one is shown")
