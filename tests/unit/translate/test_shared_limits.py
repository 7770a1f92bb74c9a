"""Limits that are divided by the number of replicas, where the ConfigMap asks for it."""

from __future__ import annotations

import msgspec
import pytest
from tidegate.findings import ObjectKey
from tidegate.model import Policy, RateLimit
from tidegate.resources.model import Endpoint, EndpointSlice, Metadata
from world import OPTIONS, World, configmap, endpoints, ingress, service

OWN = msgspec.structs.replace(OPTIONS, publish_service=ObjectKey("Service", "tidegate", "controller"))
LIMITS = {"limit_rps": "10", "limit_rpm": "100", "limit_connections": "5"}
ASKED = configmap(limit_divide_by_replicas="true")


def replicas(*ready: bool | None, family: str = "IPv4") -> EndpointSlice:
    listed = tuple(
        Endpoint((f"10.0.0.{number}",), ready=one, target=f"Pod/tidegate/{number}") for number, one in enumerate(ready)
    )
    return EndpointSlice(Metadata(f"controller-{family}", "tidegate"), "controller", family, (), listed)


def policy(world: World, host: str = "a.test") -> Policy:
    return world.translator.policies()[0][world.route("/", host).policy]


def limits(world: World) -> tuple[tuple[RateLimit, ...], int]:
    found = policy(world)
    return found.rates, found.connections


WHOLE = ((RateLimit(10, "s", 50), RateLimit(100, "m", 500)), 5)


def test_each_replica_counts_its_share_rounded_up() -> None:
    world = World(ASKED, replicas(True, None, True), ingress(**LIMITS), service(), endpoints(), options=OWN)
    assert limits(world) == ((RateLimit(200, "m", 17), RateLimit(34, "m", 167)), 2)


def test_a_share_that_is_whole_is_still_counted_per_second() -> None:
    world = World(ASKED, replicas(True, True), ingress(**LIMITS), service(), endpoints(), options=OWN)
    assert limits(world)[0][0] == RateLimit(5, "s", 25)


def test_no_share_is_nothing() -> None:
    world = World(ASKED, replicas(*[True] * 90), ingress(limit_rpm="1", limit_connections="1"), service(), options=OWN)
    assert limits(world) == ((RateLimit(1, "m", 1),), 1)


def test_replicas_that_are_not_ready_or_of_two_families_count_once_or_not() -> None:
    both = (replicas(True, True, False), replicas(True, True, False, family="IPv6"))
    world = World(ASKED, *both, ingress(**LIMITS), service(), endpoints(), options=OWN)
    assert limits(world)[1] == 3


@pytest.mark.parametrize("known", [(), (replicas(),), (replicas(False, False),)])
def test_where_no_replica_is_known_there_is_one(known: tuple[EndpointSlice, ...]) -> None:
    assert limits(World(ASKED, *known, ingress(**LIMITS), service(), endpoints(), options=OWN)) == WHOLE


def test_unless_it_is_asked_for_each_replica_counts_the_whole_limit() -> None:
    world = World(replicas(True, True), ingress(**LIMITS), service(), endpoints(), options=OWN)
    assert limits(world) == WHOLE


def test_a_change_of_the_replicas_touches_whoever_has_limits_and_nobody_else() -> None:
    world = World(
        ASKED, replicas(True), ingress(**LIMITS), ingress("other", host="b.test"), service(), endpoints(), options=OWN
    )
    delta = world.put(replicas(True, True))
    assert set(delta.hosts) == {"a.test"}
    assert limits(world)[1] == 3
    assert set(world.put(replicas(True)).hosts) == {"a.test"}
    assert limits(world) == WHOLE


def test_an_invalid_value_divides_because_that_is_stricter() -> None:
    broken = configmap(limit_divide_by_replicas="perhaps")
    world = World(broken, replicas(True, True), ingress(**LIMITS), service(), endpoints(), options=OWN)
    assert limits(world)[1] == 3


def test_without_a_service_of_its_own_it_is_told_that_nothing_is_divided() -> None:
    world = World(ASKED, ingress(**LIMITS), service(), endpoints())
    assert limits(world) == WHOLE
    assert any("--publish-service" in item.message for item in world.translator.findings())
