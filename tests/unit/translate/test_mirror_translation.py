"""What becomes of `mirror-*`."""

from __future__ import annotations

import pytest
from tidegate.model import Mirror, Mirroring
from tidegate.resources.changes import Resolution
from world import World, endpoints, ingress, service


def world_of(**annotations: str) -> World:
    return World(service(), endpoints(), ingress(**annotations))


@pytest.mark.parametrize(
    ("target", "backend", "name", "uri", "tls"),
    [
        ("http://copies.test", "//copies.test:80", "copies.test", ("$request_uri",), False),
        ("https://Copies.Test", "//copies.test:443", "copies.test", ("$request_uri",), True),
        ("http://copies.test:8080/", "//copies.test:8080", "copies.test", ("/", "$is_args", "$args"), False),
        ("http://copies.test/a?b=c", "//copies.test:80", "copies.test", ("/a?b=c&", "$args"), False),
        ("http://copies.test?b", "//copies.test:80", "copies.test", ("/?b&", "$args"), False),
        ("https://copies.test/$request_uri", "//copies.test:443", "copies.test", ("/", "$request_uri"), True),
        ("http://copies.test$request_uri", "//copies.test:80", "copies.test", ("$request_uri",), False),
        ("http://copies.test:81${uri}", "//copies.test:81", "copies.test", ("$uri",), False),
        ("http://10.0.0.9/a", "//10.0.0.9:80", "10.0.0.9", ("/a", "$is_args", "$args"), False),
        ("http://[fd00::9]:81/a", "//fd00::9:81", "fd00::9", ("/a", "$is_args", "$args"), False),
    ],
)
def test_a_target_becomes_a_backend_and_a_uri_to_ask_for(
    target: str, backend: str, name: str, uri: tuple[str, ...], tls: bool
) -> None:
    world = world_of(mirror_target=target)
    route = world.route()
    shown = f"[{name}]" if ":" in name else name if "Copies" not in target else "Copies.Test"
    assert route.mirror == Mirror(backend, name, uri, (shown,))
    assert world.translator.policies()[0][route.policy].mirroring == Mirroring(tls=tls)
    assert backend in world.translator.backends
    assert world.findings() == ()


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("copies.test", "allowed"),
        ("ftp://copies.test/", "allowed"),
        ("http://", "allowed"),
        ("http:///a", "allowed"),
        ("http://$host.copies.test/", "allowed"),
        ("http://copies.test:99999/", "allowed"),
        ("http://copies.test:port/", "allowed"),
        ("http://-x-/", "allowed"),
        ("http://copies.test/$nonesuch", "nonesuch"),
        ("http://copies.test/$", "does not begin"),
    ],
)
def test_a_target_that_cannot_be_asked_is_told_and_harms_nothing(target: str, why: str) -> None:
    world = world_of(mirror_target=target)
    assert (world.route().mirror, world.route().policy) == (None, "")
    [finding] = world.findings()
    assert finding.reason == "NoEffect"
    assert why in finding.message and "nothing is mirrored" in finding.message


def test_off_is_no_target() -> None:
    world = world_of(mirror_target="off")
    assert (world.route().mirror, world.findings()) == (None, ())


def test_host_and_body_of_copies_can_be_chosen() -> None:
    world = world_of(mirror_target="http://copies.test/", mirror_host="shadow-$host", mirror_request_body="off")
    route = world.route()
    assert route.mirror is not None and route.mirror.host == ("shadow-", "$host")
    assert world.translator.policies()[0][route.policy].mirroring == Mirroring(body=False)


def test_equal_ways_of_mirroring_share_a_policy_whatever_the_target_is() -> None:
    world = World(
        service(),
        endpoints(),
        ingress("one", host="a.test", mirror_target="http://one.test/"),
        ingress("two", host="b.test", mirror_target="http://two.test:81/$request_uri", mirror_host="x.test"),
    )
    assert world.route("/", "a.test").policy == world.route("/", "b.test").policy != ""


def test_the_name_of_a_target_is_resolved_as_long_as_somebody_mirrors_there() -> None:
    world = world_of(mirror_target="http://copies.test/")
    assert world.translator.dns_names() == {"copies.test"}
    assert world.translator.backends["//copies.test:80"].endpoints == ()
    changed = world.store.resolve(Resolution("copies.test", ("10.1.1.1", "fd00::1")))
    world.translator.update(world.store, changed)
    found = world.translator.backends["//copies.test:80"].endpoints
    assert [(one.address, one.port) for one in found] == [("10.1.1.1", 80), ("[fd00::1]", 80)]
    world.put(ingress())
    assert world.translator.dns_names() == frozenset()
    assert "//copies.test:80" not in world.translator.backends
