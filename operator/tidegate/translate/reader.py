"""Reading the store while noting what was read, so that a later change finds everything that depends on it."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from tidegate.findings import ObjectKey
from tidegate.resources.changes import Fetched, FetchKind, Resolution, fetched_key, resolution_key
from tidegate.resources.model import ConfigMap, Endpoints, EndpointSlice, Secret, Service
from tidegate.store import Store, endpoints_key


class Unit(NamedTuple):
    """What is translated as one: a host, a backend, or the globals (with an empty name)."""

    kind: str
    name: str


class Dependencies:
    """Who read which key, both ways."""

    def __init__(self) -> None:
        self._units: defaultdict[ObjectKey, set[Unit]] = defaultdict(set)
        self._keys: dict[Unit, set[ObjectKey]] = {}
        self._released: set[ObjectKey] = set()

    def replace(self, unit: Unit, keys: set[ObjectKey]) -> None:
        """The unit was translated anew and read exactly these keys."""
        for key in self._keys.get(unit, set()) - keys:
            self._units[key].discard(unit)
            if not self._units[key]:
                del self._units[key]
                self._released.add(key)
        for key in keys:
            self._units[key].add(unit)
        if keys:
            self._keys[unit] = keys
        else:
            self._keys.pop(unit, None)

    def take_released(self) -> frozenset[ObjectKey]:
        """The keys that nobody reads any more, and somebody read at the last call."""
        released, self._released = self._released, set()
        return frozenset(key for key in released if key not in self._units)

    def of(self, key: ObjectKey) -> set[Unit]:
        return self._units.get(key, set())


class Reader:
    """The store as one unit sees it; `read` collects the keys."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.read: set[ObjectKey] = set()

    def service(self, namespace: str, name: str) -> Service | None:
        self.read.add(ObjectKey("Service", namespace, name))
        return self._store.service(namespace, name)

    def secret(self, namespace: str, name: str) -> Secret | None:
        self.read.add(ObjectKey("Secret", namespace, name))
        return self._store.secret(namespace, name, pin=False)

    def configmap(self, namespace: str, name: str) -> ConfigMap | None:
        self.read.add(ObjectKey("ConfigMap", namespace, name))
        return self._store.configmap(namespace, name, pin=False)

    def slices(self, namespace: str, service: str) -> list[EndpointSlice]:
        self.read.add(endpoints_key(namespace, service))
        return self._store.slices(namespace, service)

    def endpoints(self, namespace: str, service: str) -> Endpoints | None:
        self.read.add(endpoints_key(namespace, service))
        return self._store.endpoints(namespace, service)

    def fetched(self, kind: FetchKind, fingerprint: str) -> Fetched | None:
        self.read.add(fetched_key(kind, fingerprint))
        return self._store.fetched(kind, fingerprint)

    def resolution(self, name: str) -> Resolution | None:
        self.read.add(resolution_key(name))
        return self._store.resolution(name)
