"""The client of the data plane's own API, on the Unix socket that NGINX makes in the run directory."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec

T = TypeVar("T", bound=msgspec.Struct)


class DataPlaneError(Exception):
    """The data plane did not answer, or not as expected."""


class MemoryFullError(DataPlaneError):
    """The shared memory cannot take a transaction; nothing of it was written."""

    def __init__(self, capacity: int) -> None:
        super().__init__(f"the data plane's shared memory of {capacity} bytes is full")
        self.capacity = capacity


class VersionConflictError(DataPlaneError):
    """The transaction does not follow what the data plane has."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the data plane is at version {version}")
        self.version = version


class PushResult(msgspec.Struct, frozen=True):
    """Bytes of shared memory after a push."""

    version: int
    capacity: int
    free: int


class ZoneFill(msgspec.Struct, frozen=True):
    """Bytes of a limit zone: all that clients' counters may take, and what is free."""

    bytes: int
    free: int


class PlaneStatus(msgspec.Struct, frozen=True):
    """What the workers of the newest generation say."""

    generation: int
    version: int
    capacity: int
    free: int
    patterns: int = 0
    worker_count: int = 0


class _Failure(msgspec.Struct, frozen=True):
    error: str
    version: int = 0
    capacity: int = 0


class DataPlane:
    """Calls to one NGINX. A kept connection may belong to a worker that goes, so none is kept."""

    def __init__(self, run_dir: Path, timeout: float = 30.0) -> None:
        self._socket = str(run_dir / "push.sock")
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def push(self, transaction: bytes) -> PushResult:
        """Write one encoded transaction. Raises MemoryFullError, VersionConflictError or DataPlaneError."""
        status, body = await self._call("POST", "/push", transaction)
        if status == 200:
            return _decode(body, PushResult)
        failure = _decode(body, _Failure)
        if status == 507:
            raise MemoryFullError(failure.capacity)
        if status == 409:
            raise VersionConflictError(failure.version)
        raise DataPlaneError(f"push was answered {status}: {failure.error}")

    async def status(self) -> PlaneStatus:
        return _decode(await self._get("/status"), PlaneStatus)

    async def zones(self) -> dict[str, ZoneFill]:
        """The limit zones by name."""
        status, body = await self._call("GET", "/zones")
        if status != 200:
            raise DataPlaneError(f"zones was answered {status}")
        try:
            return msgspec.json.decode(body, type=dict[str, ZoneFill])
        except msgspec.DecodeError as error:
            raise DataPlaneError(f"the data plane's answer was not understood: {error}") from error

    async def metrics(self) -> list[bytes]:
        """Blocks of request metrics that were handed over since the last call."""
        body = await self._get("/metrics")
        blocks, position = [], 0
        while position < len(body):
            line_end = body.index(b"\n", position)
            length = int(body[position:line_end])
            blocks.append(body[line_end + 1 : line_end + 1 + length])
            position = line_end + 1 + length
        return blocks

    async def spans(self) -> bytes:
        """Spans that were handed over since the last call, a block each line."""
        return await self._get("/spans")

    async def connections(self) -> str:
        """NGINX's own counters, as its stub_status module writes them."""
        return (await self._get("/connections")).decode()

    async def _get(self, path: str) -> bytes:
        status, body = await self._call("GET", path)
        if status != 200:
            raise DataPlaneError(f"{path} was answered {status}")
        return body

    async def _call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        if self._session is None:
            connector = aiohttp.UnixConnector(self._socket, force_close=True)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        try:
            async with self._session.request(method, f"http://dataplane{path}", data=body) as answer:
                return answer.status, await answer.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise DataPlaneError(f"the data plane does not answer: {error!r}") from error


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise DataPlaneError(f"the data plane's answer was not understood: {error}") from error
