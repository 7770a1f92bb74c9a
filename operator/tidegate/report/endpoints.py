"""How many endpoints a Service has, and how many are ready: what `/check_endpoint` answers."""

from __future__ import annotations

import msgspec

from tidegate.resources.model import Endpoint, EndpointPort
from tidegate.store import Store


class EndpointCount(msgspec.Struct, frozen=True):
    """`exists` tells whether there is such a Service."""

    service: str
    namespace: str
    exists: bool
    ready: int
    total: int


def count_endpoints(store: Store, namespace: str, name: str, port: str | None) -> EndpointCount:
    """Of one port (number or name, of the Service or of its endpoints) or of all; each address counts once."""
    service = store.service(namespace, name)
    if service is not None and service.type == "ExternalName":
        found = store.resolution(service.external_name)
        total = len(found.addresses) if found else 0
        return EndpointCount(name, namespace, True, total, total)
    names = {item.name for item in service.ports if port in (str(item.port), item.name)} if service else set()
    groups: list[tuple[tuple[EndpointPort, ...], tuple[Endpoint, ...]]] = [
        (item.ports, item.endpoints) for item in store.slices(namespace, name)
    ]
    if not groups and (older := store.endpoints(namespace, name)):
        groups = [(subset.ports, subset.endpoints) for subset in older.subsets]
    addresses: dict[str, bool] = {}
    for ports, endpoints in groups:
        if port is None or any(item.name in names or port in (str(item.port), item.name) for item in ports):
            for endpoint in endpoints:
                for address in endpoint.addresses[:1]:
                    addresses[address] = addresses.get(address, False) or endpoint.ready is not False
    return EndpointCount(name, namespace, service is not None, sum(addresses.values()), len(addresses))
