"""The Ingresses that are ours, and which of them name a host or a backend."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Set

from tidegate.findings import ObjectKey
from tidegate.translate.acceptance import View
from tidegate.translate.hosts import hosts_of
from tidegate.translate.used_backends import backend_ids


class Views:
    """Kept up to date Ingress by Ingress. May be read while an update goes on elsewhere."""

    def __init__(self) -> None:
        self._views: dict[ObjectKey, View] = {}
        self._by_host = _Index(hosts_of)
        self._by_backend = _Index(backend_ids)

    @property
    def by_key(self) -> Mapping[ObjectKey, View]:
        return self._views

    def replace(self, key: ObjectKey, view: View | None) -> None:
        """Take over an Ingress, None for one that is gone."""
        former = self._views.get(key)
        for index in (self._by_host, self._by_backend):
            index.replace(key, former, view)
        if view is None:
            self._views.pop(key, None)
        else:
            self._views[key] = view

    def keys_of_host(self, host: str) -> Set[ObjectKey]:
        """The Ingresses with rules for a host."""
        return self._by_host.keys(host)

    def of_host(self, host: str) -> list[View]:
        """The Ingresses with rules for a host, the oldest first."""
        return self._in_order(self._by_host.keys(host))

    def of_backend(self, name: str) -> list[View]:
        """The Ingresses that name a backend, the oldest first."""
        return self._in_order(self._by_backend.keys(name))

    def _in_order(self, keys: Set[ObjectKey]) -> list[View]:
        found = (self._views.get(key) for key in tuple(keys))
        return sorted((view for view in found if view is not None), key=lambda view: view.order)


class _Index:
    """Ingresses by each of the names that they hold."""

    def __init__(self, names_of: Callable[[View], Iterable[str]]) -> None:
        self._names_of = names_of
        self._keys: defaultdict[str, set[ObjectKey]] = defaultdict(set)

    def keys(self, name: str) -> Set[ObjectKey]:
        return self._keys.get(name, frozenset())

    def replace(self, key: ObjectKey, former: View | None, view: View | None) -> None:
        for name in self._names_of(former) if former else ():
            self._keys[name].discard(key)
            if not self._keys[name]:
                del self._keys[name]
        for name in self._names_of(view) if view else ():
            self._keys[name].add(key)
