"""The client of the Kubernetes API, against a server that throttles, fails, hangs up and is slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web
from tidegate.kubernetes import client as api
from tidegate.kubernetes import kinds
from tidegate.kubernetes.client import Access, GoneError, Kubernetes, UnavailableError

Answer = Callable[[web.Request], web.StreamResponse]


class Server:
    """Answers each request with the next of `answers`, and with the last one from then on."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.seen: list[web.Request] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(request)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(api, "_backoff", lambda state: 0.0)
    one, app = Server(), web.Application()
    app.router.add_route("*", "/{tail:.*}", one.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield one
    await runner.cleanup()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Kubernetes]:
    one = await Kubernetes.connect(Access(host=server.url), patience=60)
    yield one
    await one.close()


def failing(status: int, **headers: str) -> Answer:
    body = {"kind": "Status", "message": f"it is {status}"}
    return lambda _: web.json_response(
        body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def hanging_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def found(name: str, version: int = 1) -> Answer:
    return lambda _: web.json_response({"metadata": {"name": name, "resourceVersion": str(version)}})


def page(*names: str, after: str = "") -> Answer:
    items = [{"metadata": {"name": name, "uid": name, "resourceVersion": "7"}} for name in names]
    return lambda _: web.json_response({"metadata": {"resourceVersion": "9", "continue": after}, "items": items})


@pytest.mark.parametrize(
    "fault",
    [failing(429), failing(429, Retry_After="0.01"), failing(429, Retry_After="soon"), failing(503), hanging_up],
)
async def test_what_may_pass_is_asked_again(client: Kubernetes, server: Server, fault: Answer) -> None:
    server.answers = [fault, fault, found("web")]
    assert (await client.get(kinds.SERVICE, "shop", "web"))["metadata"]["name"] == "web"
    assert len(server.seen) == 3


async def test_a_server_that_throttles_is_asked_when_it_says(
    client: Kubernetes, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []

    async def sleep(seconds: float) -> None:
        paused.append(seconds)

    client._retrying.sleep = sleep
    server.answers = [failing(429, Retry_After="7"), found("web")]
    await client.get(kinds.SERVICE, "shop", "web")
    assert paused == [7]


async def test_a_server_that_does_not_answer_in_time_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "REQUEST_SECONDS", 0.05)
    never = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await never.wait()
        writer.close()

    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = await Kubernetes.connect(Access(host=url), patience=0)
        with pytest.raises(UnavailableError, match="GET /api/v1/namespaces/shop/services/web"):
            await client.get(kinds.SERVICE, "shop", "web")
        await client.close()
        never.set()


@pytest.mark.parametrize("status", [400, 403, 404, 409])
async def test_what_will_not_pass_is_not_asked_again(client: Kubernetes, server: Server, status: int) -> None:
    server.answers = [failing(status)]
    with pytest.raises(api.ApiError, match=f"it is {status}"):
        await client.get(kinds.SERVICE, "shop", "web")
    assert len(server.seen) == 1


async def test_a_write_that_is_throttled_is_sent_again(client: Kubernetes, server: Server) -> None:
    """Nothing was done; a leader whose renewals are throttled would else lose its Lease."""
    server.answers = [failing(429), failing(429, Retry_After="0.01"), found("a")]
    assert (await client.create(kinds.LEASE, "shop", {"metadata": {"name": "a"}}))["metadata"]["name"] == "a"
    assert [request.method for request in server.seen] == ["POST"] * 3


async def test_nothing_is_written_twice(client: Kubernetes, server: Server) -> None:
    """Whether a write that was not answered came through is not known: who wrote looks again."""
    server.answers = [failing(503)]
    with pytest.raises(UnavailableError):
        await client.create(kinds.LEASE, "shop", {"metadata": {"name": "a"}})
    assert len(server.seen) == 1


async def test_lists_come_in_chunks_and_without_helms_secrets(client: Kubernetes, server: Server) -> None:
    server.answers = [page("a", "b", after="more"), page("c")]
    names = [item["metadata"]["name"] async for items in client.objects(kinds.SECRET) for item in items]
    assert names == ["a", "b", "c"]
    assert [request.query["limit"] for request in server.seen] == [str(api.CHUNK)] * 2
    assert [request.query.get("continue", "") for request in server.seen] == ["", "more"]
    for request in server.seen:
        assert "type!=helm.sh/release.v1" in request.query["fieldSelector"]


async def test_a_list_whose_version_is_gone_has_to_be_begun_again(client: Kubernetes, server: Server) -> None:
    server.answers = [page("a", after="more"), failing(410)]
    with pytest.raises(GoneError):
        _ = [items async for items in client.objects(kinds.SERVICE)]


async def test_a_census_asks_for_names_and_versions_alone(client: Kubernetes, server: Server) -> None:
    server.answers = [page("a", "b")]
    metas, version = await client.census(kinds.INGRESS)
    assert ([meta.name for meta in metas], version) == (["a", "b"], 9)
    assert "PartialObjectMetadataList" in server.seen[0].headers["Accept"]
