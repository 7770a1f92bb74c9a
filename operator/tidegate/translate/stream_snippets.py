"""What Ingresses add to the `stream` block (reference: behaviour 19); it belongs to no host and to no path."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.findings import ObjectKey
from tidegate.model import Server, ServerProfile
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

    def servers(self) -> dict[str, Server]:
        """By digest, those of the oldest Ingress first: where two ask for one port, the younger one is at fault."""
        views = sorted(self._views.values(), key=lambda view: view.order)
        profiles = [ServerProfile(stream=view.settings.get(ann.STREAM_SNIPPET)) for view in views]
        return {profile.digest: Server(profile, ()) for profile in profiles}

    def owners(self, digests: set[str]) -> Iterator[ObjectKey]:
        """The Ingresses that have lines with one of these digests."""
        for key, view in self._views.items():
            if ServerProfile(stream=view.settings.get(ann.STREAM_SNIPPET)).digest in digests:
                yield key
