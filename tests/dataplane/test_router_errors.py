"""Errors and fallbacks: who answers when a backend cannot, or nobody is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import pytest
from dataplane import (
    LABELS,
    Answer,
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
)
from tidegate.model import BasicAuth, Labels, Redirect
from tidegate.translate.defaults import DefaultRoute

ECHO = "ns/echo:80"
pytestmark = pytest.mark.usefixtures("server")

# one set of policies for the whole module: each test uses those that it needs
ERRORS = policy(intercept=(401, 403, 404, 413, 429, 502, 503), auth=False)
ERRORS_AUTH = policy(intercept=(401,), auth=True)
OWN_ERRORS_ONLY = policy(intercept=(404, 503), intercept_backend=False)
POLICIES = [ERRORS, ERRORS_AUTH, OWN_ERRORS_ONLY]


@pytest.fixture(scope="module")
def plane(nginx: Nginx) -> Iterator[Plane]:
    """A plane that has the policies of this module."""
    with running(nginx, policies=POLICIES) as one:
        (one.run / "users/known").write_text("joe:{PLAIN}secret\n")
        yield one


def error_page(request: Request) -> Reply:
    return Reply(int(request.header("X-Code") or 200), [("Content-Type", "text/plain")], echo(request).body)


@pytest.fixture(scope="module")
def pages(plane: Plane) -> Iterator[Server]:
    with Server("pages", error_page) as one:
        plane.put(backend("ns/pages:80", one))
        yield one


def failing(request: Request) -> Reply:
    return Reply(int(request.target.split("/")[1].split("?")[0] or 200), [("X-From", "backend")], b"from the backend")


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
                    backend="ns/bad:80", labels=LABELS, policy=ERRORS.digest, intercepts=True,
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
    answer = plane.ask(name("a"), headers=basic("joe:wrong"))
    assert (answer.status, answer.seen.header("X-Code"), answer.seen.header("Authorization")) == (401, "401", None)
    assert plane.ask(name("a"), headers=basic("joe:secret")).status == 200


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
    plane.put(host(name("a"), route(backend="ns/nothing:1", fallback="ns/pages:80", labels=LABELS)))
    seen = plane.ask(name("a"), "/a%2Fb?c", headers={"X-Code": "200"}).seen
    assert (seen.target, seen.header("X-Code"), seen.header("X-Service-Name")) == ("/a%2Fb?c", "503", "the-service")
    assert seen.header("X-Original-URI") is None
    plane.put(host(name("a"), route(backend=ECHO, fallback="ns/pages:80", labels=LABELS)))
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
