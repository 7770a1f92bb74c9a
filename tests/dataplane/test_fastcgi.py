"""FastCGI backends, with the responder of the black-box suite."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dataplane import DEFAULT_POLICY, Plane, Server, backend, host, policy, refusing, route, running
from tidegate.model import Endpoint, FastCGI, Globals, Upstream

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))
from bb.backend import fastcgi_host

FCGI = Upstream("fcgi")
PLAIN = policy(upstream=FCGI)
OWN = policy(
    upstream=FCGI,
    fastcgi=FastCGI(
        "index.php",
        (
            ("SCRIPT_FILENAME", "/srv$fastcgi_script_name"),
            ("SERVER_SOFTWARE", "own/1"),
            ("HTTP_X_REAL_IP", "from ${remote_addr}"),
        ),
    ),
)
INTERCEPTING = policy(upstream=FCGI, intercept=(404, 502))


@pytest.fixture(scope="module")
def plane(nginx) -> Iterator[Plane]:
    with running(nginx, policies=[PLAIN, OWN, INTERCEPTING]) as one:
        yield one


class Saying404:
    """A writer that makes a 404 of the responder's 200."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def write(self, data: bytes) -> None:
        self._writer.write(data.replace(b"Status: 200 OK", b"Status: 404 No"))


@contextlib.contextmanager
def responder(name: str = "php", *, missing: bool = False) -> Iterator[Endpoint]:
    """A FastCGI responder in a thread."""
    loop = asyncio.new_event_loop()
    handle = fastcgi_host(name, 0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handle(reader, Saying404(writer) if missing else writer)

    async def start() -> asyncio.Server:
        return await asyncio.start_server(answer, "127.0.0.1", 0)

    server = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


def put(plane: Plane, name: str, digest: str, *endpoints: Endpoint, **more: Any) -> None:
    plane.put(
        backend(f"ns/{name}:9000", *endpoints), host(name, route(backend=f"ns/{name}:9000", policy=digest, **more))
    )


def facts(plane: Plane, name: str, target: str = "/", **more: Any) -> dict[str, str]:
    answer = plane.ask(name, target, **more)
    assert answer.status == 200, answer
    return dict(answer.json["fastcgi"])


def test_backend_is_told_the_usual_parameters(plane: Plane, name: Callable[[str], str]) -> None:
    with responder() as endpoint:
        put(plane, name("a"), PLAIN.digest, endpoint)
        told = facts(plane, name("a"), "/a/b.php?c=d", method="POST", body=b"data", headers={"Content-Type": "text/x"})
    wanted = {
        "REQUEST_METHOD": "POST",
        "REQUEST_URI": "/a/b.php?c=d",
        "QUERY_STRING": "c=d",
        "SCRIPT_NAME": "/a/b.php",
        "CONTENT_TYPE": "text/x",
        "CONTENT_LENGTH": "4",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_SCHEME": "http",
        "SERVER_NAME": name("a"),
        "SERVER_PORT": str(plane.port),
        "REMOTE_ADDR": "127.0.0.1",
        "REDIRECT_STATUS": "200",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "HTTP_HOST": name("a"),
        "HTTP_X_FORWARDED_PROTO": "http",
    }
    assert {key: told.get(key) for key in wanted} == wanted
    assert "HTTPS" not in told


def test_parameters_of_its_own_take_the_place_of_the_usual_ones(plane: Plane, name: Callable[[str], str]) -> None:
    with responder() as endpoint:
        put(plane, name("a"), OWN.digest, endpoint)
        told = facts(plane, name("a"), "/dir/")
    assert told["SCRIPT_FILENAME"] == "/srv/dir/index.php"
    assert (told["SERVER_SOFTWARE"], told["HTTP_X_REAL_IP"]) == ("own/1", "from 127.0.0.1")


def test_headers_that_only_the_proxy_may_set_are_no_clients_to_forge(plane: Plane, name: Callable[[str], str]) -> None:
    forged = {
        "X-Forwarded-For": "1.2.3.4",
        "X-Real-IP": "1.2.3.4",
        "X-Forwarded-Proto": "https",
        "Proxy": "http://evil.test",
        "ssl-client-verify": "SUCCESS",
        "X-Own": "1",
    }
    with responder() as endpoint:
        put(plane, name("a"), PLAIN.digest, endpoint)
        told = facts(plane, name("a"), headers=forged)
    assert (told["HTTP_X_FORWARDED_FOR"], told["HTTP_X_REAL_IP"]) == ("127.0.0.1", "127.0.0.1")
    assert (told["HTTP_X_FORWARDED_PROTO"], told["HTTP_X_OWN"]) == ("http", "1")
    assert not {"HTTP_PROXY", "HTTP_SSL_CLIENT_VERIFY"} & told.keys()


def test_headers_of_the_configmap_are_told(new_plane: Callable[..., Plane], name: Callable[[str], str]) -> None:
    headers = (("X-Set", "a b $request_method"), ("X-Gone", ""))
    settings = Globals(default_policy=DEFAULT_POLICY, workers=1, proxied_headers=headers)
    plane = new_plane(policies=[PLAIN], settings=settings)
    with responder() as endpoint:
        put(plane, name("a"), PLAIN.digest, endpoint)
        told = facts(plane, name("a"), headers={"X-Set": "forged", "X-Gone": "1"})
    assert told["HTTP_X_SET"] == "a b GET"
    assert "HTTP_X_GONE" not in told


def test_endpoint_that_refuses_is_passed_over(plane: Plane, name: Callable[[str], str]) -> None:
    with refusing() as dead, responder() as endpoint:
        put(plane, name("a"), PLAIN.digest, dead, endpoint)
        assert [plane.ask(name("a")).status for _ in range(6)] == [200] * 6


def test_error_of_nginx_is_answered_by_the_error_backend(plane: Plane, name: Callable[[str], str]) -> None:
    with refusing() as dead, Server("pages") as pages:
        plane.put(backend("ns/pages:80", pages))
        put(plane, name("a"), INTERCEPTING.digest, dead, error_backend="ns/pages:80", intercepts=True)
        answer = plane.ask(name("a"), "/x")
    assert (answer.seen.backend, answer.seen.header("X-Code")) == ("pages", "502")


def test_error_of_the_responder_passes(plane: Plane, name: Callable[[str], str]) -> None:
    """The retired controller never replaced what other protocols than HTTP say."""
    with responder(missing=True) as endpoint, Server("pages") as pages:
        plane.put(backend("ns/pages:80", pages))
        put(plane, name("a"), INTERCEPTING.digest, endpoint, error_backend="ns/pages:80", intercepts=True)
        answer = plane.ask(name("a"), "/x")
    assert (answer.status, answer.json["proto"]) == (404, "FastCGI")
