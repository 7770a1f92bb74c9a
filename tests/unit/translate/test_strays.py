"""Objects that belong to nothing are told."""

from __future__ import annotations

from tidegate.resources.model import Endpoint, EndpointPort, Endpoints, EndpointSubset, Metadata
from world import World, service

STRAY = Endpoints(
    Metadata("app", "n"), (EndpointSubset((EndpointPort("", 8080),), (Endpoint(("192.0.2.1",), ready=True),)),)
)


def reasons(world: World) -> list[str]:
    return [finding.reason for finding in world.translator.findings()]


def test_endpoints_without_a_service_are_told_until_the_service_is_there() -> None:
    world = World()
    world.put(STRAY)
    assert reasons(world) == ["EndpointsWithoutService"]
    world.put(service("app"))
    assert reasons(world) == []
    world.delete(service("app"))
    assert reasons(world) == ["EndpointsWithoutService"]
    world.delete(STRAY)
    assert reasons(world) == []


def test_a_service_of_that_name_in_another_namespace_is_not_its_service() -> None:
    world = World()
    world.put(STRAY, service("app", namespace="other"))
    assert reasons(world) == ["EndpointsWithoutService"]
