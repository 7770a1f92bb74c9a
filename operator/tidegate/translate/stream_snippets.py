"""What Ingresses add to the `stream` block (reference: behaviour 19); it belongs to no host and to no path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.model import Listener, Server, ServerProfile, listens_of
from tidegate.settings import annotations as ann
from tidegate.translate.acceptance import Hold, View


class StreamSnippets:
    """The lines of all Ingresses that have some. The same lines of several Ingresses count once."""

    def __init__(self) -> None:
        self._views: dict[ObjectKey, View] = {}

    def replace(self, key: ObjectKey, view: View | None) -> None:
        """Take over an Ingress, None for one that is gone."""
        if view is not None and view.hold is Hold.NONE and view.settings.get(ann.STREAM_SNIPPET):
            self._views[key] = view
        else:
            self._views.pop(key, None)

    def __contains__(self, key: object) -> bool:
        """Whether an Ingress has lines that are in force."""
        return key in self._views

    def servers(self) -> dict[str, Server]:
        """By digest, those of the oldest Ingress first: where two ask for one port, the younger one is at fault."""
        views = sorted(self._views.values(), key=lambda view: view.order)
        profiles = [ServerProfile(stream=view.settings.get(ann.STREAM_SNIPPET)) for view in views]
        return {profile.digest: Server(profile, ()) for profile in profiles}

    def findings(self, services: Iterable[Listener], prefix: str) -> Iterator[Finding]:
        """Listeners that something else has already: NGINX refuses them, but from 1.25.5 on it does so no longer.

        `services` are the listeners of TCP and UDP services, `prefix` is that of annotations.
        """
        ports = {listener.port for listener in services}
        owners: dict[tuple[str, int], View] = {}
        for view in sorted(self._views.values(), key=lambda view: view.order):
            lines = view.settings.get(ann.STREAM_SNIPPET)
            for host, port in dict.fromkeys(map(_place, listens_of(lines))):
                owner = owners.setdefault((host, port), view)
                if port in ports:
                    message = f"port {port} is that of a TCP or UDP service, which keeps it"
                elif owner.settings.get(ann.STREAM_SNIPPET) != lines:
                    message = (
                        f"{owner.ingress.key}, which is older, listens on port {port} as well: it gets what no"
                        " server_name tells apart"
                    )
                else:
                    continue
                field = f"metadata.annotations[{prefix}/{ann.STREAM_SNIPPET.name}]"
                yield Finding(view.ingress.key, field, Severity.WARNING, "Conflict", message)

    def owners(self, digests: set[str]) -> Iterator[ObjectKey]:
        """The Ingresses that have lines with one of these digests."""
        for key, view in self._views.items():
            if ServerProfile(stream=view.settings.get(ann.STREAM_SNIPPET)).digest in digests:
                yield key


def _place(address: str) -> tuple[str, int]:
    """Host and port of a `listen` that was accepted; the host of all addresses is `*`."""
    host, _, port = address.rpartition(":")
    return ("*" if host in ("", "0.0.0.0") else host), int(port)
