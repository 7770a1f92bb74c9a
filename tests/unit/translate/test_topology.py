"""Endpoints of the own zone: when hints of slices count, and when not."""

from __future__ import annotations

import msgspec
import pytest
from tidegate.resources.changes import Change
from tidegate.resources.model import Endpoint, EndpointPort, EndpointSlice, Metadata, Service, ServicePort
from tidegate.translate.options import Options
from world import OPTIONS, World, ingress

NEAR, FAR = ("here",), ("there",)
HERE = msgspec.structs.replace(OPTIONS, zone="here")


def asking(mode: str = "Auto", distribution: str = "") -> Service:
    annotations = {"service.kubernetes.io/topology-mode": mode} if mode else {}
    return Service(
        Metadata("app", "n", annotations=annotations),
        ports=(ServicePort(80, target_port=8080),),
        traffic_distribution=distribution,
    )


def slice_of(name: str, *rows: tuple[str, tuple[str, ...], bool | None]) -> EndpointSlice:
    listed = tuple(Endpoint((address,), ready=ready, zone_hints=hints) for address, hints, ready in rows)
    return EndpointSlice(Metadata(name, "n"), "app", "IPv4", (EndpointPort("", 8080),), listed)


HINTED = slice_of("one", ("10.0.0.1", NEAR, True), ("10.0.0.2", FAR, True), ("10.0.0.3", (*FAR, *NEAR), None))


def addresses(service: Service, *slices: EndpointSlice, options: Options = HERE) -> list[str]:
    world = World(service, *slices, ingress(), options=options)
    return [one.address for one in world.translator.backends["n/app:80"].endpoints]


@pytest.mark.parametrize(
    "service",
    [asking("Auto"), asking("auto"), asking("", "PreferClose"), asking("", "PreferSameZone")],
    ids=["Auto", "auto", "PreferClose", "PreferSameZone"],
)
def test_a_service_that_asks_keeps_to_endpoints_hinted_for_the_zone(service: Service) -> None:
    assert addresses(service, HINTED) == ["10.0.0.1", "10.0.0.3"]


@pytest.mark.parametrize("service", [asking(""), asking("disabled"), asking("", "PreferSameNode")])
def test_a_service_that_does_not_ask_keeps_all(service: Service) -> None:
    assert len(addresses(service, HINTED)) == 3


def test_without_a_zone_all_count() -> None:
    assert len(addresses(asking(), HINTED, options=OPTIONS)) == 3


def test_a_slice_with_an_endpoint_without_hints_keeps_all_of_its_own() -> None:
    partly = slice_of("two", ("10.0.1.1", FAR, True), ("10.0.1.2", (), True))
    assert addresses(asking(), HINTED, partly) == ["10.0.0.1", "10.0.0.3", "10.0.1.1", "10.0.1.2"]


def test_all_count_where_nothing_ready_is_near() -> None:
    assert addresses(asking(), slice_of("one", ("10.0.0.1", NEAR, False), ("10.0.0.2", FAR, True))) == ["10.0.0.2"]


def test_a_change_of_the_service_is_followed() -> None:
    world = World(asking(), HINTED, ingress(), options=HERE)
    delta = world.change(Change(asking("").key, asking("")))
    changed = delta.backends["n/app:80"]
    assert changed is not None and len(changed.endpoints) == 3
