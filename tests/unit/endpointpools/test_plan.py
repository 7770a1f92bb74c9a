"""What becomes of a wish: accepted, refused, resolved, held."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from pools import DB, objects, pool, service
from tidegate.endpointpools.decide import Decision, decide
from tidegate.endpointpools.guard import Guard
from tidegate.endpointpools.layout import Spot
from tidegate.endpointpools.plan import Answer, Health, Probe
from tidegate.endpointpools.verdicts import findings_of, happenings, readiness, status_of
from tidegate.findings import ObjectKey
from tidegate.resources.changes import Change
from tidegate.resources.model import HealthCheck, PoolStatus, Resource, ServicePort

CHECK = HealthCheck("HTTP")


def decided(
    *resources: Resource,
    answers: Mapping[str, Answer] | None = None,
    health: Mapping[str, Health] | None = None,
    guard: Guard | None = None,
) -> Decision:
    rules = guard or Guard()
    known = health or {}

    def of(probe: Probe) -> Health:
        return known.get(probe.address, Health())

    found = decide(objects(*resources), DB, answers or {}, rules.refusal, of)
    assert found is not None
    return found


def answered(*addresses: str, problem: str = "") -> Answer:
    return Answer(addresses, problem, answered=True)


def test_a_pool_without_checks_is_ready_at_once() -> None:
    found = decided(service(), pool("192.0.2.1", "2001:db8::1"))
    assert found.spots == (Spot("192.0.2.1", True), Spot("2001:db8::1", True))
    assert [item.metadata.name for item in found.slices] == ["db-tidegate-ipv4-1", "db-tidegate-ipv6-1"]


def test_an_annotation_is_the_same_in_one_line() -> None:
    found = decided(service(annotation="192.0.2.1, db.example.com"), answers={"db.example.com": answered("192.0.2.2")})
    assert found.wish.owner == ObjectKey("Service", "shop", "db")
    assert found.spots == (Spot("192.0.2.1", True), Spot("192.0.2.2", True))


@pytest.mark.parametrize(
    ("of", "reason"),
    [
        (service(selector={"app": "db"}), "ServiceHasSelector"),
        (service(type="ExternalName", external_name="db.example.com"), "ServiceIsExternalName"),
        (service("db", ServicePort(80, "http", target_port="web")), "NoPorts"),
        (None, "ServiceNotFound"),
    ],
)
def test_a_service_that_cannot_have_a_pool_is_refused_with_the_reason(of: Resource | None, reason: str) -> None:
    found = decided(*([of] if of else []), pool("192.0.2.1"))
    assert (found.draft.accepted.status, found.draft.accepted.reason) == (False, reason)
    assert (found.slices, found.endpoints) == ((), None)
    (finding,) = findings_of(found.wish, found.draft)
    assert (finding.reason, finding.object) == (reason, ObjectKey("EndpointPool", "shop", "db"))


def test_the_oldest_pool_counts_and_the_others_are_told() -> None:
    old, young = pool("192.0.2.1", name="z", created=1), pool("192.0.2.2", name="a", created=2)
    found = decided(service(annotation="192.0.2.3"), young, old)
    assert found.wish.owner.name == "z"
    assert [(wish.owner, idle.accepted.reason) for wish, idle in found.losers] == [
        (young.key, "Conflict"),
        (ObjectKey("Service", "shop", "db"), "Conflict"),
    ]


def test_refused_addresses_are_left_out_and_named() -> None:
    found = decided(service(), pool("127.0.0.1", "192.0.2.1"))
    assert found.spots == (Spot("192.0.2.1", True),)
    assert found.draft.accepted.status is True
    assert (found.draft.accepted.reason, "127.0.0.1" in found.draft.accepted.message) == ("AddressRefused", True)
    assert [finding.reason for finding in findings_of(found.wish, found.draft)] == ["AddressRefused"]


def test_a_pool_of_nothing_but_refused_addresses_is_refused() -> None:
    found = decided(service(), pool("127.0.0.1"))
    assert (found.draft.accepted.status, found.slices) == (False, ())


def test_refused_answers_of_dns_are_left_out_and_named() -> None:
    found = decided(
        service(), pool("db.example.com"), answers={"db.example.com": answered("169.254.169.254", "192.0.2.1")}
    )
    assert found.spots == (Spot("192.0.2.1", True),)
    assert (found.draft.resolved.status, found.draft.resolved.reason) == (False, "AddressRefused")


def test_a_failing_name_keeps_its_last_answer_and_says_so() -> None:
    found = decided(
        service(), pool("db.example.com"), answers={"db.example.com": answered("192.0.2.1", problem="NXDOMAIN")}
    )
    assert found.spots == (Spot("192.0.2.1", True),)
    assert found.draft.resolved == (False, "ResolutionFailed", "db.example.com: NXDOMAIN; its last addresses stay")


def test_what_an_earlier_process_was_told_stays_until_the_name_is_resolved() -> None:
    before = decided(service(), pool("db.example.com"), answers={"db.example.com": answered("192.0.2.1")})
    known = objects(service(), pool("db.example.com"), *before.slices)
    for answers, expected in (
        ({}, ["192.0.2.1"]),
        ({"db.example.com": answered(problem="time-out")}, ["192.0.2.1"]),
        ({"db.example.com": answered("192.0.2.9")}, ["192.0.2.9"]),
    ):
        found = decide(known, DB, answers, Guard().refusal, lambda probe: Health())
        assert found is not None
        assert [spot.address for spot in found.spots] == expected


def test_names_follow_the_families_of_the_service() -> None:
    answers = {"db.example.com": answered("192.0.2.1", "2001:db8::1")}
    one = decided(service(ip_families=("IPv4",)), pool("db.example.com"), answers=answers)
    both = decided(service(), pool("db.example.com"), answers=answers)
    assert [len(found.spots) for found in (one, both)] == [1, 2]


def test_an_annotation_that_cannot_be_read_leaves_what_is_there() -> None:
    before = decided(service(annotation="192.0.2.1"))
    found = decided(service(annotation="192.0.2.1,,UPPER"), *before.slices)
    assert (found.draft.accepted.status, found.draft.accepted.reason) == (False, "Invalid")
    assert found.slices == before.slices
    (finding,) = findings_of(found.wish, found.draft)
    assert finding.field == "metadata.annotations[tidegate.dev/endpoints]"


def test_only_healthy_endpoints_are_ready_and_the_others_say_why() -> None:
    found = decided(
        service(),
        pool("192.0.2.1", "192.0.2.2", "192.0.2.3", check=CHECK),
        health={"192.0.2.1": Health(True), "192.0.2.2": Health(False, 0, "HTTP status 500")},
    )
    assert [spot.ready for spot in found.spots] == [True, False, False]
    ready = readiness(found.draft, found.spots, found.failures)
    assert ready == (True, "EndpointsReady", "1 of 3 endpoints ready (192.0.2.2: HTTP status 500)")


def test_an_unchecked_endpoint_stays_what_it_was() -> None:
    ready = decided(service(), pool("192.0.2.1", check=CHECK), health={"192.0.2.1": Health(True)})
    found = decided(service(), pool("192.0.2.1", "192.0.2.2", check=CHECK), *ready.slices)
    assert [spot.ready for spot in found.spots] == [True, False]


def test_a_check_asks_the_first_tcp_port_and_names_the_host() -> None:
    ports = (ServicePort(53, "dns", "UDP", 53), ServicePort(80, "http", target_port=8080))
    answers = {"db.example.com": answered("192.0.2.2")}
    found = decided(service("db", *ports), pool("192.0.2.1", "db.example.com", check=CHECK), answers=answers)
    assert {(probe.port, probe.host) for probe in found.draft.probes.values()} == {(8080, ""), (8080, "db.example.com")}
    nothing = decided(service("db", ports[0]), pool("192.0.2.1", check=CHECK))
    assert nothing.draft.accepted.reason == "NoPorts"


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    found = decided(service(), pool("192.0.2.1"))
    ready = readiness(found.draft, found.spots, {})
    first = status_of(found.wish, found.draft, ready, found.spots, None, 100)
    assert [(item.type, item.status, item.since) for item in first.conditions] == [
        ("Accepted", "True", 100),
        ("Resolved", "True", 100),
        ("Ready", "True", 100),
    ]
    assert (first.observed_generation, first.ready, first.total) == (1, 1, 1)
    assert status_of(found.wish, found.draft, ready, found.spots, first, 200) == first
    down = (Spot("192.0.2.1", False),)
    later = status_of(found.wish, found.draft, readiness(found.draft, down, {}), down, first, 200)
    assert [item.since for item in later.conditions] == [100, 100, 200]


def test_only_what_goes_wrong_or_comes_right_is_worth_an_event() -> None:
    found = decided(service(), pool("192.0.2.1"))

    def status(ready: bool, before: PoolStatus | None = None) -> PoolStatus:
        spots = (Spot("192.0.2.1", ready),)
        return status_of(found.wish, found.draft, readiness(found.draft, spots, {}), spots, before, 1)

    up, down = status(True), status(False)
    assert happenings(None, up) == []
    assert [item.reason for item in happenings(None, down)] == ["NoReadyEndpoints"]
    assert [(item.warning, item.reason) for item in happenings(up, down)] == [(True, "NoReadyEndpoints")]
    assert [(item.warning, item.reason) for item in happenings(down, up)] == [(False, "EndpointsReady")]
    assert happenings(down, down) == []


def test_nothing_is_decided_where_nobody_wishes_anything() -> None:
    assert decide(objects(service()), DB, {}, Guard().refusal, lambda probe: Health()) is None


def test_the_address_of_a_service_is_refused_when_the_service_appears() -> None:
    known = objects(service(), pool("192.0.2.1"))
    rules = Guard(is_service=known.is_cluster_ip)
    other = service("other", cluster_ip="192.0.2.1")
    touched, taken = known.apply([Change(other.key, other)])
    assert (touched, taken) == (set(), {"192.0.2.1"})
    found = decide(known, DB, {}, rules.refusal, lambda probe: Health())
    assert found is not None
    assert found.draft.accepted.reason == "AddressRefused"
    known.apply([Change(other.key, msgspec.structs.replace(other, cluster_ip="None"))])
    assert rules.refusal("192.0.2.1") == ""
