"""Asking the running NGINX, over its internal socket, which workers of which generation have come up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

_LIMIT = 2.0
_REQUEST = b"GET /status HTTP/1.0\r\nHost: agent\r\n\r\n"


class PushStatus(msgspec.Struct, frozen=True):
    """NGINX's answer: the worker processes of its newest generation, by worker id."""

    generation: int
    worker_count: int = 0
    workers: dict[str, int] = {}

    @property
    def pids(self) -> frozenset[int]:
        """The processes of that generation."""
        return frozenset(self.workers.values())


async def probe(socket: Path, limit: float = _LIMIT) -> PushStatus | None:
    """What NGINX answers, or `None` while it does not. Each call is a connection of its own: any worker may answer."""
    try:
        async with asyncio.timeout(limit):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(_REQUEST)
                answer = await reader.read(-1)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0] + b" ":
        return None
    try:
        return msgspec.json.decode(body, type=PushStatus)
    except msgspec.DecodeError:
        return None
