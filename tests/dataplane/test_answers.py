"""What is rewritten on the way to an HTTP backend and back: Connection, Location, cookies."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from dataplane import Plane, Reply, Request, Server, backend, host, policy, route, running
from tidegate.model import AnswerRewrites, BackendRedirect


def redirecting(*arguments: object) -> AnswerRewrites:
    return AnswerRewrites(redirect=BackendRedirect(*arguments))  # type: ignore[arg-type]


POLICIES = {
    "close": policy(connection="close"),
    "keep-alive": policy(connection="keep-alive"),
    "default": policy(answers=redirecting("", "/")),
    "path": policy(answers=redirecting("http://inner.test/", "/outer/")),
    "path-with-port": policy(answers=redirecting("http://inner.test/", "/outer/", False, True)),
    "relative": policy(answers=redirecting("http://inner.test/", "/outer/", True)),
    "url": policy(answers=redirecting("http://inner.test/", "https://outer.test/")),
    "pattern": policy(answers=redirecting("~http://[^/]*/", "https://outer.test/")),
    "cookies": policy(answers=AnswerRewrites(None, ("inner.test", "outer.test"), ("/one/", "/"))),
    "cookie-pattern": policy(answers=AnswerRewrites(None, ("~inner.*", "outer.test"), None)),
}


@pytest.fixture(scope="module")
def plane(nginx) -> Iterator[Plane]:
    with running(nginx, policies=list(POLICIES.values())) as one:
        yield one


def answering(header: str, value: str) -> Callable[[Request], Reply]:
    return lambda _request: Reply(302 if header == "Location" else 200, [(header, value)])


def put(plane: Plane, name: str, server: Server, which: str) -> None:
    plane.put(
        backend(f"ns/{name}:80", server), host(name, route(backend=f"ns/{name}:80", policy=POLICIES[which].digest))
    )


@pytest.mark.parametrize(
    ("which", "sent", "got"),
    [
        ("default", "http://upstream_balancer/y?z", "http://{host}/y?z"),
        ("default", "http://else.test/y", "http://else.test/y"),
        ("default", "/y", "/y"),
        ("path", "http://inner.test/y", "http://{host}/outer/y"),
        ("path", "https://inner.test/y", "https://inner.test/y"),
        ("path-with-port", "http://inner.test/y", "http://{host}:{port}/outer/y"),
        ("relative", "http://inner.test/y", "/outer/y"),
        ("url", "http://inner.test/y", "https://outer.test/y"),
        ("pattern", "http://any.test/y", "https://outer.test/"),
    ],
)
def test_location_of_the_backend_is_rewritten(
    plane: Plane, name: Callable[[str], str], which: str, sent: str, got: str
) -> None:
    with Server(handler=answering("Location", sent)) as server:
        put(plane, name("a"), server, which)
        answer = plane.ask(name("a"))
    assert answer.all("Location") == [got.format(host=name("a"), port=plane.port)]


@pytest.mark.parametrize(
    ("which", "sent", "got"),
    [
        ("cookies", "a=b; Domain=inner.test; Path=/one/two", "a=b; Domain=outer.test; Path=/two"),
        ("cookies", "a=b; Domain=else.test; Path=/two/one/", "a=b; Domain=else.test; Path=/two/one/"),
        ("cookies", "a=b", "a=b"),
        ("cookie-pattern", "a=b; Domain=inner.somewhere; Path=/one/", "a=b; Domain=outer.test; Path=/one/"),
    ],
)
def test_cookie_of_the_backend_is_rewritten(
    plane: Plane, name: Callable[[str], str], which: str, sent: str, got: str
) -> None:
    with Server(handler=answering("Set-Cookie", sent)) as server:
        put(plane, name("a"), server, which)
        answer = plane.ask(name("a"))
    assert answer.all("Set-Cookie") == [got]


@pytest.mark.parametrize("which", ["close", "keep-alive"])
def test_connection_header_of_its_own_is_sent_and_no_request_becomes_an_upgrade(
    plane: Plane, name: Callable[[str], str], which: str
) -> None:
    with Server() as server:
        put(plane, name("a"), server, which)
        assert plane.ask(name("a")).seen.all("Connection") == [which]
        asked = {
            "Connection": "Upgrade, HTTP2-Settings",
            "Upgrade": "h2c",
            "HTTP2-Settings": "AAMAAABkAAQAoAAAAAIAAAAA",
        }
        seen = plane.ask(name("a"), headers=asked).seen
    assert (seen.all("Connection"), seen.all("Upgrade"), seen.all("HTTP2-Settings")) == ([which], ["h2c"], [])
