"""The store: what the source says now, with the indexes that tell what a change touches.

Nothing is interpreted here. `apply` says which keys changed; the translator knows who depends on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import TypeVar

from tidegate.findings import ObjectKey
from tidegate.resources.changes import Change, Fetched, FetchKind, Resolution, fetched_key
from tidegate.resources.model import (
    ConfigMap,
    Endpoints,
    EndpointSlice,
    Ingress,
    IngressClass,
    Namespace,
    Resource,
    Secret,
    Service,
)

R = TypeVar("R", bound=Resource)


def endpoints_key(namespace: str, service: str) -> ObjectKey:
    """The key under which all slices and the Endpoints object of a Service change."""
    return ObjectKey("ServiceEndpoints", namespace, service)


class Store:
    """Resources by key; slices also by their Service."""

    def __init__(self) -> None:
        self._resources: dict[ObjectKey, Resource] = {}
        self._ingresses: dict[ObjectKey, Ingress] = {}
        self._slices: dict[ObjectKey, dict[str, EndpointSlice]] = {}
        self._resolutions: dict[str, Resolution] = {}
        self._fetched: dict[ObjectKey, Fetched] = {}
        self._pinned: set[ObjectKey] = set()
        self._missing: set[ObjectKey] = set()

    def __len__(self) -> int:
        return len(self._resources)

    def apply(self, changes: Iterable[Change]) -> set[ObjectKey]:
        """Take over changes; the keys whose meaning changed (slices count as their Service's endpoints)."""
        touched: set[ObjectKey] = set()
        for change in changes:
            former = self._resources.get(change.key)
            if former == change.resource:
                continue
            for version in (former, change.resource):
                touched.add(_dependency_key(change.key, version))
            self._index(change.key, former, change.resource)
            if change.resource is None:
                self._resources.pop(change.key, None)
            else:
                self._resources[change.key] = change.resource
        return touched

    def resolve(self, resolution: Resolution) -> set[ObjectKey]:
        """Take over an answer of DNS; the key when it differs from the last one."""
        if self._resolutions.get(resolution.name) == resolution:
            return set()
        self._resolutions[resolution.name] = resolution
        return {resolution.key}

    def take(self, fetched: Fetched) -> set[ObjectKey]:
        """Take over what was fetched; the key when it differs from the last one."""
        if self._fetched.get(fetched.key) == fetched:
            return set()
        self._fetched[fetched.key] = fetched
        return {fetched.key}

    def fetched(self, kind: FetchKind, fingerprint: str) -> Fetched | None:
        return self._fetched.get(fetched_key(kind, fingerprint))

    def keep_fetched(self, keys: Set[ObjectKey]) -> None:
        """Forget what was fetched under other keys."""
        for key in self._fetched.keys() - keys:
            del self._fetched[key]

    def keep_resolutions(self, names: Set[str]) -> None:
        """Forget what DNS said of other names: when one is wanted again, its address may be somebody else's."""
        for name in self._resolutions.keys() - names:
            del self._resolutions[name]

    def _index(self, key: ObjectKey, former: Resource | None, resource: Resource | None) -> None:
        if isinstance(former, EndpointSlice):
            self._slices.get(endpoints_key(key.namespace, former.service), {}).pop(key.name, None)
        if isinstance(resource, EndpointSlice):
            self._slices.setdefault(endpoints_key(key.namespace, resource.service), {})[key.name] = resource
        if isinstance(resource, Ingress):
            self._ingresses[key] = resource
        elif isinstance(former, Ingress):
            self._ingresses.pop(key, None)

    # -- reading ------------------------------------------------------------------------------------------------

    @property
    def ingresses(self) -> Mapping[ObjectKey, Ingress]:
        return self._ingresses

    def ingress_class(self, name: str) -> IngressClass | None:
        return self._get(ObjectKey("IngressClass", "", name), IngressClass)

    def service(self, namespace: str, name: str) -> Service | None:
        return self._get(ObjectKey("Service", namespace, name), Service)

    def secret(self, namespace: str, name: str, *, pin: bool = True) -> Secret | None:
        """A Secret; one that was asked for with `pin` stays wanted for ever."""
        return self._referred(ObjectKey("Secret", namespace, name), Secret, pin)

    def configmap(self, namespace: str, name: str, *, pin: bool = True) -> ConfigMap | None:
        """A ConfigMap; see `secret`."""
        return self._referred(ObjectKey("ConfigMap", namespace, name), ConfigMap, pin)

    def namespace(self, name: str) -> Namespace | None:
        return self._get(ObjectKey("Namespace", "", name), Namespace)

    def slices(self, namespace: str, service: str) -> list[EndpointSlice]:
        """The slices of a Service in the order of their names."""
        found = self._slices.get(endpoints_key(namespace, service), {})
        return [found[name] for name in sorted(found)]

    def endpoints(self, namespace: str, service: str) -> Endpoints | None:
        return self._get(ObjectKey("Endpoints", namespace, service), Endpoints)

    def resolution(self, name: str) -> Resolution | None:
        return self._resolutions.get(name)

    def want(self, keys: Iterable[ObjectKey]) -> None:
        """Secrets and ConfigMaps that are asked for from the start."""
        for key in keys:
            if key.kind in ("Secret", "ConfigMap"):
                self._pinned.add(key)
                self._missing.add(key)

    def take_missing(self) -> frozenset[ObjectKey]:
        """The Secrets and ConfigMaps that were asked for since the last call and are not here."""
        missing, self._missing = frozenset(self._missing), set()
        return missing

    def is_pinned(self, key: ObjectKey) -> bool:
        return key in self._pinned

    def _referred(self, key: ObjectKey, kind: type[R], pin: bool) -> R | None:
        if pin:
            self._pinned.add(key)
        found = self._get(key, kind)
        if found is None:
            self._missing.add(key)
        return found

    def _get(self, key: ObjectKey, kind: type[R]) -> R | None:
        found = self._resources.get(key)
        return found if isinstance(found, kind) else None


def _dependency_key(key: ObjectKey, version: Resource | None) -> ObjectKey:
    if isinstance(version, EndpointSlice):
        return endpoints_key(key.namespace, version.service)
    if key.kind == "Endpoints":
        return endpoints_key(key.namespace, key.name)
    return key
