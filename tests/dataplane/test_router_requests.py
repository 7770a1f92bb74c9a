"""What reaches a backend, and what comes back: URIs, headers, bodies, streams, upgrades, limits of size."""

from __future__ import annotations

import base64
import re
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest
from dataplane import (
    DEFAULT_POLICY,
    ClosedError,
    Plane,
    Reply,
    Request,
    Server,
    backend,
    h2_client,
    host,
    policy,
    route,
    self_signed,
    until,
)
from tidegate.model import Globals, Match, Upstream

ECHO = "ns/echo:80"


@pytest.mark.parametrize(
    "target",
    [
        "/a%2Fb",
        "/a//b///c",
        "/a/../b/./c",
        "/a/%2e%2e/b",
        "/%41%7e~%20x",
        "/a?b=%2F&c=//d/../e",
        "/a+b;c=d,e@f!$'()*",
        "/caf%C3%A9",
        "/a%25b%3fc%23d",
        "/?",
        "/a/?x",
        '/"<>{}|^`',
    ],
)
def test_backend_receives_the_uri_byte_for_byte(
    plane: Plane, server: Server, name: Callable[[str], str], target: str
) -> None:
    plane.put(
        host(name("only"), route(backend=ECHO)),
        host(name("two"), route(backend=ECHO), route("/a", ECHO), route("/x", ECHO, Match.EXACT)),
        host(name("regex"), route("/", ECHO, Match.REGEX), regex=True),
    )
    for label in ("only", "two", "regex"):
        assert plane.ask(name(label), target).seen.target == target


def test_uri_survives_the_jump_to_a_policy(new_plane: Callable[..., Plane], name: Callable[[str], str]) -> None:
    one = policy(body_limit=5)
    with Server() as server:
        plane = new_plane(policies=[one])
        plane.put(backend(ECHO, server), host(name("a"), route(backend=ECHO, policy=one.digest)))
        for target in ("/a%2Fb//c/../d?x=%2f//", "/%2e/x"):
            assert plane.ask(name("a"), target).seen.target == target


def test_forged_forwarding_headers_are_replaced(plane: Plane, server: Server, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route(backend=ECHO)))
    forged = {
        "X-Forwarded-For": "1.2.3.4",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Scheme": "https",
        "X-Scheme": "https",
        "X-Real-IP": "1.2.3.4",
        "X-Original-Forwarded-For": "5.6.7.8",
        "Proxy": "http://evil.test",
    }
    seen = plane.ask(name("a"), headers=forged).seen
    assert seen.header("Host") == name("a")
    assert seen.header("X-Forwarded-For") == "127.0.0.1"
    assert seen.header("X-Real-IP") == "127.0.0.1"
    assert seen.header("X-Forwarded-Host") == name("a")
    assert seen.header("X-Forwarded-Port") == str(plane.port)
    for header in ("X-Forwarded-Proto", "X-Forwarded-Scheme", "X-Scheme"):
        assert seen.header(header) == "http"
    assert seen.header("X-Original-Forwarded-For") == "1.2.3.4"
    assert seen.header("Proxy") is None


def test_request_over_tls_is_forwarded_as_https_on_443(
    plane: Plane, server: Server, name: Callable[[str], str]
) -> None:
    plane.put(host(name("a"), route(backend=ECHO)))
    with plane.tls_client(name("a")) as client:
        seen = client.ask(name("a")).seen
    assert (seen.header("X-Forwarded-Proto"), seen.header("X-Forwarded-Port")) == ("https", "443")


def test_request_id_is_made_when_absent_and_kept_when_given(
    plane: Plane, server: Server, name: Callable[[str], str]
) -> None:
    plane.put(host(name("a"), route(backend=ECHO)))
    made = {plane.ask(name("a")).seen.header("X-Request-ID") or "" for _ in range(5)}
    assert len(made) == 5 and all(re.fullmatch("[0-9a-f]{32}", one) for one in made)
    assert plane.ask(name("a"), headers={"X-Request-ID": "mine"}).seen.header("X-Request-ID") == "mine"


def test_host_header_reaches_the_backend_as_it_was_sent(
    plane: Plane, server: Server, name: Callable[[str], str]
) -> None:
    plane.put(host(name("a"), route(backend=ECHO)))
    for sent in (name("a").upper(), f"{name('a')}:8080", f"{name('a')}."):
        assert plane.ask(sent).seen.header("Host") == sent


def test_methods_headers_and_bodies_pass_unchanged(plane: Plane, server: Server, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route(backend=ECHO)))
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "GET"):
        seen = plane.ask(name("a"), "/x", method, headers={"X-Own": "a  b"}, body=b"payload").seen
        assert (seen.method, seen.body, seen.header("X-Own")) == (method, "payload", "a  b")
        assert seen.version == "HTTP/1.1"


def events(gate: threading.Event) -> Iterator[bytes]:
    yield b"data: 1\n\n"
    assert gate.wait(20)
    yield b"data: 2\n\n"


@pytest.mark.parametrize("tls", [False, True])
def test_response_chunk_arrives_before_the_response_ends(plane: Plane, name: Callable[[str], str], tls: bool) -> None:
    gate = threading.Event()
    with Server(handler=lambda _: Reply(headers=[("Content-Type", "text/event-stream")], body=events(gate))) as server:
        plane.put(backend("ns/sse:80", server), host(name("a"), route(backend="ns/sse:80")))
        with plane.tls_client(name("a")) if tls else plane.client() as client:
            client.send(f"GET / HTTP/1.1\r\nHost: {name('a')}\r\n\r\n".encode())
            assert client.head().status == 200
            assert client.chunk() == b"data: 1\n\n"
            gate.set()
            assert client.chunk() == b"data: 2\n\n"
            assert client.chunk() == b""


def test_request_chunk_reaches_the_backend_before_the_request_ends(
    new_plane: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    first = threading.Event()

    def handler(request: Request) -> Reply:
        chunk = request.stream.chunk()
        first.set()
        return Reply(body=chunk + request.stream.chunks())

    streaming = policy(request_buffering=False)
    plane = new_plane(policies=[streaming])
    with Server(handler=handler) as server:
        plane.put(backend(ECHO, server), host(name("a"), route(backend=ECHO, policy=streaming.digest)))

        def parts() -> Iterator[bytes]:
            yield b"one"
            assert first.wait(20)
            yield b"two"

        with plane.client() as client:
            head = client.ask(name("a"), "/", "POST", body=parts())
        assert (head.status, head.body) == (200, b"onetwo")


def test_websocket_is_upgraded_and_carries_bytes_both_ways(plane: Plane, name: Callable[[str], str]) -> None:
    def handler(request: Request) -> None:
        assert request.header("Upgrade") == "websocket" and request.header("Connection") == "upgrade"
        sock = request.stream.sock
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while True:
            sock.sendall(request.stream.exactly(4).upper())

    with Server(handler=handler) as server:
        plane.put(backend("ns/ws:80", server), host(name("a"), route(backend="ns/ws:80"), route("/x", "ns/ws:80")))
        for target in ("/", "/x/y"):
            with plane.client() as client:
                key = base64.b64encode(b"0123456789abcdef").decode()
                client.send(
                    f"GET {target} HTTP/1.1\r\nHost: {name('a')}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
                )
                assert client.head().status == 101
                for text in (b"ping", b"pong"):
                    client.send(text)
                    assert client.exactly(4) == text.upper()


def test_request_without_upgrade_sends_no_connection_header(
    plane: Plane, server: Server, name: Callable[[str], str]
) -> None:
    plane.put(host(name("a"), route(backend=ECHO)))
    seen = plane.ask(name("a"), headers={"Connection": "keep-alive, X-Hop", "Keep-Alive": "3"}).seen
    assert seen.header("Connection") is None and seen.header("Upgrade") is None


# -- sizes of bodies ---------------------------------------------------------------------------------------------------


def chunks(total: int) -> list[bytes]:
    return [b"x" * 1000] * (total // 1000)


def test_body_beyond_the_default_limit_is_413(plane: Plane, server: Server, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route(backend=ECHO)))
    assert plane.ask(name("a"), method="POST", body=b"x" * 100_000).seen.length == 100_000
    assert plane.ask(name("a"), method="POST", body=b"x" * 100_001).status == 413
    assert plane.ask(name("a"), method="POST", body=chunks(100_000)).seen.length == 100_000
    assert plane.ask(name("a"), method="POST", body=chunks(101_000)).status == 413
    assert plane.ask(name("a"), method="GET", body=chunks(101_000)).status == 413


def test_too_large_body_is_refused_before_it_is_sent(plane: Plane, server: Server, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route(backend=ECHO)))
    with plane.client() as client:
        client.send(f"POST / HTTP/1.1\r\nHost: {name('a')}\r\nContent-Length: 9000000\r\n\r\n".encode())
        assert client.answer().status == 413


@pytest.mark.parametrize("limit", [2000, 200_000])
def test_own_limit_bounds_known_and_chunked_bodies(
    new_plane: Callable[..., Plane], name: Callable[[str], str], limit: int
) -> None:
    own = policy(body_limit=limit)
    plane = new_plane(policies=[own])
    with Server() as server:
        plane.put(backend(ECHO, server), host(name("a"), route(backend=ECHO, body_limit=limit, policy=own.digest)))
        assert plane.ask(name("a"), method="POST", body=b"x" * limit).seen.length == limit
        assert plane.ask(name("a"), method="POST", body=b"x" * (limit + 1)).status == 413
        assert plane.ask(name("a"), method="POST", body=chunks(limit)).seen.length == limit
        assert plane.ask(name("a"), method="POST", body=chunks(limit + 1000)).status == 413


def test_limit_of_zero_takes_any_body(new_plane: Callable[..., Plane], name: Callable[[str], str]) -> None:
    own = policy(body_limit=0)
    plane = new_plane(policies=[own])
    with Server() as server:
        plane.put(backend(ECHO, server), host(name("a"), route(backend=ECHO, body_limit=0, policy=own.digest)))
        assert plane.ask(name("a"), method="POST", body=b"x" * 300_000).seen.length == 300_000
        assert plane.ask(name("a"), method="POST", body=chunks(300_000)).seen.length == 300_000


@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
def test_http2_body_of_unknown_length_is_bounded(
    plane: Plane, server: Server, name: Callable[[str], str], method: str
) -> None:
    plane.put(host(name("a"), route(backend=ECHO)))
    with h2_client(plane, name("a")) as client:
        assert client.ask(name("a"), method=method, body=b"x" * 5000).seen.length == 5000
        stream = client.request(name("a"), "/", method, end=False)
        for part in range(12):
            while client.connection.local_flow_control_window(stream) < 10_000 and stream not in client.answers:
                client.pump()
            if stream not in client.answers:
                client.send(stream, b"x" * 10_000, end=part == 11)
        while stream not in client.answers:
            client.pump()
        assert client.answers[stream].status == 413


def test_request_on_http2_is_proxied(plane: Plane, server: Server, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route(backend=ECHO)))
    with h2_client(plane, name("a")) as client:
        seen = client.ask(name("a"), "/a%2Fb//c?d").seen
    assert (seen.target, seen.header("Host"), seen.header("X-Forwarded-Proto")) == ("/a%2Fb//c?d", name("a"), "https")


# -- the way to the backend --------------------------------------------------------------------------------------------


def test_connections_to_backends_are_kept_and_used_again(plane: Plane, name: Callable[[str], str]) -> None:
    with Server() as server:
        plane.put(backend("ns/kept:80", server), host(name("a"), route(backend="ns/kept:80")))
        for _ in range(10):
            assert plane.ask(name("a")).seen.connection == 1
        assert server.connections == 1


def test_kept_connection_is_not_shared_between_plain_and_tls_backends(
    new_plane: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    pair = self_signed("backend")
    secure = policy(upstream=Upstream("https"))
    plane = new_plane(policies=[secure])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = plane.run / "backend.pem"
    file.write_text(pair.chain + pair.key)
    context.load_cert_chain(file)
    with Server(context=context) as server:
        plane.put(
            backend(ECHO, server),
            host(name("a"), route(backend=ECHO, policy=secure.digest), route("/plain", ECHO)),
        )
        assert plane.ask(name("a")).seen.connection == 1
        assert plane.ask(name("a"), "/plain").status == 502
        assert plane.ask(name("a")).seen.connection == 1


def test_answer_of_the_backend_passes_unchanged(plane: Plane, name: Callable[[str], str]) -> None:
    def handler(request: Request) -> Reply:
        return Reply(418, [("Location", "http://else/x"), ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d")], b"tea")

    with Server(handler=handler) as server:
        plane.put(backend("ns/tea:80", server), host(name("a"), route(backend="ns/tea:80")))
        answer = plane.ask(name("a"))
    assert (answer.status, answer.body) == (418, b"tea")
    assert answer.header("Location") == "http://else/x"
    assert answer.all("Set-Cookie") == ["a=b", "c=d"]
    assert answer.header("Server") is None


def test_client_that_leaves_ends_the_request_at_the_backend(plane: Plane, name: Callable[[str], str]) -> None:
    left = threading.Event()

    def handler(request: Request) -> None:
        try:
            request.stream.exactly(1)
        except ClosedError:
            left.set()

    with Server(handler=handler) as server:
        plane.put(backend("ns/slow:80", server), host(name("a"), route(backend="ns/slow:80")))
        client = plane.client()
        client.send(f"GET / HTTP/1.1\r\nHost: {name('a')}\r\n\r\n".encode())
        until(lambda: server.requests)
        client.sock.close()
        assert left.wait(20)


def test_http_1_0_request_without_host_is_answered_by_the_catch_all(plane: Plane, server: Server) -> None:
    plane.put(host("_", route(backend=ECHO)))
    try:
        with plane.client() as client:
            client.send(b"GET /x HTTP/1.0\r\n\r\n")
            assert client.answer().seen.target == "/x"
    finally:
        plane.delete("h:_")


def test_hsts_is_sent_over_tls_only(plane: Plane, server: Server, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route(backend=ECHO), route("/none", "")), host(name("b"), route(status=503)))
    assert plane.ask(name("a")).header("Strict-Transport-Security") is None
    with plane.tls_client(name("a")) as client:
        assert client.ask(name("a")).header("Strict-Transport-Security") == "max-age=31536000; includeSubDomains"


def test_trusted_forwarded_headers_are_passed_on(new_plane: Callable[..., Plane], name: Callable[[str], str]) -> None:
    settings = Globals(DEFAULT_POLICY, workers=1, use_forwarded_headers=True)
    plane = new_plane(settings=settings)
    with Server() as server:
        plane.put(backend(ECHO, server), host(name("a"), route(backend=ECHO)))
        headers = {
            "X-Forwarded-For": "192.0.2.1, 192.0.2.2",
            "X-Forwarded-Host": "b.test, c.test",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Port": "8443",
        }
        seen = plane.ask(name("a"), headers=headers).seen
    assert seen.header("X-Forwarded-Host") == "b.test" == seen.header("Host")
    assert (seen.header("X-Forwarded-Proto"), seen.header("X-Forwarded-Port")) == ("https", "8443")
    assert seen.header("X-Forwarded-For") == seen.header("X-Real-IP") == "192.0.2.1"  # every peer is trusted


def test_the_chain_goes_on_in_its_own_header_whatever_names_the_client(
    new_plane: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    settings = Globals(
        DEFAULT_POLICY, workers=1, use_forwarded_headers=True, full_forwarded_for=True, forwarded_for_header="X-Client"
    )
    plane = new_plane(settings=settings)
    with Server() as server:
        plane.put(backend(ECHO, server), host(name("a"), route(backend=ECHO)))
        headers = {"X-Client": "192.0.2.1", "X-Forwarded-For": "192.0.2.2, 192.0.2.3"}
        seen = plane.ask(name("a"), headers=headers).seen
    assert seen.header("X-Real-IP") == seen.header("X-Original-Forwarded-For") == "192.0.2.1"
    assert seen.header("X-Forwarded-For") == "192.0.2.2, 192.0.2.3, 127.0.0.1"


def test_pipelined_requests_are_answered_in_order(plane: Plane, server: Server, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), route(backend=ECHO)))
    with plane.client() as client:
        client.send(b"".join(f"GET /{n} HTTP/1.1\r\nHost: {name('a')}\r\n\r\n".encode() for n in range(20)))
        assert [client.answer().seen.target for _ in range(20)] == [f"/{n}" for n in range(20)]
