"""Redirects and rewrites: what a route does before it proxies."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from dataplane import (
    LABELS,
    Plane,
    host,
    route,
)
from tidegate.model import Match, Redirect, Rewrite, TLSRedirect
from tidegate.render.template import template_folder

ECHO = "ns/echo:80"
pytestmark = pytest.mark.usefixtures("server")


# -- redirects ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 306, 307, 308])
def test_redirect_answers_its_status_and_constant_location(
    plane: Plane, name: Callable[[str], str], status: int
) -> None:
    target = Redirect(status, "https://else.test:81/x?y=z")
    plane.put(host(name("a"), route(redirect=target)))
    answer = plane.ask(name("a"), "/any/thing?q=1")
    assert (answer.status, answer.header("Location")) == (status, "https://else.test:81/x?y=z")


def test_redirect_to_a_path_is_made_absolute_unless_relative(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(
        host(name("a"), route(redirect=Redirect(301, "/x")), route("/r", redirect=Redirect(301, "/x", relative=True)))
    )
    assert plane.ask(f"{name('a')}:99").header("Location") == f"http://{name('a')}/x"
    with plane.tls_client(name("a")) as client:
        assert client.ask(name("a")).header("Location") == f"https://{name('a')}/x"
    assert plane.ask(name("a"), "/r").header("Location") == "/x"


@pytest.mark.parametrize(
    ("rule", "tls", "target", "wanted"),
    [
        (TLSRedirect(), True, "/a//b%2F?c=/", "/a//b%2F?c="),
        (TLSRedirect(), True, "/", ""),
        (TLSRedirect(keep_slash=True), True, "/a/", "/a/"),
        (TLSRedirect(status=301, port=8443), True, "/a", ":8443/a"),
        (TLSRedirect(), False, "/a", None),
        (TLSRedirect(force=True), False, "/a", "/a"),
    ],
)
def test_plain_request_is_sent_to_https(
    plane: Plane, name: Callable[[str], str], rule: TLSRedirect, tls: bool, target: str, wanted: str | None
) -> None:
    plane.put(host(name("a"), route(backend=ECHO, tls_redirect=rule), tls=tls))
    answer = plane.ask(f"{name('a')}:8080", target)
    if wanted is None:
        assert answer.status == 200
    else:
        assert (answer.status, answer.header("Location")) == (rule.status, f"https://{name('a')}{wanted}")
    with plane.tls_client(name("a")) as client:
        assert client.ask(name("a"), target).status == 200


def test_tls_of_a_wildcard_covers_an_exact_host(plane: Plane, name: Callable[[str], str]) -> None:
    plain, parent = name("x"), name("x").partition(".")[2]
    plane.put(host(plain, route(backend=ECHO, tls_redirect=TLSRedirect())))
    assert plane.ask(plain).status == 200
    plane.put(host(f"*.{parent}", route(backend=ECHO), tls=True))
    assert plane.ask(plain).status == 308
    plane.delete(f"h:*.{parent}")
    assert plane.ask(plain).status == 200


def test_redirect_wins_over_https_and_https_wins_over_missing_endpoints(
    plane: Plane, name: Callable[[str], str]
) -> None:
    rule = TLSRedirect()
    plane.put(
        host(
            name("a"),
            route(redirect=Redirect(301, "http://x.test/"), tls_redirect=rule),
            route("/gone", "ns/nothing:1", tls_redirect=rule),
            tls=True,
        )
    )
    assert plane.ask(name("a")).header("Location") == "http://x.test/"
    assert plane.ask(name("a"), "/gone").status == 308
    with plane.tls_client(name("a")) as client:
        assert client.ask(name("a"), "/gone").status == 503


def test_app_root_answers_the_bare_root_only(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route(backend=ECHO), app_root="/shop"))
    answer = plane.ask(f"{name('a')}:81")
    assert (answer.status, answer.header("Location")) == (302, f"http://{name('a')}:81/shop")
    assert plane.ask(name("a"), "//").status == 302
    assert plane.ask(name("a"), "/x").status == 200
    asked = name("a").upper()
    assert plane.ask(f"{asked}:8x").header("Location") == f"http://{asked}/shop"


def test_host_that_sends_to_another_name(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), redirect_to="www.x.test", redirect_status=308))
    answer = plane.ask(name("a"), "/p%2Fq/?r")
    assert (answer.status, answer.header("Location")) == (308, f"http://www.x.test:{plane.port}/p%2Fq/?r")


def test_path_without_its_slash_is_redirected_with_query_and_escapes(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route("/a b/é/", ECHO), route(backend=ECHO)))
    answer = plane.ask(name("a"), "/a%20b//%C3%A9?x=%2F")
    assert answer.status == 301
    assert answer.header("Location") == f"http://{name('a')}/a%20b/%C3%A9/?x=%2F"


def test_alias_serves_the_routes_of_its_host(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(
        host(name("a"), route("/x", ECHO, tls_redirect=TLSRedirect()), tls=True),
        host(name("b"), alias_of=name("a")),
        host(name("*"), alias_of=name("a")),
    )
    assert plane.ask(name("a"), "/x").status == 308
    for alias in (name("b"), name("c")):
        assert plane.ask(alias, "/x").seen.header("Host") == alias  # no certificate covers it
        assert plane.ask(alias, "/").status == 404


# -- rewrites ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "target", "asked", "wanted"),
    [
        ("/a/(.*)", "/$1", "/a/b/c?q=1", "/b/c?q=1"),
        ("/a", "/", "/a/b?q", "/?q"),
        ("/A(/|$)(.*)", "/$2", "/a/x", "/x"),
        ("/a(/|$)(.*)", "/x$1y$2z", "/a", "/xyz"),
        ("/(?<first>[^/]+)/(?<rest_2>.*)", "/$rest_2/$first", "/one/two", "/two/one"),
        ("/(.)(.)(.)(.)(.)(.)(.)(.)(.)", "/$9$8$7$6$5$4$3$2$1", "/123456789", "/987654321"),
        ("/(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)", "/$10", "/123456789x", "/10"),
        ("/a/(.*)", "/$1", "/a/$1$rest", "/$1$rest"),
        ("/a/(.*)", "/$1", "/a/b%20c%2Fd%25%3F%23", "/b%20c/d%25%3F%23"),
        ("(?s)/a/(.*)", "/$1", "/a/x%0Ay", "/x%0Ay"),
        ("/a/(x)?(.*)", "/[$1]$2", "/a/b", "/[]b"),
        ("/a/(.*)", "/$nobody/$1", "/a/b", "//b"),
        ("/a", "b", "/a", "b"),
        ("/none", "/x", "/a//b", "/a//b"),
        ("/%(.*)", "/$1", "/%25x", "/x"),
        ("/a/(.*)", "/%1$1", "/a/b%20%251", "/%251b%20%251"),
    ],
)
def test_rewrite_replaces_the_whole_uri(
    plane: Plane, name: Callable[[str], str], pattern: str, target: str, asked: str, wanted: str
) -> None:
    plane.put(host(name("a"), route("/", ECHO, Match.REGEX, rewrite=Rewrite(pattern, target)), regex=True))
    assert plane.ask(name("a"), asked).seen.target == wanted


def test_rewrite_knows_the_variables_of_nginx(plane: Plane, name: Callable[[str], str]) -> None:
    rule = Rewrite("/a/(?<rest>.*)", "/$host/$service_name/$rest$nonesuch", forwarded_prefix="/$request_method")
    plane.put(host(name("a"), route("/", ECHO, Match.REGEX, labels=LABELS, rewrite=rule), regex=True))
    seen = plane.ask(name("a"), "/a/b").seen
    assert (seen.target, seen.header("X-Forwarded-Prefix")) == (f"/{name('a')}/the-service/b", "/GET")
    rule = Rewrite("/a/(.*)", "/$tidegate_undecided/$1", forwarded_prefix="/$tidegate_undecided")
    plane.put(host(name("a"), route("/", ECHO, Match.REGEX, rewrite=rule), regex=True))
    seen = plane.ask(name("a"), "/a/b").seen
    assert (seen.target, seen.header("X-Forwarded-Prefix")) == ("//b", "/"), "our own are nobody's"
    rule = Rewrite("/a/(.*)", "$scheme://else.test/$1")
    plane.put(host(name("a"), route("/", ECHO, Match.REGEX, rewrite=rule), regex=True))
    answer = plane.ask(name("a"), "/a/b")
    assert (answer.status, answer.header("Location")) == (302, "http://else.test/b")


def test_rewrite_keeps_method_and_body_and_names_the_prefix(plane: Plane, name: Callable[[str], str]) -> None:
    rule = Rewrite("/(a)/(.*)", "/$2", forwarded_prefix="/p/$1")
    plane.put(host(name("a"), route("/a/.*", ECHO, Match.REGEX, rewrite=rule), regex=True))
    seen = plane.ask(name("a"), "/a/b", "POST", headers={"X-Forwarded-Prefix": "/mine"}, body=b"text").seen
    assert (seen.method, seen.target, seen.body, seen.header("X-Forwarded-Prefix")) == ("POST", "/b", "text", "/p/a")


def test_rewrite_to_another_scheme_redirects(plane: Plane, name: Callable[[str], str]) -> None:
    rule = Rewrite("(?s)/a/(.*)", "https://else.test/$1/x")
    plane.put(host(name("a"), route("/", ECHO, Match.REGEX, rewrite=rule), regex=True))
    answer = plane.ask(name("a"), "/a/b?c=d")
    assert (answer.status, answer.header("Location")) == (302, "https://else.test/b/x?c=d")
    # what was captured stays within its place
    nasty = plane.ask(name("a"), "/a/%0d%0aSet-Cookie:%20x=y%3Fz")
    assert nasty.header("Set-Cookie") is None
    assert nasty.header("Location") == "https://else.test/%0D%0ASet-Cookie:%20x=y%3Fz/x"


def test_catastrophic_pattern_ends_in_500_quickly_and_others_go_on(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(
        host(name("a"), route("/(a+)+$", ECHO, Match.REGEX), route("/ok", ECHO, Match.REGEX), regex=True),
        host(name("b"), route(backend=ECHO)),
    )
    begun = time.monotonic()
    assert plane.ask(name("a"), "/" + "a" * 500 + "!").status == 500
    assert time.monotonic() - begun < 2
    assert plane.ask(name("a"), "/aaa").status == 200
    assert plane.ask(name("a"), "/ok").status == 200
    assert plane.ask(name("b"), "/" + "a" * 500 + "!").status == 200


def test_cache_of_patterns_is_bounded(plane: Plane, name: Callable[[str], str]) -> None:
    text = (template_folder() / "lua/tidegate/regex.lua").read_text()
    half = int(re.findall(r"^local HALF = (\d+)", text, re.MULTILINE)[0])
    routes = [route(f"/.{number}", ECHO, Match.REGEX) for number in range(2 * half + 1000)]
    for count in (half // 2, half + 10, len(routes)):
        plane.put(host(name("a"), *routes[:count], regex=True))
        for _ in range(2):
            assert plane.ask(name("a"), "/x").status == 404  # tries, and so compiles, every one
            status = plane.status()
            assert status is not None and min(count, half) <= status["patterns"] <= 2 * half
    assert plane.ask(name("a"), "/x7").status == 200


def test_patterns_of_a_deleted_host_leave_the_cache(plane: Plane, name: Callable[[str], str]) -> None:
    def patterns() -> int:
        status = plane.status()
        assert status is not None
        return int(status["patterns"])

    plane.put(host(name("b"), route(backend=ECHO)))
    plane.ask(name("b"))
    before = patterns()
    for version in range(20):
        plane.put(host(name("a"), *(route(f"/.{version}.{n}", ECHO, Match.REGEX) for n in range(30)), regex=True))
        assert plane.ask(name("a"), "/nothing").status == 404
    plane.delete(f"h:{name('a')}")
    plane.ask(name("b"))
    assert patterns() <= before
