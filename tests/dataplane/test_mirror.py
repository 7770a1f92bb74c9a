"""Copies of requests: where they go, what they look like, and that clients notice nothing of them."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dataplane import LIMIT, Plane, Reply, Request, Server, backend, echo, host, policy, refusing, route, running, until
from tidegate.model import Access, Directive, Mirror, Mirroring
from tls_peers import pair

WITH_BODY, BARE = policy(mirroring=Mirroring()), policy(mirroring=Mirroring(body=False))
SECURE = policy(mirroring=Mirroring(tls=True))
GUARDED = policy(mirroring=Mirroring(), access=True)
SNIPPET = policy(mirroring=Mirroring(), snippet=(Directive("set", ("$mine", "1")),))
COPIES = "//copies.test:80"
URI = ("/copy", "$request_uri")


@pytest.fixture(scope="module")
def plane(nginx) -> Iterator[Plane]:
    with running(nginx, policies=[WITH_BODY, BARE, SECURE, GUARDED, SNIPPET]) as one:
        yield one


def put(plane: Plane, name: str, server: Server, digest: str = WITH_BODY.digest, **more: Any) -> None:
    mirror = more.pop("mirror", Mirror(COPIES, "copies.test", URI, ("copies.test",)))
    plane.put(
        backend(f"ns/{name}:80", server),
        host(name, route(backend=f"ns/{name}:80", policy=digest, mirror=mirror, **more)),
    )


def copies(server: Server, count: int = 1) -> list[Request]:
    """The copies that have come, once there are so many."""
    until(lambda: len(server.requests) >= count, why="copies")
    return server.requests


def test_each_request_is_copied_with_method_headers_and_body(plane: Plane, name: Callable[[str], str]) -> None:
    bodies: list[bytes] = []

    def keep(request: Request) -> Reply:
        bodies.append(request.body)
        return Reply(500, body=b"nobody sees this")

    with Server() as server, Server("copy", keep) as mirror:
        plane.put(backend(COPIES, mirror))
        put(plane, name("a"), server)
        headers = {"X-Mine": "one", "Authorization": "Bearer t", "X-Forwarded-For": "1.2.3.4"}
        answer = plane.ask(name("a"), "/x?y=1", "PUT", headers=headers, body=b"data" * 5000)
        assert (answer.status, answer.seen.length) == (200, 20000)
        [copy] = copies(mirror)
        until(lambda: bodies)
    assert (copy.method, copy.target, copy.header("Host")) == ("PUT", "/copy/x?y=1", "copies.test")
    assert (copy.header("X-Mine"), copy.header("Authorization")) == ("one", "Bearer t")
    assert copy.header("X-Forwarded-For") == "127.0.0.1"
    assert bodies == [b"data" * 5000]


def test_copies_can_go_without_the_body(plane: Plane, name: Callable[[str], str]) -> None:
    with Server() as server, Server("copy") as mirror:
        plane.put(backend(COPIES, mirror))
        put(plane, name("a"), server, BARE.digest)
        assert plane.ask(name("a"), "/x", "POST", body=b"data").seen.body == "data"
        [copy] = copies(mirror)
        assert (copy.method, copy.header("Content-Length"), copy.header("Transfer-Encoding")) == ("POST", None, None)


def test_copies_may_have_a_host_of_their_own_made_of_the_request(plane: Plane, name: Callable[[str], str]) -> None:
    with Server() as server, Server("copy") as mirror:
        plane.put(backend(COPIES, mirror))
        put(plane, name("a"), server, mirror=Mirror(COPIES, "copies.test", ("/",), ("shadow.", "$host")))
        assert plane.ask(name("a")).status == 200
        assert copies(mirror)[0].header("Host") == f"shadow.{name('a')}"


def test_two_routes_mirror_to_places_of_their_own_under_one_policy(plane: Plane, name: Callable[[str], str]) -> None:
    with Server() as server, Server("one") as one, Server("two") as two:
        plane.put(backend("//one.test:80", one), backend("//two.test:80", two))
        for label in ("one", "two"):
            put(plane, name(label), server, mirror=Mirror(f"//{label}.test:80", f"{label}.test", URI, (label,)))
        for label in ("one", "two", "one"):
            assert plane.ask(name(label)).status == 200
        assert [copy.header("Host") for copy in copies(one, 2)] == ["one", "one"]
        assert [copy.header("Host") for copy in copies(two)] == ["two"]


def test_tls_target_is_asked_by_its_name(plane: Plane, name: Callable[[str], str], tmp_path: Path) -> None:
    certificate = pair("copies.test", "backends")
    (tmp_path / "pem").write_text(certificate.chain + certificate.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem")
    asked: list[str | None] = []
    context.sni_callback = lambda _sock, name, _context: asked.append(name)  # type: ignore[assignment]
    with Server() as server, Server("copy", context=context) as mirror:
        plane.put(backend(COPIES, mirror))
        put(plane, name("a"), server, SECURE.digest)
        assert plane.ask(name("a"), "/x").status == 200
        assert copies(mirror)[0].target == "/copy/x"
    assert asked == ["copies.test"]


def test_client_does_not_wait_for_a_slow_mirror(plane: Plane, name: Callable[[str], str]) -> None:
    go_on = threading.Event()

    def slow(request: Request) -> Reply:
        go_on.wait(LIMIT)
        return echo(request)

    with Server() as server, Server("copy", slow) as mirror:
        plane.put(backend(COPIES, mirror))
        put(plane, name("a"), server)
        assert plane.ask(name("a")).status == 200  # while nothing answers the copy
        assert len(copies(mirror)) == 1
        go_on.set()


@pytest.mark.parametrize("endpoints", ["none", "dead", "unknown"])
def test_mirror_that_is_not_there_harms_nobody(plane: Plane, name: Callable[[str], str], endpoints: str) -> None:
    target = f"//{endpoints}.test:80"
    with Server() as server, refusing() as dead:
        if endpoints != "unknown":
            plane.put(backend(target, *([dead] if endpoints == "dead" else [])))
        put(plane, name("a"), server, mirror=Mirror(target, "x", URI, ("x",)))
        for _ in range(3):
            assert plane.ask(name("a"), body=b"data", method="POST").seen.body == "data"


def test_refused_request_is_not_copied(plane: Plane, name: Callable[[str], str]) -> None:
    with Server() as server, Server("copy") as mirror:
        plane.put(backend(COPIES, mirror))
        put(plane, name("closed"), server, GUARDED.digest, access=Access(deny=("127.0.0.0/8",)))
        put(plane, name("open"), server, GUARDED.digest, access=Access(allow=("127.0.0.0/8",)))
        assert plane.ask(name("closed"), "/closed").status == 403
        assert plane.ask(name("open"), "/open").status == 200
        assert [copy.target for copy in copies(mirror)] == ["/copy/open"]


def test_request_to_a_route_with_a_snippet_is_copied(plane: Plane, name: Callable[[str], str]) -> None:
    with Server() as server, Server("copy") as mirror:
        plane.put(backend(COPIES, mirror))
        put(plane, name("a"), server, SNIPPET.digest, snippet=True)
        assert plane.ask(name("a"), "/x").status == 200
        assert [copy.target for copy in copies(mirror)] == ["/copy/x"]


def test_upgrade_is_not_copied_as_one(plane: Plane, name: Callable[[str], str]) -> None:
    with Server() as server, Server("copy") as mirror:
        plane.put(backend(COPIES, mirror))
        put(plane, name("a"), server)
        plane.ask(name("a"), headers={"Connection": "upgrade", "Upgrade": "websocket"})
        [copy] = copies(mirror)
        assert (copy.header("Upgrade"), copy.header("Connection")) == (None, None)


def test_no_client_can_ask_for_the_place_that_copies_are_sent_from(plane: Plane, name: Callable[[str], str]) -> None:
    with Server() as server, Server("copy") as mirror:
        plane.put(backend(COPIES, mirror))
        put(plane, name("a"), server)
        assert plane.ask(name("a"), "/tidegate_mirror_http").seen.target == "/tidegate_mirror_http"
        assert [copy.target for copy in copies(mirror)] == ["/copy/tidegate_mirror_http"]
