"""Which endpoint a request goes to, and where it goes when that one fails."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable

import pytest
from dataplane import (
    DEFAULT_POLICY,
    Plane,
    Reply,
    Request,
    Server,
    backend,
    echo,
    host,
    policy,
    refusing,
    route,
    servers,
    until,
)
from tidegate.model import Globals, Labels
from tidegate.render.runtime import MetricSettings

BACKEND = "ns/service:80"
MANY = 100  # keys of a hash: that one of four endpoints gets none of them does not happen (of 20: once in 80 runs)


def counts(plane: Plane, name: str, requests: int, target: str = "/", **more: object) -> dict[str, int]:
    """How many of the requests each backend answered."""
    with plane.client() as client:
        return collections.Counter(client.ask(name, target, **more).seen.backend for _ in range(requests))  # type: ignore[arg-type]


def test_round_robin_is_even(plane: Plane, name: Callable[[str], str]) -> None:
    with servers("a", "b", "c") as three:
        plane.put(backend("ns/even:80", *three), host(name("a"), route(backend="ns/even:80")))
        assert counts(plane, name("a"), 30) == {"a": 10, "b": 10, "c": 10}


def test_round_robin_is_even_over_all_workers(new_plane: Callable[..., Plane], name: Callable[[str], str]) -> None:
    plane = new_plane(settings=Globals(DEFAULT_POLICY, workers=2))
    with servers("a", "b", "c") as three:
        plane.put(backend(BACKEND, *three), host(name("a"), route(backend=BACKEND)))
        found = collections.Counter(plane.ask(name("a")).seen.backend for _ in range(60))
        assert found == {"a": 20, "b": 20, "c": 20}


def test_endpoints_of_a_pushed_change_are_used_at_once(plane: Plane, name: Callable[[str], str]) -> None:
    with servers("a", "b") as (a, b):
        plane.put(backend("ns/change:80", a), host(name("a"), route(backend="ns/change:80")))
        with plane.client() as client:
            for one in (a, b, a, b):
                plane.put(backend("ns/change:80", one))
                assert client.ask(name("a")).seen.backend == one.name


def slow(request: Request) -> Reply:
    threading.Event().wait(0.15)
    return echo(request)


@pytest.mark.parametrize("metrics", [True, False])
def test_two_choices_prefer_the_quick_endpoint(
    new_plane: Callable[..., Plane], name: Callable[[str], str], metrics: bool
) -> None:
    plane = new_plane(metrics=MetricSettings(enabled=metrics))
    with Server("quick") as quick, Server("slow", slow) as tardy:
        plane.put(backend(BACKEND, quick, tardy, algorithm="ewma"), host(name("a"), route(backend=BACKEND)))
        counts(plane, name("a"), 4)  # each is known now
        found = counts(plane, name("a"), 30)
        assert found.get("slow", 0) <= 2, found


def test_two_choices_remember_an_endpoint_that_refuses(plane: Plane, name: Callable[[str], str]) -> None:
    with Server("good") as good, refusing() as bad:
        plane.put(
            backend("ns/ewma-dead:80", bad, good, algorithm="ewma"), host(name("a"), route(backend="ns/ewma-dead:80"))
        )
        assert counts(plane, name("a"), 30) == {"good": 30}
    refusals = [line for line in plane.errors().splitlines() if "refused" in line and f":{bad.port}/" in line]
    assert 1 <= len(refusals) <= 3


def test_two_choices_do_not_take_an_endpoint_that_refuses_for_a_quick_one(
    new_plane: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    once = policy(next_upstream=("off",))
    plane = new_plane(policies=[once])
    with Server("good") as good, refusing() as bad:
        plane.put(
            backend(BACKEND, bad, good, algorithm="ewma"), host(name("a"), route(backend=BACKEND, policy=once.digest))
        )
        statuses = [plane.ask(name("a")).status for _ in range(30)]
    assert 1 <= statuses.count(502) <= 3


def test_hash_sends_equal_keys_to_one_endpoint_and_spreads_others(plane: Plane, name: Callable[[str], str]) -> None:
    with servers("a", "b", "c") as three:
        plane.put(
            backend("ns/hash:80", *three, algorithm="hash", hash_by=("$request_uri",)),
            host(name("a"), route(backend="ns/hash:80")),
        )
        used = set()
        for number in range(MANY):
            found = counts(plane, name("a"), 3, f"/{number}")
            assert len(found) == 1
            used |= set(found)
        assert used == {"a", "b", "c"}


def test_hash_moves_only_the_keys_of_an_endpoint_that_goes(plane: Plane, name: Callable[[str], str]) -> None:
    with servers("a", "b", "c") as three:
        fields = {"algorithm": "hash", "hash_by": ("$arg_key",)}

        def owners() -> list[str]:
            with plane.client() as client:
                return [client.ask(name("a"), f"/?key={key}").seen.backend for key in range(60)]

        plane.put(backend("ns/ring:80", *three, **fields), host(name("a"), route(backend="ns/ring:80")))
        before = owners()
        plane.put(backend("ns/ring:80", *three[:2], **fields))
        after = owners()
        assert all(new == old or old == "c" for old, new in zip(before, after, strict=True))
        assert "c" not in after


def test_hash_by_several_parts(plane: Plane, name: Callable[[str], str]) -> None:
    with servers("a", "b", "c", "d") as four:
        plane.put(
            backend("ns/parts:80", *four, algorithm="hash", hash_by=("x-", "$arg_a", "-", "$arg_b", "$no_such_thing")),
            host(name("a"), route(backend="ns/parts:80")),
        )
        assert len(counts(plane, name("a"), 5, "/1?a=1&b=2") | counts(plane, name("a"), 5, "/2?b=2&a=1")) == 1
        with plane.client() as client:
            assert len({client.ask(name("a"), f"/?a={n}").seen.backend for n in range(MANY)}) == 4


@pytest.mark.parametrize("variable", ["namespace", "ingress_name", "service_name", "service_port", "location_path"])
def test_hash_by_what_the_route_is_called(plane: Plane, name: Callable[[str], str], variable: str) -> None:
    fields = {"ingress_name": "ingress", "service_name": "service", "service_port": "port", "location_path": "path"}
    field = fields.get(variable, variable)
    with servers("a", "b", "c", "d") as four:
        labels = [Labels(**{field: str(number)}) for number in range(MANY)]
        routes = [route(f"/{number}", "ns/called:80", labels=one) for number, one in enumerate(labels)]
        plane.put(backend("ns/called:80", *four, algorithm="hash", hash_by=(f"${variable}",)), host(name("a"), *routes))
        with plane.client() as client:
            owners = [{client.ask(name("a"), f"/{number}").seen.backend for _ in range(3)} for number in range(MANY)]
    assert all(len(one) == 1 for one in owners)
    assert len(set.union(*owners)) == 4


def test_hash_by_the_name_of_the_upstream(plane: Plane, name: Callable[[str], str]) -> None:
    with servers("a", "b", "c", "d") as four:
        backends = [
            backend(f"ns/named{number}:80", *four, algorithm="hash", hash_by=("$proxy_upstream_name",))
            for number in range(MANY)
        ]
        routes = [route(f"/{number}", one.id) for number, one in enumerate(backends)]
        plane.put(*backends, host(name("a"), *routes))
        with plane.client() as client:
            owners = {client.ask(name("a"), f"/{number}").seen.backend for number in range(MANY)}
    assert len(owners) == 4


def test_subset_spreads_a_key_over_its_group(plane: Plane, name: Callable[[str], str]) -> None:
    with servers(*"abcdef") as six:
        plane.put(
            backend("ns/subset:80", *six, algorithm="hash", hash_by=("$arg_key",), subset_size=2),
            host(name("a"), route(backend="ns/subset:80")),
        )
        for key in range(5):
            assert len(counts(plane, name("a"), 30, f"/?key={key}")) == 2


# -- tries -------------------------------------------------------------------------------------------------------------


def test_refused_connection_is_tried_on_another_endpoint(plane: Plane, name: Callable[[str], str]) -> None:
    with Server("good") as good, refusing() as bad:
        for algorithm in ("round_robin", "ewma", "hash"):
            plane.put(
                backend("ns/retry:80", bad, good, algorithm=algorithm, hash_by=("$arg_key",)),
                host(name("a"), route(backend="ns/retry:80")),
            )
            with plane.client() as client:
                for key in range(10):
                    assert client.ask(name("a"), f"/?key={key}").status == 200


def test_refused_post_is_tried_on_another_endpoint_as_nothing_was_sent(
    plane: Plane, name: Callable[[str], str]
) -> None:
    with Server("good") as good, refusing() as bad:
        plane.put(backend("ns/post:80", bad, good), host(name("a"), route(backend="ns/post:80")))
        for _ in range(4):
            assert plane.ask(name("a"), method="POST", body=b"once").seen.body == "once"


def test_all_endpoints_refuse_502(plane: Plane, name: Callable[[str], str]) -> None:
    with refusing() as one, refusing() as two:
        plane.put(backend("ns/none:80", one, two), host(name("a"), route(backend="ns/none:80")))
        assert plane.ask(name("a")).status == 502


@pytest.mark.parametrize(("tries", "wanted"), [(None, 3), (1, 1), (2, 2), (4, 4), (0, 5)])
def test_number_of_tries(
    new_plane: Callable[..., Plane], name: Callable[[str], str], tries: int | None, wanted: int
) -> None:
    fields = {"next_upstream": ("error", "timeout", "http_502")}
    own = policy(**fields) if tries is None else policy(**fields, **own_tries(tries))
    plane = new_plane(policies=[own])
    with servers("a", "b", "c", "d", "e", handler=lambda _: Reply(502)) as five:
        more = {} if tries is None else {"tries": tries}
        plane.put(backend(BACKEND, *five), host(name("a"), route(backend=BACKEND, policy=own.digest, **more)))
        for round_ in (1, 2):  # the second finds kept-alive connections
            assert plane.ask(name("a")).status == 502
            asked = sum(len(one.requests) for one in five)
            # "as often as there are endpoints" leaves room for one stale connection
            assert asked == wanted * round_ or (tries == 0 and asked == (wanted + 1) * round_)
        assert max(len(one.requests) for one in five) <= 2 if tries else 4


def own_tries(tries: int) -> dict[str, int]:
    """Whether the number of tries is part of a policy as well."""
    return {"tries": tries} if hasattr(DEFAULT_POLICY, "tries") else {}


def test_endpoint_that_does_not_answer_in_time_is_followed_by_another(plane: Plane, name: Callable[[str], str]) -> None:
    never = threading.Event()

    def handler(request: Request) -> None:
        never.wait(20)

    with Server("good") as good, Server("mute", handler) as mute:
        plane.put(
            backend("ns/mute:80", mute, good),
            backend("ns/mute:81", mute),
            host(name("a"), route(backend="ns/mute:80", read_timeout=1), route("/only", "ns/mute:81", read_timeout=1)),
        )
        begun = time.monotonic()
        assert {plane.ask(name("a")).seen.backend for _ in range(2)} == {"good"}
        assert time.monotonic() - begun < 5
        assert plane.ask(name("a"), "/only").status == 504
        # once it was sent, a request that changes something is not sent again
        mute.requests.clear()
        good.requests.clear()
        answers = [plane.ask(name("a"), method="POST", body=b"x").status for _ in range(2)]
        assert sorted(answers) == [200, 504]
        assert len(mute.requests) == len(good.requests) == 1
        never.set()


def test_status_of_the_policy_is_tried_elsewhere_but_not_for_post(
    new_plane: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    own = policy(next_upstream=("error", "timeout", "http_502"))
    always = policy(next_upstream=("error", "timeout", "http_502", "non_idempotent"))
    plane = new_plane(policies=[own, always])
    with Server("good") as good, Server("bad", lambda _: Reply(502)) as bad:
        plane.put(
            backend(BACKEND, bad, good),
            host(
                name("a"),
                route(backend=BACKEND, policy=own.digest),
                route("/default", BACKEND),
                route("/always", BACKEND, policy=always.digest),
            ),
        )
        assert {plane.ask(name("a")).status for _ in range(4)} == {200}
        assert {plane.ask(name("a"), "/default").status for _ in range(4)} == {200, 502}
        assert {plane.ask(name("a"), method="POST", body=b"x").status for _ in range(4)} == {200, 502}
        assert {plane.ask(name("a"), "/always", "POST", body=b"x").status for _ in range(4)} == {200}


def test_stale_kept_connection_does_not_fail_a_request(plane: Plane, name: Callable[[str], str]) -> None:
    with Server("a") as a, Server("b") as b:
        plane.put(backend("ns/stale:80", a, b), host(name("a"), route(backend="ns/stale:80")))
        counts(plane, name("a"), 4)
        for one in (a, b):
            for sock in list(one._open):
                sock.shutdown(2)
        with plane.client() as client:
            assert [client.ask(name("a")).status for _ in range(6)] == [200] * 6


def test_endpoints_change_under_load_without_a_failed_request(plane: Plane, name: Callable[[str], str]) -> None:
    with servers("a", "b", "c", "d") as four:
        plane.put(backend("ns/load:80", *four), host(name("a"), route(backend="ns/load:80")))
        stop = threading.Event()
        statuses: collections.Counter[int | str] = collections.Counter()

        def ask(kept: bool) -> None:
            client = plane.client()
            while not stop.is_set():
                try:
                    if not kept:
                        client.sock.close()
                        client = plane.client()
                    statuses[client.ask(name("a"), "/x", "POST", body=b"y").status] += 1
                except OSError as error:
                    statuses[repr(error)] += 1
            client.sock.close()

        threads = [threading.Thread(target=ask, args=(number % 2 == 0,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for step in range(100):
            plane.put(backend("ns/load:80", *four[step % 4 :], *four[: step % 3]))
        until(lambda: statuses.total() > 300)
        stop.set()
        for thread in threads:
            thread.join(20)
        assert set(statuses) == {200}


def test_deleted_backend_is_503_and_serves_again_when_it_is_back(plane: Plane, name: Callable[[str], str]) -> None:
    with Server() as server:
        plane.put(backend("ns/away:80", server), host(name("a"), route(backend="ns/away:80")))
        with plane.client() as client:
            assert client.ask(name("a")).status == 200
            plane.delete("b:ns/away:80")
            assert client.ask(name("a")).status == 503
            plane.put(backend("ns/away:80"))
            assert client.ask(name("a")).status == 503
            plane.put(backend("ns/away:80", server))
            assert client.ask(name("a")).status == 200
