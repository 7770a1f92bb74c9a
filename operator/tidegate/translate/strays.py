"""Endpoints that belong to nothing: core/v1 Endpoints are found by the name of their Service alone."""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.findings import Finding, ObjectKey
from tidegate.resources.services import without_service
from tidegate.store import Store


class Strays:
    """The Endpoints objects without a Service, as far as `update` was told of them."""

    def __init__(self) -> None:
        self._found: dict[ObjectKey, Finding] = {}

    @property
    def findings(self) -> Iterable[Finding]:
        return self._found.values()

    def update(self, store: Store, changed: Iterable[ObjectKey]) -> None:
        """Look again at what these keys touch."""
        for kind, namespace, name in changed:
            if kind not in ("Service", "ServiceEndpoints"):
                continue
            key = ObjectKey("Endpoints", namespace, name)
            if store.endpoints(namespace, name) is None or store.service(namespace, name) is not None:
                self._found.pop(key, None)
                continue
            self._found[key] = without_service(key)
