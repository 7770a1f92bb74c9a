"""gRPC through NGINX with real peers: all kinds of calls, statuses and trailers, deadlines, endpoints that fail."""

from __future__ import annotations

import queue
import re
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from dataplane import Plane, Server, backend, host, policy, refusing, route, running, self_signed, until
from grpc_peers import LIMIT, Echo, EchoServicer, Failure, contents, grpc_client, grpc_server, text
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


@pytest.fixture
def stub(plane: Plane, served: str) -> Iterator[Any]:
    with grpc_client(plane, served) as one:
        yield one


def put(plane: Plane, name: str, *endpoints: Endpoint, digest: str = GRPC.digest) -> None:
    plane.put(backend(f"ns/{name}:80", *endpoints), host(name, route(backend=f"ns/{name}:80", policy=digest)))


def reversed_by(stub: Any, content: bytes) -> bytes:
    return stub.Unary(text(content), timeout=LIMIT).content


def status_of(call: Callable[[], object]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


class Said:
    """What a client says, message by message, until it is asked to `end`."""

    def __init__(self) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue()

    def say(self, content: bytes) -> None:
        self._queue.put(content)

    def end(self) -> None:
        self._queue.put(None)

    def __iter__(self) -> Iterator[Any]:
        return map(text, iter(self._queue.get, None))


def test_calls_of_all_four_kinds_pass(stub: Any) -> None:
    assert reversed_by(stub, b"abc") == b"cba"
    assert stub.Collect(map(text, (b"a", b"b", b"c")), timeout=LIMIT).content == b"a,b,c"
    assert contents(stub.Split(text(b"a,b,c"), timeout=LIMIT)) == [b"a", b"b", b"c"]
    assert contents(stub.Talk(map(text, (b"x", b"y")), timeout=LIMIT)) == [b"heard x", b"heard y"]


def test_calls_without_any_message_pass(stub: Any) -> None:
    assert stub.Collect(iter(()), timeout=LIMIT).content == b""
    assert contents(stub.Talk(iter(()), timeout=LIMIT)) == []
    assert reversed_by(stub, b"") == b""


def test_each_message_of_a_conversation_passes_before_the_next_is_sent(stub: Any) -> None:
    said = Said()
    answers = stub.Talk(iter(said), timeout=LIMIT)
    for word in (b"one", b"two", b"three"):
        said.say(word)
        assert next(answers).content == b"heard " + word
    said.end()
    assert contents(answers) == []


def test_messages_of_a_megabyte_pass_both_ways(plane: Plane, name: Callable[[str], str], echo: Echo) -> None:
    big = policy(upstream=Upstream("grpc"), body_limit=0)
    with running(plane.nginx, policies=[big]) as other, grpc_server(echo) as endpoint:
        put(other, name("a"), endpoint, digest=big.digest)
        with grpc_client(other, name("a")) as stub:
            message = bytes(range(256)) * 4096
            assert reversed_by(stub, message) == message[::-1]


def test_metadata_and_trailers_pass(stub: Any) -> None:
    _, call = stub.Unary.with_call(text(b"abc"), timeout=LIMIT)
    assert ("x-early", "1") in [tuple(row) for row in call.initial_metadata()]
    late = dict(tuple(row) for row in call.trailing_metadata())
    assert late["x-late"] == "2" and late["x-raw-bin"] == b"\x00\xff"


def test_status_and_message_of_a_failing_call_pass_with_its_trailers(stub: Any) -> None:
    codes = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.DATA_LOSS)
    for code in codes:
        error = status_of(lambda code=code: stub.Fail(Failure(status=code.name), timeout=LIMIT))
        assert (error.code(), error.details()) == (code, "as asked: ü")
        assert ("x-why", "told") in [tuple(row) for row in error.trailing_metadata()]


def test_status_and_trailers_that_follow_messages_pass(stub: Any) -> None:
    said = Said()
    answers = stub.FailLater(iter(said), timeout=LIMIT)
    said.say(b"one")
    assert next(answers).content == b"one"
    error = status_of(lambda: next(answers))
    said.end()
    assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "enough")
    assert ("x-why", "told") in [tuple(row) for row in answers.trailing_metadata()]


def test_method_that_the_backend_does_not_have_is_unimplemented(plane: Plane, name: Callable[[str], str]) -> None:
    class Bare(Echo):
        Unary = EchoServicer.Unary  # as it is generated

    with grpc_server(Bare()) as endpoint:
        put(plane, name("a"), endpoint)
        with grpc_client(plane, name("a")) as stub:
            error = status_of(lambda: reversed_by(stub, b"ab"))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


def test_backend_learns_who_asks_and_not_what_the_client_forges(stub: Any) -> None:
    forged = (
        ("x-forwarded-for", "1.2.3.4"),
        ("x-real-ip", "1.2.3.4"),
        ("ssl-client-verify", "SUCCESS"),
        ("x-own", "1"),
    )
    told = stub.Describe(text(b""), metadata=forged, timeout=LIMIT)
    seen = [(row.name, row.value) for row in told.metadata]
    assert [value for key, value in seen if key == "x-forwarded-for"] == ["127.0.0.1"]
    assert [value for key, value in seen if key == "x-real-ip"] == ["127.0.0.1"]
    assert ("x-forwarded-proto", "https") in seen and ("x-own", "1") in seen
    assert not [row for row in seen if row[0] == "ssl-client-verify"]


def test_deadline_reaches_the_backend_and_ends_the_call_there(stub: Any, echo: Echo) -> None:
    assert 0 < stub.Describe(text(b""), timeout=15).seconds_left <= 15
    error = status_of(lambda: stub.Wait(text(b""), timeout=1))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert echo.cancelled.wait(LIMIT), "the backend was not told that the client has left"


def test_backend_is_told_when_the_client_leaves_in_the_middle_of_answers(stub: Any, echo: Echo) -> None:
    answers = stub.WaitTalking(text(b""), timeout=LIMIT)
    assert next(answers).content == b"begun"
    assert not echo.cancelled.is_set()
    answers.cancel()
    assert echo.cancelled.wait(LIMIT), "the backend was not told that the client has left"


def test_endpoint_that_refuses_is_tried_no_more_often_than_any(plane: Plane, name: Callable[[str], str]) -> None:
    with refusing() as dead:
        put(plane, name("a"), dead)
        with grpc_client(plane, name("a")) as stub:
            error = status_of(lambda: reversed_by(stub, b""))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "502" in error.details()
        tried = 'while connecting to upstream, client: 127.0.0.1, server: _, request: "POST /t.Echo/Unary HTTP/2.0"'
        lines = [line for line in plane.errors().splitlines() if tried in line and f":{dead.port}" in line]
        assert len(lines) == 3


def test_endpoint_that_refuses_is_passed_over(plane: Plane, name: Callable[[str], str], echo: Echo) -> None:
    with refusing() as dead, grpc_server(echo) as endpoint:
        put(plane, name("a"), dead, endpoint)
        with grpc_client(plane, name("a")) as stub:
            for _ in range(6):
                assert reversed_by(stub, b"ab") == b"ba"
    assert echo.calls == 6


def test_service_without_endpoints_is_unavailable(plane: Plane, name: Callable[[str], str]) -> None:
    put(plane, name("a"))
    with grpc_client(plane, name("a")) as stub:
        unary = status_of(lambda: reversed_by(stub, b""))
        streaming = status_of(lambda: contents(stub.Talk(iter(()), timeout=LIMIT)))
    assert error_of_http(unary) == (grpc.StatusCode.UNAVAILABLE, "503")
    # a client that could still send is told to stop as well (RFC 9113, 8.1); gRPC may look at that first
    assert "RST_STREAM" in streaming.details() or error_of_http(streaming) == (grpc.StatusCode.UNAVAILABLE, "503")


def error_of_http(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """What a client makes of a status of HTTP, and that status."""
    return error.code(), "".join(re.findall(r"\b[45]\d\d\b", error.details()))


def test_path_that_nobody_declared_is_unimplemented(plane: Plane, name: Callable[[str], str], echo: Echo) -> None:
    with grpc_server(echo) as endpoint:
        other = route("/other.Service/", backend=f"ns/{name('a')}:80", policy=GRPC.digest)
        plane.put(backend(f"ns/{name('a')}:80", endpoint), host(name("a"), other))
        with grpc_client(plane, name("a")) as stub:
            error = status_of(lambda: reversed_by(stub, b""))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED  # what clients make of 404
    assert "404" in error.details()


def test_calls_are_spread_over_endpoints(plane: Plane, name: Callable[[str], str]) -> None:
    first, second = Echo(), Echo()
    with grpc_server(first) as one, grpc_server(second) as two:
        put(plane, name("a"), one, two)
        with grpc_client(plane, name("a")) as stub:
            for _ in range(8):
                reversed_by(stub, b"")
    assert (first.calls, second.calls) == (4, 4)


def test_backend_of_grpcs_is_spoken_to_over_tls(plane: Plane, name: Callable[[str], str], echo: Echo) -> None:
    with grpc_server(echo, self_signed("backend")) as endpoint:
        put(plane, name("a"), endpoint, digest=GRPCS.digest)
        with grpc_client(plane, name("a")) as stub:
            assert reversed_by(stub, b"ab") == b"ba"
        put(plane, name("b"), endpoint)
        with grpc_client(plane, name("b")) as stub:
            assert status_of(lambda: reversed_by(stub, b"")).code() is grpc.StatusCode.UNAVAILABLE


def test_client_without_tls_is_served(plane: Plane, served: str) -> None:
    with grpc_client(plane, served, plain=True) as stub:
        assert reversed_by(stub, b"abc") == b"cba"
        assert contents(stub.Talk(map(text, (b"x",)), timeout=LIMIT)) == [b"heard x"]
    with Server() as server:  # and HTTP/1 on the same port
        plane.put(backend("ns/old:80", server), host("old.test", route(backend="ns/old:80")))
        assert plane.ask("old.test").status == 200


def test_stream_outlives_a_reload(plane: Plane, stub: Any) -> None:
    said = Said()
    answers = stub.Talk(iter(said), timeout=LIMIT)
    said.say(b"before")
    assert next(answers).content == b"heard before"
    plane.reload(policies=[GRPC, GRPCS, policy(buffering=True)])
    said.say(b"after")
    assert next(answers).content == b"heard after"
    said.end()
    assert contents(answers) == []
    until(lambda: (plane.status() or {}).get("generation") == plane.generation)
