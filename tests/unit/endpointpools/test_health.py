"""Health checks: what answers mean, and real ones against real servers."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from health_peers import HealthService, certificate
from hypothesis import given
from hypothesis import strategies as st
from tidegate.endpointpools import grpchealth
from tidegate.endpointpools.health import Checker
from tidegate.endpointpools.plan import Health, Probe
from tidegate.endpointpools.probing import Prober
from tidegate.resources.model import HealthCheck

CHECK = HealthCheck("HTTP", healthy_threshold=2, unhealthy_threshold=3)


def after(*answers: bool, start: Health = Health()) -> Health:  # noqa: B008 - immutable
    health = start
    for good in answers:
        health = health.after("" if good else "down", CHECK)
    return health


def test_the_first_check_decides_alone() -> None:
    assert after(True).healthy is True
    assert after(False) == Health(False, 0, "down")


def test_later_on_the_thresholds_count() -> None:
    up, down = Health(True), Health(False, 0, "down")
    assert after(False, False, start=up).healthy is True
    assert after(False, False, False, start=up).healthy is False
    assert after(True, start=down).healthy is False
    assert after(True, True, start=down).healthy is True
    assert after(True, True, start=down).failure == ""


def test_an_answer_in_between_starts_the_count_again() -> None:
    assert after(False, False, True, False, False, start=Health(True)).healthy is True
    assert after(True, False, True, start=Health(False, 0, "down")).healthy is False


@given(st.lists(st.booleans(), min_size=1))
def test_health_changes_only_after_a_full_row(answers: list[bool]) -> None:
    states = [after(*answers[: end + 1]).healthy for end in range(len(answers))]
    for place in range(1, len(states)):
        if states[place] != states[place - 1]:
            row = CHECK.healthy_threshold if states[place] else CHECK.unhealthy_threshold
            assert answers[place + 1 - row : place + 1] == [states[place]] * row
            assert place + 1 >= row


def probe(port: int, kind: str = "HTTP", *, host: str = "", timeout: float = 5, **more: str) -> Probe:
    return Probe("127.0.0.1", port, host, HealthCheck(kind, timeout=timeout, **more))


@pytest.fixture
async def prober() -> AsyncIterator[Prober]:
    one = Prober()
    yield one
    await one.close()


class Site:
    """A web server that notes what it is asked and answers what it is told to."""

    def __init__(self) -> None:
        self.status, self.body, self.wait = 200, b"ok", asyncio.Event()
        self.wait.set()
        self.seen: list[tuple[str, str]] = []
        self.peers: set[object] = set()
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append((request.headers["Host"], request.path_qs))
        self.peers.add(request.transport.get_extra_info("peername") if request.transport else None)
        await self.wait.wait()
        return web.Response(status=self.status, body=self.body, headers={"Location": "http://127.0.0.1:1/"})


@contextlib.asynccontextmanager
async def serving(context: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    site, app = Site(), web.Application()
    app.router.add_route("*", "/{tail:.*}", site.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        site.port = runner.addresses[0][1]
        yield site
        site.wait.set()
    finally:
        await runner.cleanup()


async def closed_port() -> int:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


@pytest.mark.parametrize(
    ("status", "failure"), [(200, ""), (204, ""), (302, ""), (400, "HTTP status 400"), (503, "HTTP status 503")]
)
async def test_http_wants_a_status_below_400_and_follows_no_redirect(prober: Prober, status: int, failure: str) -> None:
    async with serving() as site:
        site.status = status
        assert await prober.check(probe(site.port, path="/healthz?a=%2F")) == failure
        assert site.seen == [(f"127.0.0.1:{site.port}", "/healthz?a=%2F")]


async def test_http_names_the_host_and_opens_a_connection_each_time(prober: Prober) -> None:
    async with serving() as site:
        for _ in range(3):
            assert await prober.check(probe(site.port, host="db.example.com")) == ""
        assert {host for host, _ in site.seen} == {"db.example.com"}
        assert len(site.peers) == 3


@pytest.mark.parametrize("kind", ["HTTP", "HTTPS", "TCP", "GRPC"])
async def test_a_port_that_nobody_listens_on_is_down(prober: Prober, kind: str) -> None:
    assert await prober.check(probe(await closed_port(), kind)) == "Connection refused"


async def test_an_endpoint_that_does_not_answer_in_time_is_down(prober: Prober) -> None:
    async with serving() as site:
        site.wait.clear()
        assert await prober.check(probe(site.port, timeout=0.05)) == "no answer within 0.05s"
        site.wait.set()


@contextlib.asynccontextmanager
async def talking(answer: Callable[[asyncio.StreamWriter], None]) -> AsyncIterator[int]:
    """A server that says something after the first bytes and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        answer(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("kind", ["HTTP", "GRPC"])
@pytest.mark.parametrize(
    "text", [b"", b"SSH-2.0-hello\r\n", b"\x00" * 5000, b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n" + b"a" * 20000]
)
async def test_an_endpoint_that_talks_nonsense_is_down(prober: Prober, kind: str, text: bytes) -> None:
    async with talking(lambda writer: writer.write(text)) as port:
        assert await prober.check(probe(port, kind)) != ""


async def test_an_endpoint_that_greets_and_waits_is_down_at_once(prober: Prober) -> None:
    """What is no HTTP will not become it: nobody waits for more."""
    waiting = asyncio.Event()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        await waiting.wait()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await prober.check(probe(port, timeout=60)) == "no HTTP: b'220 mail.example.com ESMTP\\r\\n'"
        waiting.set()


async def test_an_answer_may_come_in_pieces(prober: Prober) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for byte in b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 Not Found\nServer: old\n\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        assert await prober.check(probe(server.sockets[0].getsockname()[1])) == "HTTP status 404"


async def test_interim_answers_are_not_the_answer(prober: Prober) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    for status, failure in ((b"200", ""), (b"500", "HTTP status 500")):
        text = early + b"HTTP/1.1 " + status + b" X\r\n\r\n"
        async with talking(lambda writer, text=text: writer.write(text)) as port:  # type: ignore[misc]
            assert await prober.check(probe(port)) == failure


async def test_tcp_wants_a_connection_and_no_more(prober: Prober) -> None:
    async with talking(lambda writer: None) as port:
        assert await prober.check(probe(port, "TCP")) == ""


async def test_https_takes_any_certificate_and_keeps_its_connection(prober: Prober, tmp_path: Path) -> None:
    pair = certificate()
    (tmp_path / "pem").write_bytes(
        pair[1].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + pair[0].public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "pem")
    names: list[str | None] = []
    context.sni_callback = lambda connection, name, _: names.append(name)
    async with serving(context) as site:
        for status in (200, 500, 200):
            site.status = status
            expected = "" if status == 200 else "HTTP status 500"
            assert await prober.check(probe(site.port, "HTTPS", host="db.example.com")) == expected
        assert len(site.peers) == 1
        assert names == ["db.example.com"]


@contextlib.asynccontextmanager
async def grpc_server(service: HealthService) -> AsyncIterator[int]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def test_grpc_asks_the_health_service(prober: Prober) -> None:
    service = HealthService()
    async with grpc_server(service) as port:
        assert await prober.check(probe(port, "GRPC")) == ""
        service.status[""] = 2
        assert await prober.check(probe(port, "GRPC")) == "gRPC health NOT_SERVING"
        assert (await prober.check(probe(port, "GRPC", service="shop.Cart"))).startswith("gRPC status 5")
        service.status["shop.Cart"] = 1
        for _ in range(20):
            assert await prober.check(probe(port, "GRPC", service="shop.Cart")) == ""
        assert len(service.peers) == 2  # one connection for each probe


async def test_grpc_without_a_health_service_is_down(prober: Prober) -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    assert (await prober.check(probe(port, "GRPC"))).startswith("gRPC status 12")
    await server.stop(None)


async def test_grpc_opens_a_new_connection_when_the_old_one_is_gone(prober: Prober) -> None:
    service = HealthService()
    async with grpc_server(service) as port:
        assert await prober.check(probe(port, "GRPC")) == ""
        (connection,) = prober._grpc.values()
        connection.close()
        assert await prober.check(probe(port, "GRPC")) == ""


async def test_a_grpc_connection_is_given_up_before_flow_control_matters(
    prober: Prober, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpchealth, "_WINDOW", 60)  # a question and its answer are 12 bytes
    service = HealthService()
    async with grpc_server(service) as port:
        for _ in range(20):
            assert await prober.check(probe(port, "GRPC")) == ""
    assert len(service.peers) == 4


async def test_the_checker_tells_when_an_endpoint_goes_and_comes_back() -> None:
    async with serving() as site:
        told: asyncio.Queue[bool | None] = asyncio.Queue()
        checker = Checker(lambda one: told.put_nowait(checker.health(one).healthy))
        check = HealthCheck("HTTP", interval=0.02, timeout=1, healthy_threshold=2, unhealthy_threshold=2)
        one = Probe("127.0.0.1", site.port, "", check)
        checker.want(frozenset({one}))
        async with asyncio.timeout(20):
            assert await told.get() is True
            site.status = 500
            assert await told.get() is False
            assert checker.health(one).failure == "HTTP status 500"
            site.status = 200
            assert await told.get() is True
        checker.want(frozenset())
        assert checker.health(one) == Health()
        await checker.close()
