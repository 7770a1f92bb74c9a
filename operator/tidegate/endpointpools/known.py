"""What the controller knows of the objects around it, kept by the changes that it is told of. No I/O."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tidegate.endpointpools.layout import is_own_endpoints, is_own_slice
from tidegate.findings import ObjectKey
from tidegate.resources.changes import Change
from tidegate.resources.model import EndpointPool, Endpoints, EndpointSlice, Namespace, Service
from tidegate.resources.pools import ENDPOINTS_ANNOTATION


class Name(NamedTuple):
    """A Service by name, whether or not it exists."""

    namespace: str
    service: str


class Objects:
    """Services, pools, and the slices and Endpoints objects of our own and of others.

    `serves` says whether the pools of a namespace count.
    """

    def __init__(self, serves: Callable[[Namespace | None], bool] = lambda namespace: True) -> None:
        self._serves = serves
        self._namespaces: dict[str, Namespace] = {}
        self.api_server: set[str] = set()
        self.services: dict[Name, Service] = {}
        self.pools: dict[ObjectKey, EndpointPool] = {}
        self._pools_of: defaultdict[Name, set[ObjectKey]] = defaultdict(set)
        self._slices: defaultdict[Name, dict[str, EndpointSlice]] = defaultdict(dict)
        self._owner: dict[ObjectKey, Name] = {}
        self._endpoints: dict[Name, Endpoints] = {}
        self.foreign: set[ObjectKey] = set()
        self._cluster_ips: Counter[str] = Counter()

    def counts(self, name: Name) -> bool:
        """Whether what is wished for this Service counts."""
        return self._serves(self._namespaces.get(name.namespace))

    def own_endpoints(self) -> frozenset[ObjectKey]:
        return frozenset(item.key for item in self._endpoints.values())

    def pools_of(self, name: Name) -> list[EndpointPool]:
        return [self.pools[key] for key in self._pools_of.get(name, ())]

    def slices(self, name: Name) -> list[EndpointSlice]:
        """Our own, by name."""
        found = self._slices.get(name, {})
        return [found[key] for key in sorted(found)]

    def endpoints(self, name: Name) -> Endpoints | None:
        """Our own."""
        return self._endpoints.get(name)

    def is_cluster_ip(self, address: str) -> bool:
        return address in self._cluster_ips

    def concerned(self) -> set[Name]:
        """Every Service that has a wish, or objects of ours."""
        annotated = {name for name, item in self.services.items() if ENDPOINTS_ANNOTATION in item.metadata.annotations}
        return annotated | set(self._pools_of) | set(self._slices) | set(self._endpoints)

    def apply(self, changes: Iterable[Change]) -> tuple[set[Name], set[str]]:
        """Take over changes: the Services to look at again, and the addresses that have become those of a Service."""
        touched: set[Name] = set()
        taken: set[str] = set()
        for change in changes:
            key = change.key
            match key.kind:
                case "Service":
                    self._put_service(Name(key.namespace, key.name), change.resource, touched, taken)
                case "EndpointPool":
                    self._put_pool(key, change.resource, touched)
                case "EndpointSlice":
                    self._put_slice(key, change.resource, touched)
                case "Endpoints":
                    self._put_endpoints(key, change.resource, touched)
                case "Namespace":
                    self._put_namespace(key.name, change.resource, touched)
        return touched, taken

    def _put_service(self, name: Name, service: object, touched: set[Name], taken: set[str]) -> None:
        former = self.services.pop(name, None)
        if isinstance(service, Service):
            self.services[name] = service
            if service.cluster_ip not in ("", "None"):
                self._cluster_ips[service.cluster_ip] += 1
                taken.add(service.cluster_ip)
        if former is not None and former.cluster_ip not in ("", "None"):
            self._cluster_ips[former.cluster_ip] -= 1
            if not self._cluster_ips[former.cluster_ip]:
                del self._cluster_ips[former.cluster_ip]
        versions = (former, service)
        annotated = any(
            isinstance(one, Service) and ENDPOINTS_ANNOTATION in one.metadata.annotations for one in versions
        )
        if annotated or name in self._pools_of or name in self._slices or name in self._endpoints:
            touched.add(name)

    def _put_namespace(self, name: str, namespace: object, touched: set[Name]) -> None:
        self._namespaces.pop(name, None)
        if isinstance(namespace, Namespace):
            self._namespaces[name] = namespace
        touched |= {one for one in self.concerned() if one.namespace == name}

    def _put_pool(self, key: ObjectKey, pool: object, touched: set[Name]) -> None:
        former = self.pools.pop(key, None)
        if former is not None:
            name = Name(key.namespace, former.service)
            self._pools_of[name].discard(key)
            if not self._pools_of[name]:
                del self._pools_of[name]
            touched.add(name)
        if isinstance(pool, EndpointPool):
            name = Name(key.namespace, pool.service)
            self.pools[key] = pool
            self._pools_of[name].add(key)
            touched.add(name)

    def _put_slice(self, key: ObjectKey, item: object, touched: set[Name]) -> None:
        former = self._owner.pop(key, None)
        self.foreign.discard(key)
        if former is not None:
            self._slices[former].pop(key.name, None)
            if not self._slices[former]:
                del self._slices[former]
            touched.add(former)
        if not isinstance(item, EndpointSlice):
            return
        if is_own_slice(item):
            name = Name(key.namespace, item.service)
            self._owner[key] = name
            self._slices[name][key.name] = item
            touched.add(name)
        else:
            self.foreign.add(key)
            if (key.namespace, item.service) == ("default", "kubernetes"):
                self.api_server = {address for endpoint in item.endpoints for address in endpoint.addresses}

    def _put_endpoints(self, key: ObjectKey, item: object, touched: set[Name]) -> None:
        name = Name(key.namespace, key.name)
        self.foreign.discard(key)
        former = self._endpoints.pop(name, None)
        if isinstance(item, Endpoints):
            if is_own_endpoints(item):
                self._endpoints[name] = item
            else:
                self.foreign.add(key)
        if former is not None or name in self._pools_of or name in self._slices:
            touched.add(name)
