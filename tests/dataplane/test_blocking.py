"""Clients that get 403 whatever they ask for, and NGINX's own page of counters."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from dataplane import DEFAULT_POLICY, Plane, Server, backend, host, policy, route
from tidegate.model import Globals, Policy, Redirect

ECHO = "ns/echo:80"
LISTED = policy(access=True)


def settings(default: Policy = DEFAULT_POLICY, **fields: object) -> Globals:
    return Globals(**{"default_policy": default, "workers": 1, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("AlphaBot", 403),
        ("alphabot", 403),
        ("AlphaBot2", 200),
        ("~tilde", 403),
        ("x-Scan/1", 403),
        ("x-scan/1", 200),
        ("A CRAWLER of some kind", 403),
        ("", 403),
        ("two words", 403),
        ("Mozilla/5.0 ]=====] x", 403),
    ],
)
def test_agents_and_referers_are_turned_away_by_text_or_pattern(
    new_plane: Callable[..., Plane], name: Callable[[str], str], value: str, status: int
) -> None:
    rules = ("AlphaBot", "\\~tilde", "~Scan/[0-9]", "~*crawler", "~^$", "two words", "~\\]={5}\\]")
    for header, field in (("User-Agent", "blocked_agents"), ("Referer", "blocked_referers")):
        with Server() as server:
            plane = new_plane(settings=settings(**{field: rules}))
            plane.put(backend(ECHO, server), host(name("a"), route(backend=ECHO)))
            given = {"User-Agent": "x", "Referer": "x"} | {header: value}
            for label in ("a", "nobody"):
                answer = plane.ask(name(label), headers={key: text for key, text in given.items() if text})
                assert answer.status == (404 if label == "nobody" and status == 200 else status)


def test_blocked_addresses_reach_nothing_not_even_a_redirect_or_a_path_with_its_own_list(
    new_plane: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    with Server() as server:
        plane = new_plane(settings=settings(blocked_networks=("127.0.0.0/8",)), policies=[LISTED])
        plane.put(
            backend(ECHO, server),
            host(name("a"), route(backend=ECHO)),
            host(name("b"), route(redirect=Redirect(301, "http://else.test/"))),
        )
        assert [plane.ask(name(label)).status for label in ("a", "b", "nobody")] == [403, 403, 403]
        assert plane.ask(name("nobody"), "/healthz").status == 403
        plane.reload(settings=settings(blocked_networks=("10.0.0.0/8",)))
        assert [plane.ask(name(label)).status for label in ("a", "b", "nobody")] == [200, 301, 404]


def test_a_pattern_that_cannot_be_matched_lets_nobody_in(
    new_plane: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    with Server() as server:
        plane = new_plane(settings=settings(blocked_agents=("~(?<broken>",)))
        plane.put(backend(ECHO, server), host(name("a"), route(backend=ECHO)))
        assert plane.ask(name("a"), headers={"User-Agent": "x"}).status == 503


def test_a_403_of_the_block_list_is_replaced_where_the_global_list_says_so(
    new_plane: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    with Server() as server:
        default = policy(intercept=(403,))
        plane = new_plane(settings=settings(default, blocked_agents=("bot",)))
        plane.put(backend(ECHO, server), host(name("a"), route(backend=ECHO)))
        answer = plane.ask(name("a"), headers={"User-Agent": "bot"})
        assert answer.status == 404  # what the built-in default backend says
        assert server.requests == []


def test_the_page_of_counters_belongs_to_unknown_hosts_and_its_readers(
    new_plane: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    with Server() as server:
        plane = new_plane(settings=settings(status_readers=("127.0.0.1/32", "::1/128")))
        plane.put(backend(ECHO, server), host(name("a"), route(backend=ECHO)))
        answer = plane.ask(name("nobody"), "/nginx_status")
        assert (answer.status, answer.body[:19]) == (200, b"Active connections:")
        assert plane.ask(name("a"), "/nginx_status").seen.target == "/nginx_status"
        plane.put(host("_", route(backend=ECHO)))
        assert plane.ask(name("nobody"), "/nginx_status").body[:19] == b"Active connections:"
        plane.reload(settings=settings(status_readers=("10.0.0.0/8",)))
        assert plane.ask(name("nobody"), "/nginx_status").status == 403
        assert plane.ask(name("a"), "/nginx_status").status == 200
