"""What makes a host need a native `server` of its own (reference: annotations 0.1, server effect)."""

from __future__ import annotations

from typing import NamedTuple

from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.model import CATCH_ALL, ServerProfile
from tidegate.settings import annotations as ann
from tidegate.translate.acceptance import Hold, View
from tidegate.translate.routes import RouteContext, field_of


class OwnServer(NamedTuple):
    """The profile of a host, and the Ingress that is at fault if NGINX does not take it."""

    profile: ServerProfile
    owner: ObjectKey


def own_server(name: str, views: list[View], context: RouteContext) -> tuple[OwnServer | None, list[Finding]]:
    """The profile that the Ingresses of a host (oldest first) ask for; None where the catch-all server will do."""
    views = [view for view in views if view.hold is Hold.NONE]
    view = next((view for view in views if view.settings.get(ann.SERVER_SNIPPET)), None)
    if view is None:
        return None, []

    def finding(about: View, reason: str, message: str) -> Finding:
        field = field_of(about, ann.SERVER_SNIPPET.name, context)
        return Finding(about.ingress.key, field, Severity.WARNING, reason, message)

    if name == CATCH_ALL:
        message = (
            "rules without host share the server of all unknown names, which takes no lines of an Ingress; left out"
        )
        return None, [finding(view, "NotSupported", message)]
    snippet, meta = view.settings.get(ann.SERVER_SNIPPET), view.ingress.metadata
    message = f"host {name!r} has the lines of the older Ingress {meta.namespace}/{meta.name}; these are left out"
    losers = [other for other in views if other.settings.get(ann.SERVER_SNIPPET) not in ((), snippet)]
    return OwnServer(ServerProfile(snippet=snippet), view.wanted.key), [
        finding(other, "Conflict", message) for other in losers
    ]
