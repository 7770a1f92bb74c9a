"""What one Service shall have, from all that is known: objects, DNS and health. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from tidegate.endpointpools.known import Name, Objects
from tidegate.endpointpools.layout import Spot, endpoints_for, slices_for
from tidegate.endpointpools.plan import (
    Answer,
    Draft,
    Health,
    Probe,
    Verdict,
    Wish,
    draft,
    oldest_first,
    wish_of_pool,
    wish_of_service,
)
from tidegate.resources.model import Endpoint, Endpoints, EndpointSlice


class Decision(msgspec.Struct, frozen=True):
    """`endpoints` is None for no Endpoints object; `losers` are wishes that do not count. `failures` is by address."""

    wish: Wish
    draft: Draft
    spots: tuple[Spot, ...]
    failures: dict[str, str]
    slices: tuple[EndpointSlice, ...]
    endpoints: Endpoints | None
    losers: tuple[tuple[Wish, Draft], ...]


def decide(
    objects: Objects,
    name: Name,
    answers: Mapping[str, Answer],
    refusal: Callable[[str], str],
    health: Callable[[Probe], Health],
) -> Decision | None:
    """None where nobody wishes anything. `refusal` says why an address may not be used."""
    if not objects.counts(name):
        return None
    service = objects.services.get(name)
    annotation = wish_of_service(service) if service is not None else None
    wishes = [wish_of_pool(pool) for pool in oldest_first(objects.pools_of(name))]
    wishes += [annotation] if annotation else []
    if not wishes:
        return None
    wish = wishes[0]
    before = objects.slices(name)
    former = {endpoint.addresses[0]: endpoint for item in before for endpoint in item.endpoints}
    found = draft(wish, service, answers, refusal, former)
    spots, failures = _judge(found, former, health)
    slices: tuple[EndpointSlice, ...] = ()
    endpoints: Endpoints | None = None
    if found.hold:
        slices, endpoints = tuple(before), objects.endpoints(name)
        spots = tuple(Spot(address, item.ready is not False) for address, item in former.items())
    elif found.accepted.status and service is not None:
        taken = {key.name for key in objects.foreign if key.kind == "EndpointSlice"}
        slices = slices_for(service, wish.uid, spots, before, taken)
        endpoints = endpoints_for(service, wish.uid, spots)
    conflict = Verdict(False, "Conflict", f"{wish.owner} is for the same Service, and counts")
    idle = Draft(conflict, Verdict(None, "NotAccepted", "the pool is not accepted"))
    losers = tuple((loser, idle) for loser in wishes[1:])
    return Decision(wish, found, spots, failures, slices, endpoints, losers)


def _judge(
    found: Draft, former: Mapping[str, Endpoint], health: Callable[[Probe], Health]
) -> tuple[tuple[Spot, ...], dict[str, str]]:
    """Which address can serve; one that was not checked yet stays what it was, and a new one is not ready."""
    spots: list[Spot] = []
    failures: dict[str, str] = {}
    for address in found.addresses:
        probe = found.probes.get(address)
        if probe is None:
            spots.append(Spot(address, True))
            continue
        known = health(probe)
        ready = known.healthy
        if ready is None:
            ready = address in former and former[address].ready is not False
        elif not ready:
            failures[address] = known.failure
        spots.append(Spot(address, ready))
    return tuple(spots), failures
