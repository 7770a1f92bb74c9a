"""TCP and UDP services: which entries are served, and what a change touches."""

from __future__ import annotations

import msgspec
import pytest
from tidegate.findings import ObjectKey
from tidegate.model import Endpoint, Listener, Stream
from tidegate.resources.changes import Resolution
from tidegate.resources.model import ConfigMap, EndpointPort, EndpointSlice, Metadata, Service, ServicePort
from tidegate.resources.model import Endpoint as ApiEndpoint
from tidegate.translate.streams import InvalidEntry, parse_entry
from world import OPTIONS, World, endpoints, service

TCP, UDP = ObjectKey("ConfigMap", "net", "tcp"), ObjectKey("ConfigMap", "net", "udp")
STREAMS = msgspec.structs.replace(OPTIONS, tcp_services=TCP, udp_services=UDP, reserved_ports={80: "--http-port"})


def services(source: ObjectKey = TCP, **ports: str) -> ConfigMap:
    """`p9000="n/app:80"` is the entry of port 9000."""
    return ConfigMap(Metadata(source.name, source.namespace), {key[1:]: value for key, value in ports.items()})


def world(*more: object) -> World:
    return World(service(), endpoints(), *more, options=STREAMS)  # type: ignore[arg-type]


def test_an_entry_has_the_endpoints_of_its_service_port() -> None:
    found = world(services(p9000="n/app:80"))
    assert found.translator.streams == {
        "tcp-9000": Stream(Listener("tcp", 9000), "n/app:80", (Endpoint("10.0.0.1", 8080),))
    }


def test_a_change_of_endpoints_touches_the_entries_of_that_service_alone() -> None:
    found = world(service("other"), endpoints("other"), services(p9000="n/app:80", p9001="n/other:80"))
    delta = found.put(endpoints("app", "10.0.0.2"))
    assert list(delta.streams) == ["tcp-9000"]
    assert not delta.globals_changed


def test_a_service_that_comes_later_is_found() -> None:
    found = World(services(p9000="n/app:80"), options=STREAMS)
    assert found.translator.streams["tcp-9000"].endpoints == ()
    found.put(service(), endpoints())
    assert found.translator.streams["tcp-9000"].endpoints == (Endpoint("10.0.0.1", 8080),)
    assert found.translator.findings() == ()


def test_an_entry_that_goes_is_told_as_gone() -> None:
    found = world(services(p9000="n/app:80", p9001="n/app:80"))
    assert found.put(services(p9001="n/app:80")).streams == {"tcp-9000": None}
    assert found.delete(services()).streams == {"tcp-9001": None}
    assert found.translator.streams == {}


def test_nothing_is_served_without_the_flags() -> None:
    assert World(service(), endpoints(), services(p9000="n/app:80")).translator.streams == {}


def test_order_of_arrival_does_not_matter() -> None:
    together = world(services(p9000="n/app:80"), services(UDP, p53="n/app:80"))
    one_by_one = World(services(UDP, p53="n/app:80"), options=STREAMS)
    for resource in (services(p9000="n/app:80"), endpoints(), service()):
        one_by_one.put(resource)
    assert together.translator.streams == one_by_one.translator.streams
    assert together.translator.findings() == one_by_one.translator.findings()


def test_of_a_service_with_two_protocols_each_list_takes_its_own() -> None:
    ports = (ServicePort(53, "dns", "UDP", 5353), ServicePort(53, "dns-tcp", "TCP", 5300))
    listed = EndpointSlice(
        Metadata("dns-1", "n"),
        "dns",
        "IPv4",
        (EndpointPort("dns", 5353, "UDP"), EndpointPort("dns-tcp", 5300, "TCP")),
        (ApiEndpoint(("10.0.0.9",)),),
    )
    found = world(service("dns", *ports), listed, services(p53="n/dns:53"), services(UDP, p53="n/dns:53"))
    streams = found.translator.streams
    assert streams["tcp-53"].endpoints == (Endpoint("10.0.0.9", 5300),)
    assert streams["udp-53"].endpoints == (Endpoint("10.0.0.9", 5353),)


def test_a_target_port_is_not_a_service_port() -> None:
    found = world(services(p9000="n/app:8080"))
    assert found.translator.streams["tcp-9000"].endpoints == ()


def test_an_external_name_is_asked_for_and_its_addresses_are_endpoints() -> None:
    ports = (ServicePort(7000, "", "TCP", 7001),)
    outside = Service(Metadata("out", "n"), "ExternalName", external_name="db.example.test", ports=ports)
    found = world(outside, services(p9000="n/out:7000"))
    assert found.translator.dns_names() == {"db.example.test"}
    touched = found.store.resolve(Resolution("db.example.test", ("192.0.2.1", "2001:db8::1")))
    delta = found.translator.update(found.store, touched)
    assert delta.streams["tcp-9000"] == found.translator.streams["tcp-9000"]
    assert found.translator.streams["tcp-9000"].endpoints == (
        Endpoint("192.0.2.1", 7001),
        Endpoint("[2001:db8::1]", 7001),
    )


def test_services_of_other_namespaces_are_not_served_where_one_is_watched() -> None:
    options = msgspec.structs.replace(STREAMS, watch_namespace="m")
    found = World(service(), endpoints(), services(p9000="n/app:80"), options=options)
    assert found.translator.streams["tcp-9000"].endpoints == ()
    assert [finding.reason for finding in found.translator.findings()] == ["BackendNotFound"]


@pytest.mark.parametrize(
    ("value", "read", "send"),
    [
        ("n/app:80", False, False),
        ("n/app:80:PROXY", True, False),
        ("n/app:80:proxy:Proxy", True, True),
        ("n/app:80::PROXY", False, True),
        ("n/app:80:PROXY:", True, False),
        ("n/app:80:PROXY:PROXY:PROXY", True, False),
        ("n/app:80:other", False, False),
    ],
)
def test_the_fields_after_the_port_say_where_the_proxy_protocol_is_spoken(value: str, read: bool, send: bool) -> None:
    listener = parse_entry("tcp", TCP, "9000", value, STREAMS).listener
    assert (listener.read_proxy, listener.send_proxy) == (read, send)
    listener = parse_entry("udp", UDP, "9000", value, STREAMS).listener
    assert (listener.read_proxy, listener.send_proxy) == (False, False)


@pytest.mark.parametrize("key", ["", "0", "65536", "-1", "+1", "1e3", "http", "90 00", "٩٠٠٠", "9" * 5000])
def test_a_key_that_is_no_port_is_refused(key: str) -> None:
    with pytest.raises(InvalidEntry, match="allowed: 1 to 65535"):
        parse_entry("tcp", TCP, key, "n/app:80", STREAMS)


def test_a_port_that_is_in_use_already_is_refused_and_by_what_is_told() -> None:
    with pytest.raises(InvalidEntry, match="--http-port"):
        parse_entry("tcp", TCP, "80", "n/app:80", STREAMS)


@pytest.mark.parametrize(
    "value", ["", "app:80", "n/app", "n/app:", "n//app:80", "/app:80", "n/:80", "n/a b:80", "N/app:80"]
)
def test_a_value_that_names_no_service_port_is_refused(value: str) -> None:
    with pytest.raises(InvalidEntry, match="NAMESPACE/SERVICE:PORT"):
        parse_entry("tcp", TCP, "9000", value, STREAMS)
