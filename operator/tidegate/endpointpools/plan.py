"""What a pool asks for, and what of it may be: from a Service, its pools and DNS to targets. Pure.

A Service gets its endpoints from the oldest pool that names it, or from its own annotation where no pool does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from tidegate.endpointpools.layout import family_of, ports_of
from tidegate.findings import ObjectKey
from tidegate.resources.model import EndpointPool, HealthCheck, PoolEndpoint, Service
from tidegate.resources.pools import ENDPOINTS_ANNOTATION, canonical, parse_endpoints

MOST_ADDRESSES = 10_000
"""Endpoints of one Service, all answers of DNS together."""
_NAMED = 5
"""So many of a long list are named in a message."""


class Wish(msgspec.Struct, frozen=True):
    """What a pool, or the annotation of a Service, asks for. `problem` says that it cannot be read."""

    owner: ObjectKey
    service: str
    uid: str
    generation: int
    endpoints: tuple[PoolEndpoint, ...]
    check: HealthCheck | None = None
    problem: str = ""

    @property
    def field(self) -> str:
        """Where the endpoints are written."""
        annotation = self.owner.kind == "Service"
        return f"metadata.annotations[{ENDPOINTS_ANNOTATION}]" if annotation else "spec.endpoints"

    @property
    def names(self) -> frozenset[str]:
        return frozenset(item.hostname for item in self.endpoints if item.hostname)


def wish_of_pool(pool: EndpointPool) -> Wish:
    meta = pool.metadata
    return Wish(pool.key, pool.service, meta.uid, meta.generation, pool.endpoints, pool.health_check)


def wish_of_service(service: Service) -> Wish | None:
    """The one-line form, or None where the Service has none."""
    text = service.metadata.annotations.get(ENDPOINTS_ANNOTATION)
    if text is None:
        return None
    meta = service.metadata
    try:
        return Wish(service.key, meta.name, meta.uid, meta.generation, parse_endpoints(text))
    except ValueError as error:
        return Wish(service.key, meta.name, meta.uid, meta.generation, (), problem=str(error))


def oldest_first(pools: Iterable[EndpointPool]) -> list[EndpointPool]:
    return sorted(pools, key=lambda pool: (pool.metadata.created, pool.metadata.name))


class Verdict(NamedTuple):
    """The value of a condition: `status` is True, False or None for unknown."""

    status: bool | None
    reason: str
    message: str


class Answer(msgspec.Struct, frozen=True):
    """What DNS says of a name: the addresses that count, and why they may be old."""

    addresses: tuple[str, ...] = ()
    problem: str = ""
    answered: bool = False  # or failed


class Probe(NamedTuple):
    """One address to be checked; equal ones are checked once."""

    address: str
    port: int
    host: str
    check: HealthCheck


class Health(msgspec.Struct, frozen=True):
    """What is known of one endpoint.

    `healthy` is None before the first check; `row` counts the answers in a row that say otherwise.
    """

    healthy: bool | None = None
    row: int = 0
    failure: str = ""  # why it became unhealthy

    def after(self, failure: str, check: HealthCheck) -> Health:
        """With one more answer; the first one decides alone."""
        good = not failure
        if self.healthy is None:
            return Health(good, 0, failure)
        if good == self.healthy:
            return self if not self.row else Health(self.healthy, 0, self.failure)
        row = self.row + 1
        if row < (check.healthy_threshold if good else check.unhealthy_threshold):
            return Health(self.healthy, row, self.failure)
        return Health(good, 0, failure)


class Draft(msgspec.Struct, frozen=True):
    """What a wish comes to before anything is known of health. `hold` leaves all objects as they are."""

    accepted: Verdict
    resolved: Verdict
    addresses: tuple[str, ...] = ()
    probes: dict[str, Probe] = {}
    hold: bool = False


def refused(wish: Wish, service: Service | None) -> Verdict | None:
    """Why nothing of the wish can be, or None."""
    if wish.problem:
        return Verdict(False, "Invalid", f"{wish.problem}; what was valid before stays in force")
    where = f"the Service {wish.owner.namespace}/{wish.service}"
    if service is None:
        return Verdict(False, "ServiceNotFound", f"{where} does not exist")
    if service.selector:
        return Verdict(False, "ServiceHasSelector", f"{where} has a selector: Kubernetes itself keeps its endpoints")
    if service.type == "ExternalName":
        return Verdict(False, "ServiceIsExternalName", f"{where} is of type ExternalName, which has no endpoints")
    if service.ports and not ports_of(service):
        return Verdict(False, "NoPorts", f"{where} has no port whose targetPort is a number")
    if wish.check is not None and not _check_port(wish.check, service):
        return Verdict(False, "NoPorts", f"{where} has no TCP port to check; healthCheck.port can name one")
    return None


def _check_port(check: HealthCheck, service: Service) -> int:
    """0 where there is none."""
    if check.port:
        return check.port
    return next((port.port for port in ports_of(service) if port.protocol == "TCP" and port.port), 0)


def draft(
    wish: Wish,
    service: Service | None,
    answers: Mapping[str, Answer],
    refusal: Callable[[str], str],
    former: Iterable[str] = (),
) -> Draft:
    """What of the wish can be; `refusal` says why an address may not be used.

    `former` are the addresses that the Service has now: they stay while a name was never resolved by this process,
    for they may be what a process before it was told.
    """
    reason = refused(wish, service)
    if reason is not None or service is None:
        assert reason is not None
        return Draft(reason, Verdict(None, "NotAccepted", "the pool is not accepted"), hold=bool(wish.problem))
    hosts: dict[str, str] = {}
    bad: list[str] = []
    for item in wish.endpoints:
        if not item.address:
            continue
        if why := refusal(item.address):
            bad.append(f"{item.address} is {why}")
        else:
            hosts.setdefault(canonical(item.address), "")
    literal = len(hosts)
    resolved = _resolve(wish, service, answers, refusal, hosts)
    if any(not answers.get(name, Answer()).addresses for name in wish.names):
        for address in former:
            if not refusal(address):
                hosts.setdefault(address, "")
    addresses = tuple(hosts)[:MOST_ADDRESSES]
    accepted = _accepted(service, bad, bool(literal or wish.names), len(hosts))
    return Draft(accepted, resolved, addresses, _probes(wish, service, {one: hosts[one] for one in addresses}))


def _accepted(service: Service, bad: list[str], something: bool, count: int) -> Verdict:
    named = [port.name or str(port.port) for port in service.ports if not isinstance(port.target_port, int)]
    notes = [f"refused: {_listed(bad)}"] if bad else []
    if named:
        notes.append(f"ports whose targetPort is a name are left out: {_listed(named)}")
    if count > MOST_ADDRESSES:
        notes.append(f"of {count} addresses only {MOST_ADDRESSES} are used")
    if bad and not something:
        return Verdict(False, "AddressRefused", notes[0])
    reason = "AddressRefused" if bad else "Accepted"
    return Verdict(True, reason, "; ".join(notes) or "the pool is in force")


def _resolve(
    wish: Wish,
    service: Service,
    answers: Mapping[str, Answer],
    refusal: Callable[[str], str],
    hosts: dict[str, str],
) -> Verdict:
    """Adds the addresses of all names to `hosts`."""
    waiting: list[str] = []
    problems: list[str] = []
    bad: list[str] = []
    for name in dict.fromkeys(item.hostname for item in wish.endpoints if item.hostname):
        answer = answers.get(name, Answer())
        if not answer.answered:
            waiting.append(name)
            continue
        good = 0
        for address in answer.addresses:
            if why := refusal(address):
                bad.append(f"{name} has the address {address}, {why}")
            elif not service.ip_families or family_of(canonical(address)) in service.ip_families:
                hosts.setdefault(canonical(address), name)
                good += 1
        if answer.problem:
            stays = "its last addresses stay" if answer.addresses else "it has no addresses"
            problems.append(f"{name}: {answer.problem}; {stays}")
        elif not good and not bad:
            problems.append(f"{name} has no address of the Service's families {' and '.join(service.ip_families)}")
    if bad:
        return Verdict(False, "AddressRefused", f"refused: {_listed([*bad, *problems])}")
    if problems:
        return Verdict(False, "ResolutionFailed", _listed(problems))
    if waiting:
        return Verdict(None, "Resolving", f"waiting for DNS: {_listed(waiting)}")
    if not wish.names:
        return Verdict(True, "NoNames", "there are no host names")
    return Verdict(True, "Resolved", "all host names have addresses")


def _probes(wish: Wish, service: Service, hosts: Mapping[str, str]) -> dict[str, Probe]:
    check = wish.check
    if check is None:
        return {}
    port = _check_port(check, service)
    return {address: Probe(address, port, check.host or name.rstrip("."), check) for address, name in hosts.items()}


def _listed(items: list[str]) -> str:
    more = len(items) - _NAMED
    return "; ".join(items[:_NAMED]) + (f"; and {more} more" if more > 0 else "")
