"""From endpoints to EndpointSlices and the Endpoints object, moving as little as possible. Pure.

Limits are those of the API: at most 1,000 endpoints in a slice and 1,000 addresses in an Endpoints object.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tidegate.resources.model import (
    Endpoint,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    Metadata,
    Service,
)
from tidegate.resources.services import SERVICE_NAME_LABEL

MANAGED_BY = "tidegate.dev"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
OWNER_LABEL = "tidegate.dev/owner"
"""The UID of the pool or Service that the object was made for."""
ENDPOINTS_MANAGED_BY_LABEL = "endpoints.kubernetes.io/managed-by"
SKIP_MIRROR_LABEL = "endpointslice.kubernetes.io/skip-mirror"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"

MOST_IN_SLICE = 1000
MOST_IN_ENDPOINTS = 1000
FAMILIES = ("IPv4", "IPv6")


class Spot(NamedTuple):
    """One endpoint: an address, and whether it can serve."""

    address: str
    ready: bool


def family_of(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def ports_of(service: Service) -> tuple[EndpointPort, ...]:
    """The ports of the endpoints: those of the Service whose targetPort is a number."""
    return tuple(
        EndpointPort(port.name, port.target_port, port.protocol)
        for port in service.ports
        if isinstance(port.target_port, int)
    )


def is_own_slice(item: EndpointSlice) -> bool:
    return item.metadata.labels.get(MANAGED_BY_LABEL) == MANAGED_BY


def is_own_endpoints(item: Endpoints) -> bool:
    return item.metadata.labels.get(ENDPOINTS_MANAGED_BY_LABEL) == MANAGED_BY


def slices_for(
    service: Service, owner: str, spots: Iterable[Spot], before: Sequence[EndpointSlice], taken: Container[str]
) -> tuple[EndpointSlice, ...]:
    """The slices that a Service shall have, by name.

    `owner` is the UID of what asks for them, `before` are the Service's own ones now, `taken` are names of others'.
    """
    ready = dict(spots)
    ports = ports_of(service)
    found: list[EndpointSlice] = []
    for family in FAMILIES:
        wanted = {address for address in ready if family_of(address) == family}
        placed = {
            item.metadata.name: [endpoint.addresses[0] for endpoint in item.endpoints]
            for item in before
            if item.address_type == family
        }
        used = {item.metadata.name for item in before}
        names = _names(service, family, lambda name, used=used: name in taken or name in used)  # type: ignore[misc]
        for name, addresses in place(wanted, placed, names).items():
            endpoints = tuple(Endpoint((one,), ready=ready[one], serving=ready[one]) for one in addresses)
            found.append(
                EndpointSlice(_slice_metadata(service, owner, name), service.metadata.name, family, ports, endpoints)
            )
    return tuple(sorted(found, key=lambda item: item.metadata.name))


def _names(service: Service, family: str, is_taken: Callable[[str], bool]) -> Iterator[str]:
    for number in itertools.count(1):
        name = f"{service.metadata.name}-tidegate-{family.lower()}-{number}"
        if not is_taken(name):
            yield name


def _slice_metadata(service: Service, owner: str, name: str) -> Metadata:
    labels = {SERVICE_NAME_LABEL: service.metadata.name, MANAGED_BY_LABEL: MANAGED_BY, OWNER_LABEL: owner}
    return Metadata(name, service.metadata.namespace, labels=labels)


def place(
    wanted: set[str], before: Mapping[str, Sequence[str]], new_names: Iterator[str], most: int = MOST_IN_SLICE
) -> dict[str, list[str]]:
    """Which address goes into which slice: each stays where it is, new ones fill gaps, small slices are joined."""
    slices: dict[str, list[str]] = {}
    changed: set[str] = set()
    homeless = set(wanted)
    for name in sorted(before):
        kept = [address for address in dict.fromkeys(before[name]) if address in homeless][:most]
        homeless.difference_update(kept)
        slices[name] = kept
        if len(kept) != len(before[name]):
            changed.add(name)
    waiting = sorted(homeless)
    for name in sorted(slices, key=lambda name: (name not in changed, -len(slices[name]), name)):
        room = most - len(slices[name])
        slices[name] += waiting[:room]
        del waiting[:room]
    while waiting:
        slices[next(new_names)] = waiting[:most]
        del waiting[:most]
    return _joined({name: addresses for name, addresses in slices.items() if addresses}, most)


def _joined(slices: dict[str, list[str]], most: int) -> dict[str, list[str]]:
    """With the two smallest made one as long as that is at most half full."""
    while len(slices) > 1:
        smallest, second = sorted(slices, key=lambda name: (len(slices[name]), name))[:2]
        if len(slices[smallest]) + len(slices[second]) > most // 2:
            break
        slices[second] += slices.pop(smallest)
    return slices


def endpoints_for(service: Service, owner: str, spots: Iterable[Spot]) -> Endpoints:
    """The Endpoints object that people and tools still read; of too many addresses the ready ones come first."""
    listed = sorted(spots, key=lambda spot: (not spot.ready, family_of(spot.address), spot.address))
    annotations = {OVER_CAPACITY: "truncated"} if len(listed) > MOST_IN_ENDPOINTS else {}
    chosen = tuple(Endpoint((spot.address,), ready=spot.ready) for spot in listed[:MOST_IN_ENDPOINTS])
    metadata = Metadata(
        service.metadata.name,
        service.metadata.namespace,
        labels={SKIP_MIRROR_LABEL: "true", ENDPOINTS_MANAGED_BY_LABEL: MANAGED_BY, OWNER_LABEL: owner},
        annotations=annotations,
    )
    return Endpoints(metadata, (EndpointSubset(ports_of(service), chosen),) if chosen else ())


def same_slice(one: EndpointSlice | None, other: EndpointSlice) -> bool:
    """Whether they say the same; what somebody adds to the metadata does not count."""
    return (
        one is not None
        and (one.address_type, one.ports, one.endpoints) == (other.address_type, other.ports, other.endpoints)
        and other.metadata.labels.items() <= one.metadata.labels.items()
    )


def same_endpoints(one: Endpoints | None, other: Endpoints) -> bool:
    """As `same_slice`."""
    return (
        one is not None
        and one.subsets == other.subsets
        and other.metadata.labels.items() <= one.metadata.labels.items()
        and one.metadata.annotations.get(OVER_CAPACITY) == other.metadata.annotations.get(OVER_CAPACITY)
    )
