"""What makes a host need a native `server` of its own (reference: annotations 0.1, server effect).

Settings of the server come from the oldest Ingress of the host that sets them, one by one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.model import CATCH_ALL, ServerProfile
from tidegate.settings import annotations as ann
from tidegate.settings.setting import Setting
from tidegate.translate.acceptance import Hold, View
from tidegate.translate.client_certs import ClientCertificates, client_certificates
from tidegate.translate.routes import RouteContext, field_of


class OwnServer(NamedTuple):
    """What a host needs of its server: a profile, if any, and rules for clients' certificates.

    `owners` are the Ingresses at fault if NGINX does not take what they wrote in the profile themselves.
    """

    profile: ServerProfile | None
    owners: tuple[ObjectKey, ...]
    clients: ClientCertificates
    findings: tuple[Finding, ...]

    @property
    def digest(self) -> str:
        return self.profile.digest if self.profile else ""


class _Server:
    """Collects the settings of one host's server."""

    def __init__(self, name: str, views: list[View], context: RouteContext) -> None:
        self._name, self._context = name, context
        self._views = [view for view in views if view.hold is Hold.NONE]
        self.owners: list[ObjectKey] = []
        self.findings: list[Finding] = []

    def _say(self, view: View, setting: Setting[Any], reason: str, message: str) -> None:
        field = field_of(view, setting.name, self._context)
        self.findings.append(Finding(view.wanted.key, field, Severity.WARNING, reason, message))

    def oldest(self, setting: Setting[Any], what: str) -> View | None:
        """The Ingress that decides; what others say is left out, which is reported."""
        setters = [view for view in self._views if view.settings.is_set(setting)]
        if not setters:
            return None
        first = setters[0]
        if self._name == CATCH_ALL:
            message = f"rules without host share the server of all unknown names, which takes no {what} of an Ingress"
            self._say(first, setting, "NotSupported", f"{message}; left out")
            return None
        self.owners.append(first.wanted.key)
        meta, value = first.ingress.metadata, first.settings.get(setting)
        for other in setters[1:]:
            if other.settings.get(setting) != value:
                message = f"host {self._name!r} has the {what} of the older Ingress {meta.namespace}/{meta.name}"
                self._say(other, setting, "Conflict", f"{message}; this is left out")
        return first


def own_server(name: str, views: list[View], context: RouteContext) -> OwnServer:
    """What the Ingresses of a host (oldest first) ask for."""
    server = _Server(name, views, context)
    with_snippet = server.oldest(ann.SERVER_SNIPPET, "lines")
    with_ciphers = server.oldest(ann.SSL_CIPHERS, "ciphers")
    with_preference = server.oldest(ann.SSL_PREFER_SERVER_CIPHERS, "order of ciphers")
    snippet = with_snippet.settings.get(ann.SERVER_SNIPPET) if with_snippet else ()
    clients = client_certificates(name, views, snippet, context)
    if clients.closed:
        return OwnServer(None, (), clients, (*server.findings, *clients.findings))
    profile = ServerProfile(
        snippet=snippet,
        verification=clients.verification,
        ciphers=with_ciphers.settings.get(ann.SSL_CIPHERS) if with_ciphers else "",
        prefer_server_ciphers=(
            with_preference.settings.get(ann.SSL_PREFER_SERVER_CIPHERS) if with_preference else None
        ),
    )
    findings = (*server.findings, *clients.findings)
    return OwnServer(None if profile == ServerProfile() else profile, tuple(server.owners), clients, findings)
