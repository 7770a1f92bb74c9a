"""Redirects, rewrites, limits, access, errors: what a route does besides proxying."""

from __future__ import annotations

import base64
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from dataplane import Answer, Nginx, Plane, Reply, Request, Server, backend, echo, host, policy, route, running, until
from tidegate.model import Access, BasicAuth, Labels, Match, RateLimit, Redirect, Rewrite, Route, TLSRedirect
from tidegate.render.template import template_folder
from tidegate.translate.defaults import DefaultRoute

ECHO = "ns/echo:80"
ANYBODY, NOBODY = "127.0.0.0/8", "192.0.2.0/24"

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
ERRORS = policy(intercept=(401, 403, 404, 413, 429, 502, 503), auth=False)
ERRORS_AUTH = policy(intercept=(401,), auth=True)
OWN_ERRORS_ONLY = policy(intercept=(404, 503), intercept_backend=False)
POLICIES = [
    LIMITED, LIMITED_LIST, TWO_RATES, CONNECTIONS, OWN_HOST, *GUARDS.values(), ERRORS, ERRORS_AUTH, OWN_ERRORS_ONLY,
]  # fmt: skip


@pytest.fixture(scope="module")
def plane(nginx: Nginx) -> Iterator[Plane]:
    """A plane that has the policies of this module."""
    with running(nginx, policies=POLICIES) as one:
        (one.run / "users/known").write_text("joe:{PLAIN}secret\n")
        yield one


@pytest.fixture(scope="module", autouse=True)
def server(plane: Plane) -> Iterator[Server]:
    with Server() as one:
        plane.put(backend(ECHO, one))
        yield one


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
    plane.put(host(name("a"), route("/", ECHO, Match.REGEX, labels=FULL, rewrite=rule), regex=True))
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


def credentials(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


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
    answer = plane.ask(name("a"), headers=credentials("joe:secret" if user_passes else "joe:wrong"))
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
        assert plane.ask(name("a"), headers=credentials("joe:secret")).status == wanted
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
    plane.put(host(name("a"), route(backend=ECHO, labels=FULL, policy=OWN_HOST.digest, upstream_host=parts)))
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


# -- errors and fallbacks ----------------------------------------------------------------------------------------------


def error_page(request: Request) -> Reply:
    return Reply(int(request.header("X-Code") or 200), [("Content-Type", "text/plain")], echo(request).body)


@pytest.fixture(scope="module")
def pages(plane: Plane) -> Iterator[Server]:
    with Server("pages", error_page) as one:
        plane.put(backend("ns/pages:80", one))
        yield one


def failing(request: Request) -> Reply:
    return Reply(int(request.target.split("/")[1].split("?")[0] or 200), [("X-From", "backend")], b"from the backend")


FULL = Labels("ns", "the-ingress", "the-service", "http", "/")


@pytest.mark.parametrize("status", [404, 502, 503])
def test_error_of_the_backend_is_replaced_by_the_error_backend(
    plane: Plane, pages: Server, name: Callable[[str], str], status: int
) -> None:
    with Server(handler=failing) as server:
        plane.put(
            backend("ns/bad:80", server),
            host(
                name("a"),
                route(
                    backend="ns/bad:80", labels=FULL, policy=ERRORS.digest, intercepts=True,
                    error_backend="ns/pages:80",
                ),
            ),
        )  # fmt: skip
        headers = {"Accept": "text/plain", "X-Code": "forged", "X-Request-ID": "id", "X-Namespace": "forged"}
        answer = plane.ask(name("a"), f"/{status}?q=%2F", "POST", headers=headers, body=b"sent")
        passed = plane.ask(name("a"), "/418")
        bearer = plane.ask(name("a"), f"/{status}", headers={"Authorization": "Bearer it"}).seen
    assert bearer.header("Authorization") == "Bearer it"
    assert (answer.status, answer.header("X-From")) == (status, None)
    seen = answer.seen
    assert (seen.method, seen.target, seen.body) == ("POST", "/?q=%2F", "sent")
    wanted = {
        "X-Code": str(status),
        "X-Format": "text/plain",
        "X-Original-URI": f"/{status}?q=%2F",
        "X-Namespace": "ns",
        "X-Ingress-Name": "the-ingress",
        "X-Service-Name": "the-service",
        "X-Service-Port": "http",
        "X-Request-ID": "id",
        "X-Forwarded-For": "127.0.0.1",
        "Host": name("a"),
    }
    assert {header: seen.header(header) for header in wanted} == wanted
    assert (passed.status, passed.body) == (418, b"from the backend")


def test_errors_of_nginx_itself_are_replaced(plane: Plane, pages: Server, name: Callable[[str], str]) -> None:
    fields = {"policy": ERRORS.digest, "intercepts": True, "error_backend": "ns/pages:80"}
    plane.put(
        host(name("a"), route(backend="ns/nothing:1", **fields), route("/big", ECHO, body_limit=5, **fields)),
        host(name("b"), route(redirect=Redirect(302, "http://x/"), **fields), route("/denied", status=503, **fields)),
    )
    assert plane.ask(name("a")).seen.header("X-Code") == "503"
    assert plane.ask(name("a"), "/big", "POST", body=b"x" * 6).seen.header("X-Code") == "413"
    assert plane.ask(name("b")).header("Location") == "http://x/"
    denied = plane.ask(name("b"), "/denied")
    assert denied.status == 503 and b"nginx" in denied.body


def test_missing_credentials_are_replaced_and_still_challenge(
    plane: Plane, pages: Server, name: Callable[[str], str]
) -> None:
    plane.put(
        host(
            name("a"),
            route(
                backend=ECHO, policy=ERRORS_AUTH.digest, intercepts=True, error_backend="ns/pages:80",
                auth=BasicAuth("r", "known"),
            ),
        )
    )  # fmt: skip
    answer = plane.ask(name("a"), headers=credentials("joe:wrong"))
    assert (answer.status, answer.seen.header("X-Code"), answer.seen.header("Authorization")) == (401, "401", None)
    assert plane.ask(name("a"), headers=credentials("joe:secret")).status == 200


def test_only_own_errors_are_replaced_when_the_backends_shall_pass(
    plane: Plane, pages: Server, name: Callable[[str], str]
) -> None:
    fields = {"policy": OWN_ERRORS_ONLY.digest, "intercepts": True, "error_backend": "ns/pages:80"}
    with Server(handler=failing) as server:
        plane.put(
            backend("ns/bad:80", server),
            host(name("a"), route(backend="ns/bad:80", **fields), route("/none", "ns/nothing:1", **fields)),
        )
        assert plane.ask(name("a"), "/404").body == b"from the backend"
        assert plane.ask(name("a"), "/none").seen.header("X-Code") == "503"


def test_error_without_an_error_backend_becomes_404(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route(backend="ns/nothing:1", policy=ERRORS.digest, intercepts=True)))
    assert plane.ask(name("a")).status == 404


def test_fallback_answers_when_there_is_no_endpoint(plane: Plane, pages: Server, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route(backend="ns/nothing:1", fallback="ns/pages:80", labels=FULL)))
    seen = plane.ask(name("a"), "/a%2Fb?c", headers={"X-Code": "200"}).seen
    assert (seen.target, seen.header("X-Code"), seen.header("X-Service-Name")) == ("/a%2Fb?c", "503", "the-service")
    assert seen.header("X-Original-URI") is None
    plane.put(host(name("a"), route(backend=ECHO, fallback="ns/pages:80", labels=FULL)))
    assert plane.ask(name("a")).seen.backend == "echo"
    plane.put(host(name("a"), route(backend="ns/nothing:1", fallback="ns/nothing:2")))
    assert plane.ask(name("a")).status == 503


def test_denied_route_answers_its_status_and_nothing_else(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route(backend=ECHO, status=503, redirect=Redirect(301, "http://x/"))))
    answer = plane.ask(name("a"))
    assert (answer.status, answer.header("Location")) == (503, None)


def globals_record(backend_id: str, *patterns: str) -> dict[str, bytes | None]:
    default = DefaultRoute(backend_id, route(labels=Labels(service="d", port="80")), patterns)
    return {"n:globals": msgspec.json.encode(default)}


def test_alias_pattern_takes_names_that_nothing_else_takes(plane: Plane, name: Callable[[str], str]) -> None:
    pattern = rf"~^pr-\d+\.{name('x').partition('.')[2]}$"
    plane.put(
        host(name("a"), route("/x", ECHO)), host(pattern, alias_of=name("a")), host(name("pr-3"), route("/y", ECHO))
    )
    plane.push(globals_record("", "~(", pattern))
    try:
        assert plane.ask(name("pr-12"), "/x").seen.header("Host") == name("pr-12")
        assert plane.ask(name("PR-12").upper(), "/x").status == 200
        assert plane.ask(name("pr-3"), "/x").status == 404  # a host of that very name comes first
        assert plane.ask(name("pr-x"), "/x").status == 404
        assert plane.ask(pattern, "/x").status in (400, 404)
        plane.delete(f"h:{name('pr-3')}")
        assert plane.ask(name("pr-3"), "/x").status == 200
    finally:
        plane.delete("n:globals", f"h:{pattern}")
    assert plane.ask(name("pr-12"), "/x").status == 404


def test_default_backend_answers_unknown_hosts_and_undeclared_paths(
    plane: Plane, server: Server, name: Callable[[str], str]
) -> None:
    plane.put(host(name("a"), route("/x", ECHO), route("/own")))
    try:
        with plane.client() as client:
            assert client.ask(name("a"), "/y").status == 404
            assert client.ask(name("nobody")).status == 404
            plane.push(globals_record(ECHO))
            assert client.ask(name("a"), "/y%2F").seen.target == "/y%2F"
            assert client.ask(name("a"), "/own").seen.target == "/own"
            assert client.ask(name("nobody"), method="POST", body=b"x" * 100_001).status == 413
        with plane.client() as client:
            assert client.ask(name("nobody"), "/z").seen.target == "/z"
            assert client.ask(name("nobody"), "/healthz").status == 200
            assert client.ask(name("nobody"), "/healthz").body == b""
    finally:
        plane.delete("n:globals")
    assert plane.ask(name("nobody")).status == 404


def test_refused_ingress_leaves_its_paths_to_the_default_backend(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(
        host(name("a"), route(backend=ECHO), route("/held", ECHO, refused=True), route("/kept/", ECHO, refused=True))
    )
    assert plane.ask(name("a")).status == 200
    assert [plane.ask(name("a"), path).status for path in ("/held", "/held/x", "/kept", "/kept/x")] == [404] * 4


def test_error_answers_name_nginx_without_its_version(plane: Plane, name: Callable[[str], str]) -> None:
    answers: list[Answer] = [plane.ask(name("nobody")), plane.ask(name("nobody"), "/%zz")]
    for answer in answers:
        assert answer.header("Server") is None
        assert b"nginx/" not in answer.body
