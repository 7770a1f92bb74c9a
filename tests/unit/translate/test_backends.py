"""Service ports and endpoints."""

from __future__ import annotations

import msgspec
import pytest
from tidegate.findings import ObjectKey
from tidegate.model import Backend, Endpoint, SessionCookie
from tidegate.resources.changes import Resolution
from tidegate.resources.model import Endpoint as ApiEndpoint
from tidegate.resources.model import EndpointPort, EndpointSlice, Metadata, ServicePort
from tidegate.translate.backends import find_port, hash_parts
from world import OPTIONS, World, endpoints, ingress, path, service

WEB = ServicePort(80, "web", target_port=8080)
ADMIN = ServicePort(8080, "admin", target_port="inner")
DNS = ServicePort(53, "dns", "UDP", 53)


@pytest.mark.parametrize(
    ("asked", "found"),
    [(80, WEB), ("web", WEB), (8080, WEB), ("admin", ADMIN), ("inner", ADMIN), (53, None), ("dns", None), (1, None)],
)
def test_a_port_is_found_by_number_target_or_name_first_come_first_served(
    asked: int | str, found: ServicePort | None
) -> None:
    assert find_port(service("app", WEB, ADMIN, DNS), asked) == found


def test_a_port_asked_for_by_text_of_digits_is_that_number() -> None:
    assert find_port(service("app", WEB), "80") == WEB


def test_an_unnamed_port_is_not_found_by_an_empty_name() -> None:
    assert find_port(service("app", ServicePort(80, target_port=8080)), "web") is None


def backend(world: World, name: str = "n/app:80") -> Backend:
    return world.translator.backends[name]


def slice_of(*items: ApiEndpoint, ports: tuple[EndpointPort, ...] = (EndpointPort("", 8080),)) -> EndpointSlice:
    return EndpointSlice(Metadata("app-1", "n"), "app", "IPv4", ports, items)


def test_only_ready_endpoints_count_and_unknown_is_ready() -> None:
    listed = slice_of(
        ApiEndpoint(("10.0.0.1",), ready=True),
        ApiEndpoint(("10.0.0.2",), ready=None),
        ApiEndpoint(("10.0.0.3",), ready=False, serving=True, terminating=True),
    )
    assert [item.address for item in backend(World(ingress(), service(), listed)).endpoints] == ["10.0.0.1", "10.0.0.2"]


def test_all_addresses_of_an_endpoint_count() -> None:
    listed = slice_of(ApiEndpoint(("10.0.0.1", "10.0.0.2")), ApiEndpoint(("10.0.0.3", "10.0.0.1")))
    addresses = [item.address for item in backend(World(ingress(), service(), listed)).endpoints]
    assert addresses == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


def test_the_port_of_the_slice_with_the_name_of_the_service_port_counts() -> None:
    ports = (EndpointPort("other", 1), EndpointPort("web", 9), EndpointPort("web", 7, "UDP"))
    world = World(ingress(), service("app", WEB), slice_of(ApiEndpoint(("10.0.0.1",)), ports=ports))
    assert backend(world).endpoints == (Endpoint("10.0.0.1", 9),)


def test_a_slice_without_ports_falls_back_to_a_numeric_target_port() -> None:
    listed = slice_of(ApiEndpoint(("10.0.0.1",)), ports=())
    assert backend(World(ingress(), service("app", WEB), listed)).endpoints == (Endpoint("10.0.0.1", 8080),)
    assert backend(World(ingress("web", path(port=8080)), service("app", ADMIN), listed), "n/app:8080").endpoints == ()


def test_a_slice_that_names_its_port_otherwise_has_the_numeric_target_port() -> None:
    listed = slice_of(ApiEndpoint(("10.0.0.1",)), ports=(EndpointPort("other", 9999),))
    assert backend(World(ingress(), service("app", WEB), listed)).endpoints == (Endpoint("10.0.0.1", 8080),)
    by_name = World(ingress("web", path(port=8080)), service("app", ADMIN), listed)
    assert backend(by_name, "n/app:8080").endpoints == ()


def test_a_service_port_without_a_name_takes_the_port_of_the_slice_whatever_its_name() -> None:
    listed = slice_of(ApiEndpoint(("10.0.0.1",)), ports=(EndpointPort("dns", 53, "UDP"), EndpointPort("other", 9999)))
    unnamed = service("app", ServicePort(80, target_port=8080))
    assert backend(World(ingress(), unnamed, listed)).endpoints == (Endpoint("10.0.0.1", 9999),)


def test_a_slice_of_another_protocol_has_no_port_for_a_path() -> None:
    listed = slice_of(ApiEndpoint(("10.0.0.1",)), ports=(EndpointPort("web", 53, "UDP"),))
    assert backend(World(ingress(), service("app", WEB), listed)).endpoints == ()


def test_two_slices_are_one_list_without_doubles() -> None:
    world = World(
        ingress(),
        service(),
        endpoints("app", "10.0.0.2", "10.0.0.1", name="b"),
        endpoints("app", "10.0.0.1", "10.0.0.3", name="a"),
    )
    assert [item.address for item in backend(world).endpoints] == ["10.0.0.1", "10.0.0.3", "10.0.0.2"]


def test_a_slice_that_changes_its_service_leaves_the_old_one() -> None:
    world = World(ingress("web", "/", path("/b", "other")), service(), service("other"), endpoints("app", name="s"))
    world.put(endpoints("other", name="s"))
    assert backend(world).endpoints == ()
    assert backend(world, "n/other:80").endpoints == (Endpoint("10.0.0.1", 8080),)


def test_a_missing_service_is_an_empty_backend_and_a_finding() -> None:
    world = World(ingress())
    assert backend(world) == Backend("n/app:80")
    assert world.reasons() == ["BackendNotFound"]
    world.put(service(), endpoints())
    assert world.reasons() == []


def test_two_spellings_of_a_port_are_two_backends() -> None:
    world = World(ingress("web", path("/a", port=80), path("/b", port="web")), service("app", WEB))
    assert set(world.translator.backends) == {"n/app:80", "n/app:web"}


def test_a_backend_that_nobody_names_goes_away() -> None:
    world = World(ingress("web", path("/", "app")), service(), endpoints())
    delta = world.put(ingress("web", path("/", "other")))
    assert delta.backends["n/app:80"] is None


def external(name: str) -> World:
    return World(ingress(), service(type="ExternalName", external_name=name))


def test_an_external_name_is_resolved_and_changes_with_dns() -> None:
    world = external("db.test")
    assert world.translator.dns_names() == {"db.test"}
    assert backend(world).endpoints == ()
    touched = world.store.resolve(Resolution("db.test", ("192.0.2.1", "2001:db8::1")))
    delta = world.translator.update(world.store, touched)
    assert [item.address for item in backend(world).endpoints] == ["192.0.2.1", "[2001:db8::1]"]
    assert (set(delta.backends), delta.hosts) == ({"n/app:80"}, {})


def test_what_dns_said_of_a_name_is_forgotten_with_the_last_one_who_asks() -> None:
    world = external("db.test")
    world.store.resolve(Resolution("db.test", ("192.0.2.1",)))
    world.store.keep_resolutions(world.translator.dns_names())
    assert world.store.resolution("db.test") is not None
    world.put(service())
    world.store.keep_resolutions(world.translator.dns_names())
    assert world.store.resolution("db.test") is None


@pytest.mark.parametrize("name", ["localhost", "localhost.", "127.0.0.1", "::1", "127.9.9.9"])
def test_an_external_name_for_this_machine_has_no_endpoints(name: str) -> None:
    world = external(name)
    assert backend(world).endpoints == ()
    assert world.translator.dns_names() == frozenset()
    assert world.reasons() == ["NoEndpoints"]


@pytest.mark.parametrize("name", ["a b", "-", "a..b", "x;y", "$(id)", "a" * 300, ""])
def test_an_external_name_that_is_no_dns_name_is_never_asked_for(name: str) -> None:
    world = external(name)
    assert world.translator.dns_names() == frozenset()
    assert backend(world).endpoints == ()


def test_an_address_as_external_name_is_used_as_it_is() -> None:
    assert backend(external("192.0.2.9")).endpoints == (Endpoint("192.0.2.9", 8080),)


@pytest.mark.parametrize(
    ("asked", "expected"), [(80, 8080), ("web", 8080), (9000, 9000), (81, 81), ("spelt", 81), ("nonesuch", None)]
)
def test_a_port_of_an_external_name_need_not_be_one_of_the_service(asked: int | str, expected: int | None) -> None:
    ports = (ServicePort(80, "web", target_port=8080), ServicePort(81, "spelt", target_port="http"))
    world = World(
        ingress("web", path(port=asked)), service("app", *ports, type="ExternalName", external_name="192.0.2.9")
    )
    found = [endpoint.port for endpoint in world.translator.backends[f"n/app:{asked}"].endpoints]
    assert found == ([expected] if expected else [])


def test_external_names_can_be_disabled() -> None:
    disabled = msgspec.structs.replace(OPTIONS, disable_external_name=True)
    world = World(ingress(), service(type="ExternalName", external_name="db.test"), options=disabled)
    assert world.translator.dns_names() == frozenset()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("$request_uri", ("$request_uri",)),
        ("${a}-$b", ("$a", "-", "$b")),
        ("plain", ("plain",)),
        ("x$y_z-w", ("x", "$y_z", "-w")),
    ],
)
def test_a_hash_expression_is_split_into_text_and_variables(text: str, parts: tuple[str, ...]) -> None:
    assert hash_parts(text) == parts


def test_balancing_comes_from_the_oldest_ingress_that_uses_the_service() -> None:
    older = ingress("older", created=1, load_balance="ewma")
    world = World(ingress("younger", host="b.test", created=2, upstream_hash_by="$uri"), older, service())
    assert backend(world).algorithm == "ewma"
    world.delete(older)
    assert (backend(world).algorithm, backend(world).hash_by) == ("hash", ("$uri",))


def test_session_cookies_are_followed_where_an_ingress_of_the_service_gives_none() -> None:
    one = ingress("one", created=1, affinity="cookie", session_cookie_name="one", affinity_mode="persistent")
    two = ingress("two", host="b.test", created=2, affinity="cookie")
    plain = ingress("plain", host="c.test", created=3)
    canary = ingress("canary", created=4, canary="true", canary_weight="1")
    world = World(one, two, canary, service())
    assert backend(world).follows == ()
    world.put(plain)
    assert backend(world).follows == (SessionCookie("one", "persistent"), SessionCookie("INGRESSCOOKIE"))
    world.delete(one)
    world.delete(two)
    assert backend(world).follows == ()


def test_the_service_of_the_default_backend_annotation_is_a_backend_by_its_first_port() -> None:
    world = World(ingress(default_backend="errors"), service("errors", ServicePort(8000, "web"), WEB))
    assert world.route().fallback == "n/errors:8000"
    assert "n/errors:8000" in world.translator.backends
    assert ObjectKey("Service", "n", "errors") not in {item.object for item in world.findings()}
