"""Which certificates a host shows (reference: behaviour 5).

The oldest Ingress with a `tls` section decides, by the first entry that lists the host, else by the first Secret that
is good for it. Further entries for the host may add a certificate with a key of another kind, such as ECDSA beside RSA.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tidegate.findings import Finding, Severity
from tidegate.model import CATCH_ALL, Certificate
from tidegate.resources.changes import Wish
from tidegate.resources.model import IngressTLS
from tidegate.translate.acceptance import Hold, View
from tidegate.translate.certificates import Bundle, InvalidCertificate, covers, parse_secret
from tidegate.translate.fetched import complete
from tidegate.translate.routes import RouteContext


class HostCertificates(NamedTuple):
    """One bundle for each kind of key, what is to be fetched about them, and what was found on the way."""

    bundles: tuple[Bundle, ...] = ()
    wishes: tuple[Wish, ...] = ()
    findings: tuple[Finding, ...] = ()

    def of(self, name: str) -> Certificate | None:
        """What is shown for a name; None for the default certificate."""
        pairs = tuple(bundle.pair for bundle in self.bundles if covers(bundle.names, name))
        return Certificate(name, pairs) if pairs else None


Entry = tuple[int, IngressTLS]


class _Search:
    """Reads the Secrets of one Ingress for one host."""

    def __init__(self, name: str, view: View, context: RouteContext) -> None:
        self._name, self._view, self._context = name, view, context
        self.findings: list[Finding] = []
        self.wishes: list[Wish] = []

    def say(self, field: str, message: str) -> None:
        self.findings.append(Finding(self._view.wanted.key, field, Severity.WARNING, "CertificateInvalid", message))

    def read(self, entry: Entry, instead: str, *, must_cover: bool) -> Bundle | None:
        """The bundle of an entry if it is good for the host; `instead` is what is said to happen without it."""
        number, tls = entry
        if not tls.secret_name:
            return None
        namespace = self._view.ingress.metadata.namespace
        field = f"spec.tls[{number}].secretName"
        secret = self._context.reader.secret(namespace, tls.secret_name)
        if secret is None:
            self.say(field, f"there is no Secret {namespace}/{tls.secret_name}; {instead}")
            return None
        try:
            bundle = parse_secret(secret)
        except InvalidCertificate as error:
            self.say(field, f"Secret {namespace}/{tls.secret_name}: {error}; {instead}")
            return None
        if not covers(bundle.names, self._name):
            if must_cover:
                names = ", ".join(bundle.names) or "no name"
                self.say(field, f"the certificate is for {names}, not for {self._name!r}; {instead}")
            return None
        context = self._context
        completed = complete(bundle, context.globals, context.options, context.reader)
        self.wishes += completed.wishes
        return completed.bundle

    def first(self, entries: Sequence[Entry], *, listed: bool) -> Bundle | None:
        for entry in entries:
            if bundle := self.read(entry, "the default certificate is shown", must_cover=listed):
                return bundle
        return None

    def others(self, entries: Sequence[Entry], first: Bundle) -> list[Bundle]:
        """Those with keys of other kinds than the first one's, one of each."""
        found = {first.info.algorithm: first}
        for entry in entries:
            bundle = self.read(entry, "it is left out", must_cover=True)
            if bundle is not None:
                found.setdefault(bundle.info.algorithm, bundle)
        return list(found.values())[1:]


def find_certificates(name: str, views: list[View], context: RouteContext) -> HostCertificates:
    """The certificates of a host whose Ingresses these are, oldest first."""
    view = next((view for view in views if view.ingress.tls and view.hold is not Hold.NOT_FOUND), None)
    if view is None or name == CATCH_ALL:
        return HostCertificates()
    search = _Search(name, view, context)
    entries = list(enumerate(view.ingress.tls))
    listed = [(number, tls) for number, tls in entries if name in (host.lower() for host in tls.hosts)]
    first = search.first(listed[:1] or entries, listed=bool(listed))
    bundles = (first, *search.others(listed[1:], first)) if first else ()
    if not first and not listed and not search.findings and any(tls.secret_name for _, tls in entries):
        search.say("spec.tls", f"no certificate listed here is for {name!r}; the default certificate is shown")
    return HostCertificates(bundles, tuple(search.wishes), tuple(search.findings))
