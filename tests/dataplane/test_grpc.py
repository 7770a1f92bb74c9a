"""gRPC through NGINX with real peers: all kinds of calls, statuses and trailers, deadlines, endpoints that fail."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator

import grpc
import pytest
from dataplane import Plane, Server, backend, host, policy, refusing, route, running, self_signed, until
from grpc_peers import LIMIT, Echo, grpc_client, grpc_server, unary
from tidegate.model import Endpoint, Upstream

GRPC, GRPCS = policy(upstream=Upstream("grpc")), policy(upstream=Upstream("grpcs"))


@pytest.fixture(scope="module")
def plane(nginx) -> Iterator[Plane]:
    with running(nginx, policies=[GRPC, GRPCS]) as one:
        yield one


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def served(plane: Plane, echo: Echo, name: Callable[[str], str]) -> Iterator[str]:
    """A host whose only route goes to a gRPC server."""
    with grpc_server(echo) as endpoint:
        put(plane, name("a"), endpoint)
        yield name("a")


def put(plane: Plane, name: str, *endpoints: Endpoint, digest: str = GRPC.digest) -> None:
    plane.put(backend(f"ns/{name}:80", *endpoints), host(name, route(backend=f"ns/{name}:80", policy=digest)))


def status_of(call: Callable[[], object]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def test_calls_of_all_four_kinds_pass(plane: Plane, served: str) -> None:
    with grpc_client(plane, served) as channel:
        assert unary(channel, "Unary")(b"abc", timeout=LIMIT) == b"cba"
        collect = channel.stream_unary("/t.Echo/Collect")
        assert collect(iter([b"a", b"b", b"c"]), timeout=LIMIT) == b"a,b,c"
        assert list(channel.unary_stream("/t.Echo/Split")(b"a,b,c", timeout=LIMIT)) == [b"a", b"b", b"c"]
        talk = channel.stream_stream("/t.Echo/Talk")
        assert list(talk(iter([b"x", b"y"]), timeout=LIMIT)) == [b"heard x", b"heard y"]


def test_each_message_of_a_conversation_passes_before_the_next_is_sent(plane: Plane, served: str) -> None:
    said: queue.Queue[bytes | None] = queue.Queue()
    with grpc_client(plane, served) as channel:
        answers = channel.stream_stream("/t.Echo/Talk")(iter(said.get, None), timeout=LIMIT)
        for word in (b"one", b"two", b"three"):
            said.put(word)
            assert next(answers) == b"heard " + word
        said.put(None)
        assert list(answers) == []


def test_messages_of_a_megabyte_pass_both_ways(plane: Plane, name: Callable[[str], str], echo: Echo) -> None:
    big = policy(upstream=Upstream("grpc"), body_limit=0)
    with running(plane.nginx, policies=[big]) as other, grpc_server(echo) as endpoint:
        put(other, name("a"), endpoint, digest=big.digest)
        with grpc_client(other, name("a")) as channel:
            message = bytes(range(256)) * 4096
            assert unary(channel, "Unary")(message, timeout=LIMIT) == message[::-1]


def test_metadata_and_trailers_pass(plane: Plane, served: str) -> None:
    with grpc_client(plane, served) as channel:
        _, call = unary(channel, "Unary").with_call(b"abc", timeout=LIMIT)
        assert ("x-early", "1") in [tuple(row) for row in call.initial_metadata()]
        late = dict(tuple(row) for row in call.trailing_metadata())
        assert late["x-late"] == "2" and late["x-raw-bin"] == b"\x00\xff"


def test_status_and_message_of_a_failing_call_pass_with_its_trailers(plane: Plane, served: str) -> None:
    with grpc_client(plane, served) as channel:
        for code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.DATA_LOSS):
            error = status_of(lambda code=code: unary(channel, "Fail")(code.name.encode(), timeout=LIMIT))
            assert (error.code(), error.details()) == (code, "as asked: ü")
            assert ("x-why", "told") in [tuple(row) for row in error.trailing_metadata()]


def test_backend_learns_who_asks_and_not_what_the_client_forges(plane: Plane, served: str) -> None:
    forged = (
        ("x-forwarded-for", "1.2.3.4"),
        ("x-real-ip", "1.2.3.4"),
        ("ssl-client-verify", "SUCCESS"),
        ("x-own", "1"),
    )
    with grpc_client(plane, served) as channel:
        told = json.loads(unary(channel, "Describe")(b"", metadata=forged, timeout=LIMIT))
    seen = [(key, value) for key, value in told["metadata"]]
    assert [value for key, value in seen if key == "x-forwarded-for"] == ["127.0.0.1"]
    assert [value for key, value in seen if key == "x-real-ip"] == ["127.0.0.1"]
    assert ("x-forwarded-proto", "https") in seen and ("x-own", "1") in seen
    assert not [row for row in seen if row[0] == "ssl-client-verify"]


def test_deadline_reaches_the_backend_and_ends_the_call_there(plane: Plane, served: str, echo: Echo) -> None:
    with grpc_client(plane, served) as channel:
        told = json.loads(unary(channel, "Describe")(b"", timeout=15))
        assert 0 < told["left"] <= 15
        error = status_of(lambda: unary(channel, "Wait")(b"", timeout=0.3))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert echo.cancelled.wait(LIMIT), "the backend was not told that the client has left"


def test_endpoint_that_refuses_is_tried_no_more_often_than_any(plane: Plane, name: Callable[[str], str]) -> None:
    with refusing() as dead:
        put(plane, name("a"), dead)
        with grpc_client(plane, name("a")) as channel:
            error = status_of(lambda: unary(channel, "Unary")(b"", timeout=LIMIT))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "502" in error.details()
        tried = 'while connecting to upstream, client: 127.0.0.1, server: _, request: "POST /t.Echo/Unary HTTP/2.0"'
        lines = [line for line in plane.errors().splitlines() if tried in line and f":{dead.port}" in line]
        assert len(lines) == 3


def test_endpoint_that_refuses_is_passed_over(plane: Plane, name: Callable[[str], str], echo: Echo) -> None:
    with refusing() as dead, grpc_server(echo) as endpoint:
        put(plane, name("a"), dead, endpoint)
        with grpc_client(plane, name("a")) as channel:
            for _ in range(6):
                assert unary(channel, "Unary")(b"ab", timeout=LIMIT) == b"ba"
    assert echo.calls == 6


def test_service_without_endpoints_is_unavailable(plane: Plane, name: Callable[[str], str]) -> None:
    put(plane, name("a"))
    with grpc_client(plane, name("a")) as channel:
        error = status_of(lambda: unary(channel, "Unary")(b"", timeout=LIMIT))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "503" in error.details()


def test_calls_are_spread_over_endpoints(plane: Plane, name: Callable[[str], str]) -> None:
    first, second = Echo(), Echo()
    with grpc_server(first) as one, grpc_server(second) as two:
        put(plane, name("a"), one, two)
        with grpc_client(plane, name("a")) as channel:
            for _ in range(8):
                unary(channel, "Unary")(b"", timeout=LIMIT)
    assert (first.calls, second.calls) == (4, 4)


def test_backend_of_grpcs_is_spoken_to_over_tls(plane: Plane, name: Callable[[str], str], echo: Echo) -> None:
    with grpc_server(echo, self_signed("backend")) as endpoint:
        put(plane, name("a"), endpoint, digest=GRPCS.digest)
        with grpc_client(plane, name("a")) as channel:
            assert unary(channel, "Unary")(b"ab", timeout=LIMIT) == b"ba"
        put(plane, name("b"), endpoint)
        with grpc_client(plane, name("b")) as channel:
            assert status_of(lambda: unary(channel, "Unary")(b"", timeout=LIMIT)).code() is grpc.StatusCode.UNAVAILABLE


def test_client_without_tls_is_served_where_nginx_can(plane: Plane, served: str) -> None:
    if not plane.nginx.features.http2_directive:
        pytest.skip("HTTP/2 without TLS beside HTTP/1 needs NGINX 1.25.1 or newer")
    with grpc_client(plane, served, plain=True) as channel:
        assert unary(channel, "Unary")(b"abc", timeout=LIMIT) == b"cba"
        talk = channel.stream_stream("/t.Echo/Talk")
        assert list(talk(iter([b"x"]), timeout=LIMIT)) == [b"heard x"]
    with Server() as server:  # and HTTP/1 on the same port
        plane.put(backend("ns/old:80", server), host("old.test", route(backend="ns/old:80")))
        assert plane.ask("old.test").status == 200


def test_stream_outlives_a_reload(plane: Plane, served: str) -> None:
    said: queue.Queue[bytes | None] = queue.Queue()
    with grpc_client(plane, served) as channel:
        answers = channel.stream_stream("/t.Echo/Talk")(iter(said.get, None), timeout=LIMIT)
        said.put(b"before")
        assert next(answers) == b"heard before"
        plane.reload(policies=[GRPC, GRPCS, policy(buffering=True)])
        said.put(b"after")
        assert next(answers) == b"heard after"
        said.put(None)
        assert list(answers) == []
    until(lambda: (plane.status() or {}).get("generation") == plane.generation)
