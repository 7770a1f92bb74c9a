"""The agent's client: typed calls over its Unix socket."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TypeVar

import aiohttp
import msgspec

from tidegate.agent.protocol import (
    AgentStatus,
    ApplyRequest,
    ApplyResult,
    ProcessUsage,
    Refusal,
    RetireRequest,
    RetireResult,
    StopRequest,
    StopResult,
)

_T = TypeVar("_T", bound=msgspec.Struct)


class AgentError(Exception):
    """A call to the agent failed."""


class AgentUnavailableError(AgentError):
    """No agent answers: it does not run, or it went away during the call."""


class AgentTimeoutError(AgentError):
    """The agent did not answer in time."""


class AgentRefusedError(AgentError):
    """The agent answered with an HTTP error: a wrong request, or a fault of its own."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(f"the agent answered {status}: {message}")


class AgentClient:
    """Calls the agent behind one Unix socket. Use as an async context manager, or call `close`."""

    def __init__(self, socket_path: Path | str, *, timeout: float = 10.0, apply_timeout: float = 180.0) -> None:
        self._path = str(socket_path)
        self._timeout = timeout
        self._apply_timeout = apply_timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> AgentClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def apply(self, generation: int, conf: str, workers: int = 0) -> ApplyResult:
        """Puts a configuration into force; a refusal is an answer, not an exception."""
        request = ApplyRequest(generation, conf, workers)
        return await self._call("POST", "/apply", request, ApplyResult, self._apply_timeout)

    async def test(self, conf: str) -> ApplyResult:
        """Whether NGINX would take a configuration; nothing changes."""
        request = ApplyRequest(0, conf, test_only=True)
        return await self._call("POST", "/apply", request, ApplyResult, self._apply_timeout)

    async def usage(self) -> ProcessUsage:
        """What NGINX's processes use."""
        return await self._call("GET", "/usage", None, ProcessUsage, self._timeout)

    async def status(self) -> AgentStatus:
        """What runs now."""
        return await self._call("GET", "/status", None, AgentStatus, self._timeout)

    async def stop(self, grace: float | None = None) -> StopResult:
        """Ends NGINX and the agent: requests have `grace` seconds to end. Returns when NGINX has ended."""
        limit = (60.0 if grace is None else grace) + 30.0
        return await self._call("POST", "/stop", StopRequest(grace), StopResult, limit)

    async def retire(self, keep: int) -> RetireResult:
        """Ends the oldest generations of draining workers beyond the newest `keep`."""
        return await self._call("POST", "/retire", RetireRequest(keep), RetireResult, self._timeout)

    async def _call(self, method: str, path: str, body: msgspec.Struct | None, kind: type[_T], limit: float) -> _T:
        if self._session is None:
            # no connection is kept: a kept one may belong to an agent that is gone
            self._session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(self._path, force_close=True))
        data = None if body is None else msgspec.json.encode(body)
        try:
            timeout = aiohttp.ClientTimeout(total=limit)
            async with self._session.request(method, f"http://agent{path}", data=data, timeout=timeout) as answer:
                raw = await answer.read()
        except TimeoutError as error:
            raise AgentTimeoutError(f"the agent at {self._path} did not answer within {limit:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise AgentUnavailableError(f"no agent answers at {self._path}: {error}") from error
        if answer.status != 200:
            try:
                message = msgspec.json.decode(raw, type=Refusal).error
            except msgspec.DecodeError:
                message = raw.decode(errors="replace")
            raise AgentRefusedError(answer.status, message)
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.DecodeError as error:
            raise AgentRefusedError(answer.status, f"not understood: {error}") from error
