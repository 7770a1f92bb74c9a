"""EndpointSlices: within the limits, complete, and moving as little as possible."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from pools import PORT, service
from tidegate.endpointpools.layout import (
    MOST_IN_SLICE,
    Spot,
    endpoints_for,
    is_own_endpoints,
    is_own_slice,
    place,
    slices_for,
)
from tidegate.resources.model import EndpointPort, EndpointSlice, ServicePort

ADDRESSES = st.sets(st.integers(0, 60).map(lambda number: f"192.0.2.{number}"))
Steps = st.lists(ADDRESSES, min_size=1, max_size=6)


def names() -> itertools.count[int]:
    return itertools.count(1)


def placed(wanted: set[str], before: dict[str, list[str]], most: int) -> dict[str, list[str]]:
    fresh = (name for number in names() if (name := f"s-{number}") not in before)
    return place(wanted, before, fresh, most)


@given(Steps, st.integers(1, 12))
def test_every_address_is_in_just_one_slice_and_no_slice_is_too_large(steps: list[set[str]], most: int) -> None:
    now: dict[str, list[str]] = {}
    for wanted in steps:
        now = placed(wanted, now, most)
        assert sorted(address for addresses in now.values() for address in addresses) == sorted(wanted)
        assert all(0 < len(addresses) <= most for addresses in now.values())


@given(Steps, st.integers(2, 12))
def test_the_same_wish_again_changes_nothing(steps: list[set[str]], most: int) -> None:
    now: dict[str, list[str]] = {}
    for wanted in steps:
        now = placed(wanted, now, most)
    assert placed(steps[-1], now, most) == now


@given(Steps, st.integers(2, 12))
def test_slices_stay_few(steps: list[set[str]], most: int) -> None:
    now: dict[str, list[str]] = {}
    for wanted in steps:
        now = placed(wanted, now, most)
    sizes = sorted(map(len, now.values()))
    assert all(one + other > most // 2 for one, other in itertools.pairwise(sizes))


@given(ADDRESSES, st.integers(61, 99), st.integers(2, 12))
def test_one_more_address_changes_one_slice(wanted: set[str], more: int, most: int) -> None:
    before = placed(wanted, {}, most)
    after = placed(wanted | {f"192.0.2.{more}"}, before, most)
    assert sum(before.get(name) != addresses for name, addresses in after.items()) == 1
    assert before.keys() <= after.keys()


@given(ADDRESSES.filter(bool), st.integers(8, 12), st.data())
def test_one_address_less_changes_one_slice_unless_two_small_ones_are_joined(
    wanted: set[str], most: int, data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(sorted(wanted)))
    before = placed(wanted, {}, most)
    after = placed(wanted - {gone}, before, most)
    changed = {name for name in before if before[name] != after.get(name)}
    assert len(changed) == 1 or len(after) < len(before)


def spots(*addresses: str, ready: bool = True) -> list[Spot]:
    return [Spot(address, ready) for address in addresses]


def slices(found: list[Spot], before: tuple[EndpointSlice, ...] = (), taken: frozenset[str] = frozenset()):  # type: ignore[no-untyped-def]
    return slices_for(service(), "uid", found, before, taken)


def test_each_family_has_slices_of_its_own_with_all_numbered_ports() -> None:
    several = (PORT, ServicePort(53, "dns", "UDP", 5353), ServicePort(81, "named", target_port="web"))
    v4, v6 = slices_for(service("db", *several), "uid", spots("192.0.2.1", "2001:db8::1"), (), ())
    assert (v4.address_type, v6.address_type) == ("IPv4", "IPv6")
    assert v4.ports == v6.ports == (EndpointPort("http", 8080), EndpointPort("dns", 5353, "UDP"))
    assert (v4.metadata.name, v6.metadata.name) == ("db-tidegate-ipv4-1", "db-tidegate-ipv6-1")
    assert v4.metadata.labels == {
        "kubernetes.io/service-name": "db",
        "endpointslice.kubernetes.io/managed-by": "tidegate.dev",
        "tidegate.dev/owner": "uid",
    }
    assert is_own_slice(v4)


def test_readiness_changes_in_place() -> None:
    before = slices(spots("192.0.2.1", "192.0.2.2"))
    (after,) = slices([Spot("192.0.2.1", False), Spot("192.0.2.2", True)], before)
    assert [(one.addresses, one.ready, one.serving) for one in after.endpoints] == [
        (("192.0.2.1",), False, False),
        (("192.0.2.2",), True, True),
    ]


def test_more_than_a_thousand_endpoints_are_several_slices() -> None:
    many = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(2500)]
    found = slices(spots(*many))
    assert sorted(len(item.endpoints) for item in found) == [500, MOST_IN_SLICE, MOST_IN_SLICE]


def test_the_name_of_somebody_elses_slice_is_never_taken() -> None:
    (found,) = slices(spots("192.0.2.1"), (), frozenset({"db-tidegate-ipv4-1"}))
    assert found.metadata.name == "db-tidegate-ipv4-2"


def test_the_endpoints_object_says_the_same_and_is_not_mirrored() -> None:
    found = endpoints_for(
        service(), "uid", [Spot("2001:db8::1", True), Spot("192.0.2.2", False), Spot("192.0.2.1", True)]
    )
    assert found.metadata.labels["endpointslice.kubernetes.io/skip-mirror"] == "true"
    assert is_own_endpoints(found)
    (subset,) = found.subsets
    assert [(one.addresses[0], one.ready) for one in subset.endpoints] == [
        ("192.0.2.1", True),
        ("2001:db8::1", True),
        ("192.0.2.2", False),
    ]


def test_an_endpoints_object_is_cut_at_a_thousand_and_says_so() -> None:
    many = [Spot(f"10.0.{number >> 8}.{number & 255}", number >= 200) for number in range(1100)]
    found = endpoints_for(service(), "uid", many)
    chosen = found.subsets[0].endpoints
    assert (len(chosen), sum(one.ready is True for one in chosen)) == (1000, 900)
    assert found.metadata.annotations == {"endpoints.kubernetes.io/over-capacity": "truncated"}
    assert endpoints_for(service(), "uid", []).subsets == ()
