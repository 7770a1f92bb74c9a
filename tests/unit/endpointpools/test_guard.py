"""Which addresses a pool may lead to."""

from __future__ import annotations

import pytest
from tidegate.endpointpools.guard import Guard, Surroundings, parse_networks

AROUND = Surroundings(
    service_networks=frozenset({"10.96.0.0/12", "fd00:96::/112"}),
    api_server=frozenset({"192.0.2.6", "2001:db8::6"}),
    controller=frozenset({"10.244.0.7"}),
)


def guard(*allowed: str, loopback: bool = False) -> Guard:
    return Guard(parse_networks(allowed), AROUND, loopback=loopback)


@pytest.mark.parametrize("address", ["192.0.2.10", "10.244.0.8", "2001:db8::1", "fd12::1", "172.16.0.1", "100.64.0.1"])
def test_ordinary_addresses_may_be_used(address: str) -> None:
    assert guard().refusal(address) == ""


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.0.1", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("169.254.169.254", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("fe80::1", "link-local"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("192.0.2.6", "API server"),
        ("::ffff:192.0.2.6", "API server"),
        ("2001:db8::6", "API server"),
        ("10.244.0.7", "Tidegate itself"),
        ("10.96.0.1", "range of Services"),
        ("10.111.255.255", "range of Services"),
        ("fd00:96::1", "range of Services"),
        ("::ffff:10.96.0.1", "range of Services"),
        ("fe80::1%eth0", "link-local"),
        ("localhost", "no IP address"),
    ],
)
def test_addresses_that_lend_somebody_elses_place_are_refused(address: str, why: str) -> None:
    assert why in guard().refusal(address)
    assert why in guard("0.0.0.0/0", "::/0", loopback=True).refusal(address)


def test_only_allowed_networks_may_be_used() -> None:
    rules = guard("192.0.2.0/24", "2001:db8::/64")
    assert [rules.refusal(one) for one in ("192.0.2.10", "2001:db8::9")] == ["", ""]
    assert "--endpoint-pool-allowed-cidrs" in rules.refusal("198.51.100.1")
    assert "API server" in rules.refusal("192.0.2.6")


def test_loopback_opens_only_where_it_may_and_is_named() -> None:
    assert guard("127.0.0.0/8", "::1/128", loopback=True).refusal("127.0.0.1") == ""
    assert guard("127.0.0.0/8", "::1/128", loopback=True).refusal("::1") == ""
    assert "loopback" in guard("127.0.0.0/8", loopback=True).refusal("::1")
    assert "loopback" in guard("127.0.0.2/32", loopback=True).refusal("127.0.0.1")
    assert "loopback" in guard("127.0.0.0/8").refusal("127.0.0.1")
    assert "--endpoint-pool-allowed-cidrs" in guard(loopback=True).refusal("127.0.0.1")


def test_the_addresses_of_services_are_asked_for_each_time() -> None:
    services: set[str] = set()
    rules = Guard(is_service=services.__contains__)
    assert rules.refusal("192.0.2.10") == ""
    services.add("192.0.2.10")
    assert "Service" in rules.refusal("192.0.2.10")
    assert "Service" in rules.refusal("::ffff:192.0.2.10")


def test_new_surroundings_count_at_once() -> None:
    assert Guard().refusal("192.0.2.6") == ""
    assert "API server" in Guard().within(AROUND).refusal("192.0.2.6")


def test_a_network_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match=r"found '192\.0\.2\.1/24', allowed: networks such as"):
        parse_networks(["192.0.2.1/24"])
