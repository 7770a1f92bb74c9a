"""Limits, address lists and passwords: who may ask a route, and how often."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dataplane import (
    LABELS,
    Nginx,
    Plane,
    Reply,
    Request,
    Server,
    backend,
    basic,
    echo,
    host,
    policy,
    route,
    running,
    until,
)
from tidegate.model import Access, BasicAuth, RateLimit, Route

ECHO = "ns/echo:80"
ANYBODY, NOBODY = "127.0.0.0/8", "192.0.2.0/24"
pytestmark = pytest.mark.usefixtures("server")

# one set of policies for the whole module: each test uses those that it needs
LIMITED = policy(rates=(RateLimit(1, "m", 3),))
LIMITED_LIST = policy(rates=(RateLimit(1, "m", 3),), access=True)
TWO_RATES = policy(rates=(RateLimit(100, "s", 100), RateLimit(1, "m", 2)))
CONNECTIONS = policy(connections=1)
OWN_HOST = policy(own_host=True)
GUARDS = {
    (acl, auth, any_): policy(access=acl, auth=auth, satisfy_any=any_)
    for acl, auth, any_ in itertools.product([False, True], repeat=3)
    if acl or auth
}
POLICIES = [LIMITED, LIMITED_LIST, TWO_RATES, CONNECTIONS, OWN_HOST, *GUARDS.values()]


@pytest.fixture(scope="module")
def plane(nginx: Nginx) -> Iterator[Plane]:
    """A plane that has the policies of this module."""
    with running(nginx, policies=POLICIES) as one:
        (one.run / "users/known").write_text("joe:{PLAIN}secret\n")
        yield one


# -- rate limits -------------------------------------------------------------------------------------------------------


def allowed(plane: Plane, name: str, requests: int = 8, target: str = "/") -> int:
    with plane.client() as client:
        return [client.ask(name, target).status for _ in range(requests)].count(200)


def limited(path: str = "/", scope: str = "one", **more: Any) -> Route:
    return route(path, ECHO, policy=LIMITED.digest, limit_scope=scope, **more)


def test_rate_allows_one_and_the_burst(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), limited(scope="burst")))
    assert allowed(plane, name("a")) == 4
    assert plane.ask(name("a")).status == 503


def test_hosts_of_one_scope_share_a_counter_and_others_have_their_own(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(
        host(name("a"), limited(scope="first")),
        host(name("b"), limited(scope="second")),
        host(name("c"), limited("/x", scope="first")),
    )
    assert allowed(plane, name("a")) == 4
    assert allowed(plane, name("b")) == 4
    assert allowed(plane, name("c"), target="/x") == 0


def test_exempt_addresses_are_not_counted(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(
        host(name("a"), limited(scope="exempt", limit_exempt=(ANYBODY,))),
        host(name("b"), limited(scope="exempt", limit_exempt=(NOBODY,))),
    )
    assert allowed(plane, name("a")) == 8
    assert allowed(plane, name("b")) == 4


def test_stricter_of_two_rates_holds(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route(backend=ECHO, policy=TWO_RATES.digest, limit_scope="both")))
    assert allowed(plane, name("a")) == 3


def test_connections_in_process_are_bounded_per_scope(plane: Plane, name: Callable[[str], str]) -> None:
    gate = threading.Event()

    def handler(request: Request) -> Reply:
        if request.target == "/hold":
            gate.wait(20)
        return echo(request)

    with Server(handler=handler) as server:
        plane.put(
            backend("ns/hold:80", server),
            host(name("a"), route(backend="ns/hold:80", policy=CONNECTIONS.digest, limit_scope="x")),
            host(name("b"), route(backend="ns/hold:80", policy=CONNECTIONS.digest, limit_scope="y")),
        )
        with plane.client() as client:
            client.send(f"GET /hold HTTP/1.1\r\nHost: {name('a')}\r\n\r\n".encode())
            until(lambda: server.requests)
            assert plane.ask(name("a")).status == 503
            assert plane.ask(name("b")).status == 200
            gate.set()
            assert client.answer().status == 200
        assert plane.ask(name("a")).status == 200


# -- access ------------------------------------------------------------------------------------------------------------


def guarded(acl: Access | None, auth: bool, any_: bool) -> Route:
    key = (acl is not None, auth, any_)
    users = BasicAuth("the realm", "known") if auth else None
    return route(backend=ECHO, policy=GUARDS[key].digest, access=acl, auth=users)


@pytest.mark.parametrize("any_", [False, True], ids=["all", "any"])
@pytest.mark.parametrize("list_passes", [False, True], ids=["listed-out", "listed-in"])
@pytest.mark.parametrize("user_passes", [False, True], ids=["wrong-password", "right-password"])
def test_list_and_password_combine_as_satisfy_says(
    plane: Plane, name: Callable[[str], str], any_: bool, list_passes: bool, user_passes: bool
) -> None:
    acl = Access(allow=(ANYBODY if list_passes else NOBODY,))
    plane.put(host(name("a"), guarded(acl, True, any_)))
    answer = plane.ask(name("a"), headers=basic("joe:secret" if user_passes else "joe:wrong"))
    if any((list_passes, user_passes)) if any_ else all((list_passes, user_passes)):
        assert answer.seen.header("Authorization") is None  # it is ours, not the backend's
    elif user_passes:
        assert answer.status == 403
    else:
        assert answer.status == 401 or (not any_ and not list_passes and answer.status == 403)
        assert answer.status == 403 or answer.header("WWW-Authenticate") == 'Basic realm="the realm"'


@pytest.mark.parametrize("any_", [False, True], ids=["all", "any"])
@pytest.mark.parametrize("list_passes", [False, True], ids=["listed-out", "listed-in"])
def test_request_without_credentials_passes_only_where_the_list_suffices(
    plane: Plane, name: Callable[[str], str], any_: bool, list_passes: bool
) -> None:
    acl = Access(allow=(ANYBODY if list_passes else NOBODY,))
    plane.put(host(name("a"), guarded(acl, True, any_)))
    answer = plane.ask(name("a"))
    if any_ and list_passes:
        assert answer.status == 200 and answer.header("WWW-Authenticate") is None
    else:
        assert answer.status == 401 or (not any_ and not list_passes and answer.status == 403)


@pytest.mark.parametrize(
    ("acl", "wanted"),
    [
        (Access(allow=(ANYBODY,)), 200),
        (Access(allow=(NOBODY,)), 403),
        (Access(allow=(NOBODY, "127.0.0.1/32")), 200),
        (Access(deny=(ANYBODY,)), 403),
        (Access(deny=(NOBODY,)), 200),
        (Access(allow=(ANYBODY,), deny=("127.0.0.1/32",)), 403),
        (Access(allow=("0.0.0.0/0",)), 200),
        (Access(allow=("::/0",)), 403),
        (Access(), 200),
    ],
)
@pytest.mark.parametrize("any_", [False, True], ids=["all", "any"])
def test_address_lists(plane: Plane, name: Callable[[str], str], acl: Access, wanted: int, any_: bool) -> None:
    plane.put(host(name("a"), guarded(acl, False, any_)))
    assert plane.ask(name("a")).status == wanted


def test_policy_with_lists_denies_a_route_that_has_none(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route(backend=ECHO, policy=GUARDS[True, False, True].digest)))
    assert plane.ask(name("a")).status == 403


def test_users_file_is_read_anew_when_the_route_names_another(plane: Plane, name: Callable[[str], str]) -> None:
    (plane.run / "users/other").write_text("ann:{PLAIN}secret\n")
    users = policy(auth=True)
    for file, wanted in (("known", 200), ("other", 401), ("missing", 403)):
        plane.put(host(name("a"), route(backend=ECHO, policy=users.digest, auth=BasicAuth("r", file))))
        assert plane.ask(name("a"), headers=basic("joe:secret")).status == wanted
        assert plane.ask(name("a")).status == 401


def test_limits_count_requests_that_access_denies(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(
        host(
            name("a"),
            route(
                backend=ECHO, policy=LIMITED_LIST.digest, access=Access(deny=(ANYBODY,)), limit_scope="denied",
            ),
        )
    )  # fmt: skip
    assert [plane.ask(name("a")).status for _ in range(6)] == [403] * 4 + [503] * 2


def test_own_host_is_sent_to_the_backend(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route(backend=ECHO, policy=OWN_HOST.digest, upstream_host=("inner.test:81",))))
    seen = plane.ask(name("a")).seen
    assert (seen.header("Host"), seen.header("X-Forwarded-Host")) == ("inner.test:81", name("a"))
    assert seen.header("X-Real-IP") == "127.0.0.1"


def test_variables_of_the_own_host_stand_for_their_values(plane: Plane, name: Callable[[str], str]) -> None:
    parts = ("$service_name", ".", "$namespace", ".", "$arg_zone", ":", "$service_port", "$nonesuch")
    plane.put(host(name("a"), route(backend=ECHO, labels=LABELS, policy=OWN_HOST.digest, upstream_host=parts)))
    assert plane.ask(name("a"), "/?zone=a%20b").seen.header("Host") == "the-service.ns.a%20b:http"
    plane.put(host(name("a"), route(backend=ECHO, policy=OWN_HOST.digest, upstream_host=("a", "$uri"))))
    assert plane.ask(name("a"), "/x%0d%0aX-Forged:%20y").seen.header("Host") == "a/x%0D%0AX-Forged:%20y"


def test_client_cannot_set_the_variables_of_a_policy(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route(backend=ECHO, policy=OWN_HOST.digest, upstream_host=("inner.test",))))
    headers = {"tidegate-upstream-host": "evil", "X-Tidegate": "evil"}
    assert plane.ask(name("a"), "/?tidegate_upstream_host=evil", headers=headers).seen.header("Host") == "inner.test"


def test_named_locations_cannot_be_asked_for(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route("/x", ECHO)))
    for target in ("/@tidegate_default", "/@tidegate_declarations", f"/@policy_{LIMITED.digest}"):
        assert plane.ask(name("a"), target).status == 404
