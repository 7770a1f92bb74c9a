"""Certificates of clients: from `auth-tls-*` and a Secret to what a host demands (reference: annotations 4.3).

The oldest Ingress of a host that names a Secret decides for the whole host. Where that cannot be carried out, the host
answers 403: to leave the verification out would let everybody in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from tidegate.findings import Finding, ObjectKey, Severity, brief
from tidegate.model import CATCH_ALL, ClientRules, Directive, Verification, VerifyMode
from tidegate.resources.model import Secret
from tidegate.settings import annotations as ann
from tidegate.settings.setting import AnySetting
from tidegate.translate.acceptance import Hold, View
from tidegate.translate.pem import InvalidBundle, PemFile, authorities, revocations
from tidegate.translate.references import foreign
from tidegate.translate.routes import RouteContext, field_of

CLOSED: Final = 403

_MODES: Final[dict[str, VerifyMode]] = {
    "on": "on",
    "off": "off",
    "optional": "optional",
    "optional_no_ca": "optional_no_ca",
}

_OTHERS: Final[tuple[AnySetting, ...]] = (
    ann.AUTH_TLS_VERIFY_CLIENT,
    ann.AUTH_TLS_VERIFY_DEPTH,
    ann.AUTH_TLS_ERROR_PAGE,
    ann.AUTH_TLS_PASS_CERTIFICATE_TO_UPSTREAM,
    ann.AUTH_TLS_MATCH_CN,
)
_ALL: Final[tuple[AnySetting, ...]] = (ann.AUTH_TLS_SECRET, *_OTHERS)
_GROUP: Final = frozenset(setting.name for setting in _ALL)


class ClientCertificates(NamedTuple):
    """What a host demands of clients' certificates, by which Secret.

    `closed` is the status of a host whose demands cannot be carried out, else 0.
    """

    verification: Verification | None = None
    rules: ClientRules | None = None
    closed: int = 0
    files: tuple[PemFile, ...] = ()
    findings: tuple[Finding, ...] = ()
    secret: ObjectKey | None = None

    @property
    def guarded(self) -> bool:
        """Whether the host may be served only where clients are verified."""
        return self.verification is not None and self.verification.mode != "off"


class _Closed(Exception):
    """Why the host cannot be opened."""


def _asks(view: View) -> bool:
    """Whether the Ingress names a Secret, in whatever form: an annotation that is not in force must not open a host."""
    return any(name == ann.AUTH_TLS_SECRET.name for name, _ in view.settings.security_fingerprint)


def _wishes(view: View) -> list[object]:
    return [view.settings.get(setting) for setting in _ALL]


def _finding(view: View, name: str, severity: Severity, reason: str, message: str, context: RouteContext) -> Finding:
    return Finding(view.wanted.key, field_of(view, name, context), severity, reason, message)


def _secret(view: View, context: RouteContext) -> Secret:
    reference = view.settings.get(ann.AUTH_TLS_SECRET)
    if reference is None or view.settings.denials & _GROUP:
        raise _Closed("its client certificate settings cannot be carried out")
    namespace = view.ingress.metadata.namespace
    if fault := foreign("Secret", reference.namespace, namespace, context.globals):
        raise _Closed(fault)
    secret = context.reader.secret(reference.namespace, reference.name)
    if secret is None:
        raise _Closed(f"there is no Secret {reference}")
    return secret


def _verification(view: View, context: RouteContext) -> tuple[Verification, tuple[PemFile, ...], tuple[str, ...]]:
    """The verification, the files that it names, and complaints about them. Raises _Closed."""
    secret = _secret(view, context)
    name = f"{secret.metadata.namespace}/{secret.metadata.name}"
    bundle = secret.data.get("ca.crt")
    if bundle is None:
        raise _Closed(f"the Secret {name} has no key ca.crt")
    try:
        trusted = authorities(bundle)
    except InvalidBundle as error:
        raise _Closed(f"Secret {name}: ca.crt {error}") from None
    files, revoked = [trusted.file], ""
    complaints = [f"Secret {name}: ca.crt {text}" for text in trusted.complaints]
    if (lists := secret.data.get("ca.crl")) is not None:
        try:
            found = revocations(lists, bundle)
        except InvalidBundle as error:
            raise _Closed(f"Secret {name}: ca.crl {error}") from None
        files.append(found.file)
        revoked = found.file.digest
        complaints += [f"Secret {name}: ca.crl {text}" for text in found.complaints]
    settings = view.settings
    verification = Verification(
        trusted.file.digest,
        revoked,
        settings.get(ann.AUTH_TLS_VERIFY_DEPTH),
        _MODES[settings.get(ann.AUTH_TLS_VERIFY_CLIENT)],
    )
    return verification, tuple(files), tuple(complaints)


def _without_secret(views: Iterable[View], context: RouteContext) -> tuple[Finding, ...]:
    """What is said to Ingresses whose settings need a Secret that is not named."""
    message = "has no effect without auth-tls-secret, whose ca.crt is what to verify with"
    return tuple(
        _finding(view, setting.name, Severity.WARNING, "NoEffect", message, context)
        for view in views
        for setting in _OTHERS
        if view.settings.is_set(setting)
    )


def _rules(view: View, snippet: tuple[Directive, ...], context: RouteContext) -> tuple[ClientRules | None, str]:
    """The rules of the Ingress, and what is wrong with its error page."""
    settings = view.settings
    page = settings.get(ann.AUTH_TLS_ERROR_PAGE)
    complaint = ""
    locations = {item.args[-1] for item in snippet if item.name == "location" and item.args}
    if page.startswith("@") and page not in locations:
        complaint = (
            f"found {brief(page)}, allowed: a location that the host's server-snippet has; NGINX's own page is shown"
        )
        page = ""
    rules = ClientRules(
        settings.get(ann.AUTH_TLS_MATCH_CN), page, settings.get(ann.AUTH_TLS_PASS_CERTIFICATE_TO_UPSTREAM)
    )
    return (None if rules == ClientRules() else rules), complaint


def client_certificates(
    name: str, views: list[View], snippet: tuple[Directive, ...], context: RouteContext
) -> ClientCertificates:
    """What the Ingresses of a host (oldest first) demand; `snippet` are the lines that its server has."""
    views = [view for view in views if view.hold is not Hold.NOT_FOUND]
    view = next((view for view in views if _asks(view)), None)
    if view is None:
        return ClientCertificates(findings=_without_secret(views, context))
    losers = [other for other in views if _asks(other) and _wishes(other) != _wishes(view)]
    meta = view.ingress.metadata
    message = f"host {name!r} has the client certificate settings of the older Ingress {meta.namespace}/{meta.name}"
    secret = ann.AUTH_TLS_SECRET.name
    findings = [_finding(other, secret, Severity.WARNING, "Conflict", message, context) for other in losers]
    try:
        verification, files, complaints = _verification(view, context)
        if verification in context.refused:
            raise _Closed(f"NGINX says: {context.refused[verification]}")
        if name == CATCH_ALL and verification.mode != "off":
            raise _Closed("rules without host share the server of all unknown names, which verifies no clients")
    except _Closed as error:
        message = f"{error}; host {name!r} answers {CLOSED}"
        finding = _finding(view, secret, Severity.ERROR, "Denied", message, context)
        return ClientCertificates(closed=CLOSED, findings=(*findings, finding))
    findings += [_finding(view, secret, Severity.WARNING, "ClientAuthority", text, context) for text in complaints]
    rules, complaint = _rules(view, snippet, context)
    if complaint:
        page = ann.AUTH_TLS_ERROR_PAGE.name
        findings.append(_finding(view, page, Severity.WARNING, "NoSuchLocation", complaint, context))
    wanted = None if name == CATCH_ALL else verification
    reference = view.settings.get(ann.AUTH_TLS_SECRET)
    key = ObjectKey("Secret", reference.namespace, reference.name) if reference else None
    return ClientCertificates(wanted, rules, 0, files, tuple(findings), key)
