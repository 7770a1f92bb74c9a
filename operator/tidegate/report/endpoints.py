"""What there is to tell of endpoints: how many a Service has and how many are ready (`/check_endpoint`), and where
each endpoint of a backend comes from (`/api/v1/backends`).
"""

from __future__ import annotations

import msgspec

from tidegate.model import Backend
from tidegate.resources.model import Endpoint, EndpointPort
from tidegate.store import Store


class EndpointCount(msgspec.Struct, frozen=True):
    """`exists` tells whether there is such a Service."""

    service: str
    namespace: str
    exists: bool
    ready: int
    total: int


class TargetRef(msgspec.Struct, frozen=True):
    """The object behind an endpoint, usually a Pod."""

    kind: str
    namespace: str
    name: str


class EndpointRow(msgspec.Struct, frozen=True, rename="camel"):
    """One endpoint that requests are sent to; node and zone are empty where nothing names them."""

    address: str
    port: int
    ready: bool = True
    healthy: bool = True
    ejected: bool = False
    weight: int = 1
    node: str = ""
    zone: str = ""
    target_ref: TargetRef | None = None


def endpoint_rows(store: Store, backend: Backend) -> list[EndpointRow]:
    """The endpoints of a backend, with what the slices or the Endpoints object of its Service say of them."""
    namespace, _, rest = backend.id.partition("/")
    sources = {
        address: endpoint
        for _, endpoints in _groups(store, namespace, rest.rpartition(":")[0])
        for endpoint in endpoints
        for address in endpoint.addresses
    }
    rows = []
    for item in backend.endpoints:
        source = sources.get(item.address.strip("[]"))
        if source is None:
            rows.append(EndpointRow(item.address, item.port))
            continue
        target = TargetRef(*source.target.split("/", 2)) if source.target else None
        rows.append(EndpointRow(item.address, item.port, node=source.node, zone=source.zone, target_ref=target))
    return rows


def _groups(store: Store, namespace: str, name: str) -> list[tuple[tuple[EndpointPort, ...], tuple[Endpoint, ...]]]:
    """Ports and endpoints that belong together: slices count, the Endpoints object only where there is none."""
    slices = store.slices(namespace, name)
    if slices:
        return [(item.ports, item.endpoints) for item in slices]
    older = store.endpoints(namespace, name)
    return [(subset.ports, subset.endpoints) for subset in older.subsets] if older else []


def count_endpoints(store: Store, namespace: str, name: str, port: str | None) -> EndpointCount:
    """Of one port (number or name, of the Service or of its endpoints) or of all; each address counts once."""
    service = store.service(namespace, name)
    if service is not None and service.type == "ExternalName":
        found = store.resolution(service.external_name)
        total = len(found.addresses) if found else 0
        return EndpointCount(name, namespace, True, total, total)
    names = {item.name for item in service.ports if port in (str(item.port), item.name)} if service else set()
    addresses: dict[str, bool] = {}
    for ports, endpoints in _groups(store, namespace, name):
        if port is None or any(item.name in names or port in (str(item.port), item.name) for item in ports):
            for endpoint in endpoints:
                for address in endpoint.addresses:
                    addresses[address] = addresses.get(address, False) or endpoint.ready is not False
    return EndpointCount(name, namespace, service is not None, sum(addresses.values()), len(addresses))
