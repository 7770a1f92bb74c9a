"""The agent's HTTP API on its Unix socket."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec
from aiohttp import web

from tidegate.agent.protocol import ApplyRequest, Refusal, RetireRequest, StopRequest
from tidegate.agent.rundir import RunDir
from tidegate.agent.supervisor import Supervisor

_BODY_MAX = 512 * 1024 * 1024
_T = TypeVar("_T")


def _answer(value: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


async def _body(request: web.Request, kind: type[_T]) -> _T:
    raw = await request.read()
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        body = msgspec.json.encode(Refusal(str(error)))
        raise web.HTTPBadRequest(body=body, content_type="application/json") from error


class Server:
    """Answers on `agent.sock`; `finished` is set when the agent was told to stop and has answered."""

    def __init__(self, supervisor: Supervisor, run_dir: RunDir, stop_timeout: float) -> None:
        self.finished = asyncio.Event()
        self._supervisor = supervisor
        self._dir = run_dir
        self._stop_timeout = stop_timeout
        app = web.Application(client_max_size=_BODY_MAX)
        app.add_routes(
            [
                web.get("/status", self._status),
                web.get("/usage", self._usage),
                web.post("/apply", self._apply),
                web.post("/retire", self._retire),
                web.post("/stop", self._stop),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self) -> None:
        """Begins to listen; a socket that a killed agent left is replaced (the lock says that it is dead)."""
        self._dir.agent_socket.unlink(missing_ok=True)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self._dir.agent_socket)).start()
        self._dir.agent_socket.chmod(0o660 if self._dir.shared else 0o600)

    async def close(self) -> None:
        """Stops listening and removes the socket."""
        await self._runner.cleanup()
        self._dir.agent_socket.unlink(missing_ok=True)

    async def _status(self, _: web.Request) -> web.Response:
        return _answer(self._supervisor.status())

    async def _usage(self, _: web.Request) -> web.Response:
        return _answer(self._supervisor.usage())

    async def _apply(self, request: web.Request) -> web.Response:
        return _answer(await self._supervisor.apply(await _body(request, ApplyRequest)))

    async def _retire(self, request: web.Request) -> web.Response:
        return _answer(self._supervisor.retire((await _body(request, RetireRequest)).keep))

    async def _stop(self, request: web.Request) -> web.StreamResponse:
        wanted = await _body(request, StopRequest)
        result = await self._supervisor.stop(self._stop_timeout if wanted.timeout is None else wanted.timeout)
        answer = _answer(result)
        try:
            await answer.prepare(request)
            await answer.write_eof()
        finally:
            self.finished.set()
        return answer
