"""Cookie affinity, canaries, and the two together."""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dataplane import Answer, Plane, Reply, Server, backend, host, refusing, route, servers
from tidegate.model import Affinity, Canary, SessionCookie

MAIN, OTHER = "ns/main:80", "ns/canary:80"


def cookie_of(answer: Answer) -> str:
    """`name=value` as a browser would send it back."""
    found = answer.all("Set-Cookie")
    assert len(found) == 1, found
    return found[0].split(";")[0]


def sticky(**fields: Any) -> Affinity:
    return Affinity("route", "/", **fields)


@pytest.mark.parametrize("mode", ["balanced", "persistent"])
def test_cookie_keeps_a_client_on_its_endpoint(plane: Plane, name: Callable[[str], str], mode: str) -> None:
    with servers("a", "b", "c") as three:
        plane.put(backend(MAIN, *three), host(name(mode), route(backend=MAIN, affinity=sticky(mode=mode))))
        chosen = set()
        for _ in range(12):
            first = plane.ask(name(mode))
            chosen.add(first.seen.backend)
            cookie = cookie_of(first)
            assert re.fullmatch(r"route=[^|;]+\|[0-9a-f]{32}", cookie)
            for _ in range(4):
                again = plane.ask(name(mode), headers={"Cookie": cookie})
                assert again.seen.backend == first.seen.backend
                assert again.all("Set-Cookie") == []
        assert len(chosen) > 1


def test_persistent_client_stays_when_endpoints_come_and_moves_when_its_own_goes(
    plane: Plane, name: Callable[[str], str]
) -> None:
    with servers("a", "b", "c", "d") as (a, b, c, d):
        plane.put(backend(MAIN, a), host(name("a"), route(backend=MAIN, affinity=sticky(mode="persistent"))))
        cookie = cookie_of(plane.ask(name("a")))
        plane.put(backend(MAIN, d, c, b, a))
        for _ in range(5):
            assert plane.ask(name("a"), headers={"Cookie": cookie}).seen.backend == "a"
        plane.put(backend(MAIN, b, c, d))
        moved = plane.ask(name("a"), headers={"Cookie": cookie})
        assert moved.seen.backend != "a"
        again = plane.ask(name("a"), headers={"Cookie": cookie_of(moved)})
        assert again.seen.backend == moved.seen.backend


def test_balanced_client_moves_only_when_its_endpoint_goes(plane: Plane, name: Callable[[str], str]) -> None:
    with servers("a", "b", "c") as three:
        plane.put(backend(MAIN, *three), host(name("a"), route(backend=MAIN, affinity=sticky())))
        for _ in range(10):
            first = plane.ask(name("a"))
            gone = next(one for one in three if one.name != first.seen.backend)
            plane.put(backend(MAIN, *(one for one in three if one is not gone)))
            assert plane.ask(name("a"), headers={"Cookie": cookie_of(first)}).seen.backend == first.seen.backend
            plane.put(backend(MAIN, *three))


def test_attributes_of_the_cookie(plane: Plane, name: Callable[[str], str]) -> None:
    with Server() as server:
        full = Affinity("c", "/shop", domain="x.test", expires=60, max_age=61, secure=True, same_site="Lax")
        bare = Affinity("c", "/")
        none = Affinity("c", "/", same_site="None", conditional_same_site=True)
        plane.put(
            backend(MAIN, server),
            host(
                name("a"),
                route(backend=MAIN, affinity=full),
                route("/bare", MAIN, affinity=bare),
                route("/none", MAIN, affinity=none),
            ),
        )
        value = r"c=[^;]+; Expires=\w{3}, \d\d-\w{3}-\d\d \d\d:\d\d:\d\d GMT; Max-Age=61; Domain=x.test; Path=/shop; "
        assert re.fullmatch(value + "Secure; HttpOnly; SameSite=Lax", plane.ask(name("a")).all("Set-Cookie")[0])
        assert re.fullmatch(r"c=[^;]+; Path=/; HttpOnly", plane.ask(name("a"), "/bare").all("Set-Cookie")[0])
        with plane.tls_client(name("a")) as client:
            assert re.fullmatch(
                r"c=[^;]+; Path=/; Secure; HttpOnly", client.ask(name("a"), "/bare").all("Set-Cookie")[0]
            )
        assert plane.ask(name("a"), "/none").all("Set-Cookie")[0].endswith("SameSite=None")
        old = {"User-Agent": "Mozilla/5.0 (X11) Chrome/51.0"}
        assert plane.ask(name("a"), "/none", headers=old).all("Set-Cookie")[0].endswith("HttpOnly")


def test_cookies_of_the_backend_stay_beside_ours(plane: Plane, name: Callable[[str], str]) -> None:
    with Server(handler=lambda _: Reply(headers=[("Set-Cookie", "own=1")])) as server:
        plane.put(backend(MAIN, server), host(name("a"), route(backend=MAIN, affinity=sticky())))
        found = plane.ask(name("a")).all("Set-Cookie")
        assert sorted(one.split("=")[0] for one in found) == ["own", "route"]


@pytest.mark.parametrize("mode", ["balanced", "persistent"])
def test_failing_endpoint_of_a_cookie_is_left_only_when_that_is_wanted(
    plane: Plane, name: Callable[[str], str], mode: str
) -> None:
    with servers("a", "b") as (a, b):
        plane.put(
            backend(MAIN, a, b),
            host(
                name("a"),
                route("/stay", MAIN, affinity=sticky(mode=mode)),
                route("/leave", MAIN, affinity=sticky(mode=mode, change_on_failure=True)),
            ),
        )
        first = plane.ask(name("a"), "/stay")
        cookie = cookie_of(first)
        owner, rest = (a, b) if first.seen.backend == "a" else (b, a)
        owner.close()  # its port refuses now
        assert plane.ask(name("a"), "/stay", headers={"Cookie": cookie}).status == 502
        left = plane.ask(name("a"), "/leave", headers={"Cookie": cookie})
        assert left.seen.backend == rest.name
        assert cookie_of(left) != cookie
        assert plane.ask(name("a"), "/leave", headers={"Cookie": cookie_of(left)}).seen.backend == rest.name


def test_affinity_of_one_request_does_not_leak_into_another(plane: Plane, name: Callable[[str], str]) -> None:
    with Server() as good, refusing() as bad:
        plane.put(
            backend("ns/sticky:80", good),
            backend("ns/loose:80", bad, good),
            host(name("sticky"), route(backend="ns/sticky:80", affinity=sticky(change_on_failure=True))),
            host(name("loose"), route(backend="ns/loose:80")),
        )
        with plane.client() as client:
            for _ in range(4):
                assert client.ask(name("sticky")).all("Set-Cookie")
                answer = client.ask(name("loose"))
                assert (answer.status, answer.all("Set-Cookie")) == (200, [])


@pytest.mark.parametrize("mode", ["balanced", "persistent"])
def test_routes_without_affinity_follow_the_cookies_of_others_and_give_none(
    plane: Plane, name: Callable[[str], str], mode: Any
) -> None:
    with servers("a", "b", "c") as three:
        follows = (SessionCookie("other"), SessionCookie("route", mode))
        plane.put(
            backend(MAIN, *three, follows=follows),
            host(name("a"), route(backend=MAIN, affinity=sticky(mode=mode)), route("/api", MAIN)),
        )
        first = plane.ask(name("a"))
        headers = {"Cookie": cookie_of(first)}
        assert {plane.ask(name("a"), "/api", headers=headers).seen.backend for _ in range(6)} == {first.seen.backend}
        foreign = {"Cookie": f"route={'0' * 32}|{'0' * 32}"}
        for more in ({}, foreign):
            answers = [plane.ask(name("a"), "/api", headers=more) for _ in range(6)]
            assert {answer.seen.backend for answer in answers} == {"a", "b", "c"}
            assert not any(answer.all("Set-Cookie") for answer in answers)


# -- canaries ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(plane: Plane) -> Iterator[None]:
    with Server("main") as main, Server("canary") as other:
        plane.put(backend("ns/m:80", main), backend("ns/c:80", other))
        yield


def takes(plane: Plane, name: str, **headers: str) -> str:
    found = {plane.ask(name, headers={key.replace("_", "-"): text for key, text in headers.items()}).seen.backend}
    return found.pop()


def rule(**fields: Any) -> Canary:
    return Canary("ns/c:80", **fields)


@pytest.mark.parametrize(
    ("fields", "headers", "wanted"),
    [
        ({}, {}, "main"),
        ({"weight": 100}, {}, "canary"),
        ({"weight": 0}, {}, "main"),
        ({"weight": 500, "total": 500}, {}, "canary"),
        ({"header": "X-Try"}, {"X_Try": "always"}, "canary"),
        ({"header": "X-Try", "weight": 100}, {"X_Try": "never"}, "main"),
        ({"header": "X-Try", "weight": 100}, {"X_Try": "maybe"}, "canary"),
        ({"header": "X-Try"}, {"X_Try": "maybe"}, "main"),
        ({"header": "X-Try", "header_value": "yes"}, {"X_Try": "yes"}, "canary"),
        ({"header": "X-Try", "header_value": "yes"}, {"X_Try": "Yes"}, "main"),
        ({"header": "X-Try", "header_value": "yes"}, {"X_Try": "always"}, "main"),
        ({"header": "X-Try", "header_value": "yes", "weight": 100}, {"X_Try": "never"}, "canary"),
        ({"header": "X-Try", "header_value": "a", "header_pattern": "b"}, {"X_Try": "b"}, "main"),
        ({"header": "X-Try", "header_pattern": "^(eu|us)-"}, {"X_Try": "us-1"}, "canary"),
        ({"header": "X-Try", "header_pattern": "eu"}, {"X_Try": "xeux"}, "canary"),
        ({"header": "X-Try", "header_pattern": "eu"}, {"X_Try": "EU"}, "main"),
        ({"header": "X-Try", "header_pattern": "eu", "weight": 100}, {"X_Try": "us"}, "canary"),
        ({"header": "X-Try", "header_pattern": "(", "weight": 100}, {"X_Try": "us"}, "main"),
        ({"header": "X-Try", "header_pattern": "(", "weight": 100}, {}, "canary"),
        ({"cookie": "try"}, {"Cookie": "try=always"}, "canary"),
        ({"cookie": "try", "weight": 100}, {"Cookie": "try=never"}, "main"),
        ({"cookie": "try", "weight": 100}, {"Cookie": "try=other"}, "canary"),
        ({"cookie": "my-try.x"}, {"Cookie": "a=b; my-try.x=always"}, "canary"),
        ({"header": "X-Try", "cookie": "try"}, {"X_Try": "never", "Cookie": "try=always"}, "main"),
        ({"header": "X-Try", "cookie": "try"}, {"X_Try": "other", "Cookie": "try=always"}, "canary"),
        ({"header": "X-Try", "cookie": "try", "weight": 100}, {"Cookie": "try=never"}, "main"),
    ],
)
def test_first_canary_rule_that_decides_wins(
    plane: Plane,
    pair: None,
    name: Callable[[str], str],
    fields: dict[str, Any],
    headers: dict[str, str],
    wanted: str,
) -> None:
    plane.put(host(name("a"), route(backend="ns/m:80", canaries=(rule(**fields),))))
    assert takes(plane, name("a"), **headers) == wanted


def test_catastrophic_canary_pattern_keeps_the_request_on_the_main_backend(
    plane: Plane, pair: None, name: Callable[[str], str]
) -> None:
    plane.put(
        host(name("a"), route(backend="ns/m:80", canaries=(rule(header="X-Try", header_pattern="(a+)+$", weight=100),)))
    )
    assert takes(plane, name("a"), X_Try="a" * 200 + "!") == "main"
    assert takes(plane, name("a"), X_Try="aaa") == "canary"


def test_weight_shares_requests(plane: Plane, pair: None, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route(backend="ns/m:80", canaries=(rule(weight=30),))))
    with plane.client() as client:
        found = collections.Counter(client.ask(name("a")).seen.backend for _ in range(600))
    assert 120 < found["canary"] < 240  # 180 on average, five standard deviations


def test_canary_without_endpoints_leaves_the_traffic_where_it_was(
    plane: Plane, pair: None, name: Callable[[str], str]
) -> None:
    plane.put(
        backend("ns/empty:80"), host(name("a"), route(backend="ns/m:80", canaries=(Canary("ns/empty:80", weight=100),)))
    )
    assert takes(plane, name("a")) == "main"


@pytest.fixture(scope="module")
def second(plane: Plane, pair: None) -> Iterator[None]:
    with Server("second") as server:
        plane.put(backend("ns/d:80", server))
        yield


def second_rule(**fields: Any) -> Canary:
    return Canary("ns/d:80", **fields)


@pytest.mark.parametrize(
    ("older", "younger", "headers", "wanted"),
    [
        ({"header": "X-One"}, {"header": "X-Two"}, {"X_One": "always"}, "canary"),
        ({"header": "X-One"}, {"header": "X-Two"}, {"X_Two": "always"}, "second"),
        ({"header": "X-One"}, {"header": "X-Two"}, {"X_One": "always", "X_Two": "always"}, "canary"),
        ({"header": "X-One"}, {"header": "X-Two"}, {"X_One": "never", "X_Two": "always"}, "second"),
        ({"header": "X-One"}, {"header": "X-Two"}, {}, "main"),
        ({"header": "X-V", "header_value": "1"}, {"header": "X-V", "header_value": "2"}, {"X_V": "2"}, "second"),
        ({"weight": 100}, {"header": "X-Two"}, {"X_Two": "always"}, "second"),
        ({"weight": 100}, {"cookie": "two"}, {"Cookie": "two=always"}, "second"),
        ({"weight": 100}, {"weight": 100}, {}, "canary"),
        ({"weight": 0}, {"weight": 100}, {}, "second"),
        ({"header": "X-One", "weight": 100}, {"weight": 100}, {"X_One": "never"}, "second"),
    ],
)
def test_several_canaries_all_count_and_what_a_request_says_comes_before_weights(
    plane: Plane,
    second: None,
    name: Callable[[str], str],
    older: dict[str, Any],
    younger: dict[str, Any],
    headers: dict[str, str],
    wanted: str,
) -> None:
    plane.put(host(name("a"), route(backend="ns/m:80", canaries=(rule(**older), second_rule(**younger)))))
    assert takes(plane, name("a"), **headers) == wanted


def test_weights_of_several_canaries_add_up(plane: Plane, second: None, name: Callable[[str], str]) -> None:
    canaries = (rule(weight=30), second_rule(weight=100, total=500))
    plane.put(host(name("a"), route(backend="ns/m:80", canaries=canaries)))
    with plane.client() as client:
        found = collections.Counter(client.ask(name("a")).seen.backend for _ in range(600))
    assert 120 < found["canary"] < 240  # 180 and 120 on average, five standard deviations
    assert 70 < found["second"] < 170


def test_canary_without_endpoints_leaves_its_share_to_no_other(
    plane: Plane, second: None, name: Callable[[str], str]
) -> None:
    canaries = (Canary("ns/gone:80", weight=100), second_rule(header="X-Two"))
    plane.put(host(name("a"), route(backend="ns/m:80", canaries=canaries)))
    assert takes(plane, name("a")) == "main"
    assert takes(plane, name("a"), X_Two="always") == "second"


def test_sticky_client_stays_with_the_canary_that_took_it(
    plane: Plane, second: None, name: Callable[[str], str]
) -> None:
    def put(first: int, other: int) -> None:
        canaries = (rule(weight=first), second_rule(weight=other))
        plane.put(host(name("a"), route(backend="ns/m:80", affinity=sticky(), canaries=canaries)))

    put(0, 100)
    cookie = cookie_of(plane.ask(name("a")))
    put(100, 0)
    assert takes(plane, name("a"), Cookie=cookie) == "second"
    assert takes(plane, name("a")) == "canary"


def test_main_backend_without_endpoints_is_503_whatever_the_canary_says(
    plane: Plane, pair: None, name: Callable[[str], str]
) -> None:
    plane.put(host(name("a"), route(backend="ns/missing:80", canaries=(rule(weight=100),))))
    assert plane.ask(name("a")).status == 503


def test_sticky_client_stays_with_the_canary_or_the_main_backend(
    plane: Plane, pair: None, name: Callable[[str], str]
) -> None:
    def put(weight: int, **fields: object) -> None:
        plane.put(
            host(name("a"), route(backend="ns/m:80", affinity=sticky(), canaries=(rule(weight=weight, **fields),)))
        )

    put(100)
    canary = cookie_of(plane.ask(name("a")))
    put(0, header="X-Try")
    main = cookie_of(plane.ask(name("a")))
    assert takes(plane, name("a"), Cookie=canary) == "canary"
    assert takes(plane, name("a"), Cookie=canary, X_Try="never") == "canary"
    put(100, header="X-Try")
    assert takes(plane, name("a"), Cookie=main) == "main"
    assert takes(plane, name("a"), Cookie=main, X_Try="always") == "main"


def test_legacy_canary_sets_no_cookie_and_holds_nobody(plane: Plane, pair: None, name: Callable[[str], str]) -> None:
    def put(weight: int) -> None:
        plane.put(
            host(name("a"), route(backend="ns/m:80", affinity=sticky(), canaries=(rule(weight=weight, sticky=False),)))
        )

    put(100)
    answer = plane.ask(name("a"))
    assert (answer.seen.backend, answer.all("Set-Cookie")) == ("canary", [])
    put(0)
    assert plane.ask(name("a")).seen.backend == "main"
