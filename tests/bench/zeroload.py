"""zeroload.py: the load of the zero-failure figure, as a process of its own. Reads its plan, JSON, from standard input
and prints its account, JSON.

Half of the requests go on kept and half on new connections, of HTTP/1.1 and of HTTP/2 over TLS; some of each are
streams of several seconds. A request on a kept connection that ends before any byte of its answer is sent once more on
a new one, as clients do (RFC 9112 9.3.1), and so is one that GOAWAY says was not looked at (RFC 9113 6.8), also on a
new connection; all of these are counted. At SIGUSR1 it notes how many requests are under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import signal
import ssl
import struct
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from h2flood import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    OPENING,
    PING,
    RESET,
    SETTINGS,
    STATUS_200,
    WINDOW,
    request_head,
)
from h2flood import frame as h2_frame

UNDER_WAY = "under way"  # the first line of output
KEPT = 16  # kept connections of each protocol
TIMEOUT = 20
REFUSED_STREAM = 7
SHARES = {"h1-kept": 3, "h1-new": 4, "h2-kept": 2, "h2-new": 1}
KINDS = [kind for kind, share in SHARES.items() for _ in range(share)]


class StaleError(Exception):
    """The kept connection ended before any byte of the answer: to be asked again."""


class UnseenError(StaleError):
    """The server says, with GOAWAY, that it has not looked at the request."""


class FailedError(Exception):
    """What a user would see as an error."""


def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


# -- HTTP/1.1 ---------------------------------------------------------------------------------------------------------


class Http1:
    """One connection, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, plan: Plan, host: str) -> Http1:
        return cls(*await asyncio.open_connection(plan.address, plan.port))

    async def ask(self, host: str, path: str) -> tuple[int, bytes]:
        try:
            self._writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            line = await self._reader.readline()
        except ConnectionError as error:
            raise StaleError from error
        if not line:
            raise StaleError
        try:
            status = int(line.split()[1])
            length, chunked = 0, False
            while (line := await self._reader.readline()) != b"\r\n":
                name, _, value = line.lower().partition(b":")
                if not value:
                    raise FailedError("the head was cut off")
                if name == b"content-length":
                    length = int(value)
                chunked = chunked or (name == b"transfer-encoding" and b"chunked" in value)
            return status, await self._chunks() if chunked else await self._reader.readexactly(length)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise FailedError(f"the answer was cut off: {error!r}") from error

    async def _chunks(self) -> bytes:
        parts = []
        while True:
            line = await self._reader.readline()
            if not line:
                raise FailedError("the body was cut off")
            size = int(line, 16)
            part = await self._reader.readexactly(size + 2)
            if not size:
                return b"".join(parts)
            parts.append(part[:-2])

    @property
    def usable(self) -> bool:
        return not self._reader.at_eof() and not self._writer.is_closing()

    def close(self) -> None:
        self._writer.close()


# -- HTTP/2 -----------------------------------------------------------------------------------------------------------


@dataclass
class Stream:
    answered: asyncio.Future[tuple[int, bytes]]
    status: int = 0
    parts: list[bytes] = field(default_factory=list)


class Http2:
    """One connection, any number of requests at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._streams: dict[int, Stream] = {}
        self._next, self.usable = 1, True
        writer.write(OPENING)
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, plan: Plan, host: str) -> Http2:
        return cls(*await asyncio.open_connection(plan.address, plan.tls_port, ssl=TLS, server_hostname=host))

    async def ask(self, host: str, path: str) -> tuple[int, bytes]:
        number, self._next = self._next, self._next + 2
        stream = self._streams[number] = Stream(asyncio.get_running_loop().create_future())
        self._writer.write(h2_frame(HEADERS, 0x05, number, request_head(host, path)))
        return await stream.answered

    def close(self) -> None:
        self._task.cancel()
        self._writer.close()

    async def _read(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(9)
                kind, flags = head[3], head[4]
                number = struct.unpack(">I", head[5:])[0]
                self._take(kind, flags, number, await self._reader.readexactly(int.from_bytes(head[:3])))
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            self.usable = False
            for stream in self._streams.values():
                if not stream.answered.done():
                    stale = not stream.status
                    stream.answered.set_exception(StaleError() if stale else FailedError("the answer was cut off"))

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        stream = self._streams.get(number)
        if kind == HEADERS and stream is not None:
            stream.status = 200 if STATUS_200 in payload[:3] else 500
        elif kind == DATA and stream is not None:
            stream.parts.append(payload)
        elif kind == RESET and stream is not None:
            error = (
                UnseenError()
                if struct.unpack(">I", payload)[0] == REFUSED_STREAM
                else FailedError(f"reset: {payload.hex()}")
            )
            stream.answered.set_exception(error)
            del self._streams[number]
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self._writer.write(h2_frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind == GOAWAY:
            self.usable = False
            last = struct.unpack(">I", payload[:4])[0]
            for other in [other for other in self._streams if other > last]:
                self._streams.pop(other).answered.set_exception(UnseenError())
        if kind == DATA and payload:
            self._writer.write(h2_frame(WINDOW, 0, 0, struct.pack(">I", len(payload))))
        if kind in (HEADERS, DATA) and flags & END_STREAM and stream is not None:
            del self._streams[number]
            if not stream.answered.done():
                stream.answered.set_result((stream.status, b"".join(stream.parts)))


# -- the load ---------------------------------------------------------------------------------------------------------


@dataclass
class Plan:
    """`rate` requests a second for `seconds`; one in `stream_every` asks `stream_path`, of `stream_size` bytes."""

    address: str
    port: int
    tls_port: int
    hosts: list[str]
    paths: list[str]
    rate: int
    seconds: float
    stream_every: int
    stream_path: str
    stream_size: int


class Load:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.longest = (0.0, "")  # of all but the streams
        self.late = 0.0
        self.under_way = self.marked = 0
        self.answered = self.ending = False
        self.h1_idle: deque[Http1] = deque()
        self.h2_kept: list[Http2 | None] = [None] * KEPT
        self.h2_locks = [asyncio.Lock() for _ in range(KEPT)]

    async def run(self) -> dict[str, Any]:
        plan = self.plan
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._mark)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end)
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(int(plan.rate * plan.seconds)):
                due = started + number / plan.rate
                now = time.monotonic()
                if due > now:
                    await asyncio.sleep(due - now)
                if self.ending:
                    break
                self.late = max(self.late, now - due)
                group.create_task(self._counted(number))
        for connection in (*self.h1_idle, *filter(None, self.h2_kept)):
            connection.close()
        return {
            "counts": self.counts,
            "failures": self.failures[:20],
            "longest": self.longest,
            "late": self.late,
            "marked": self.marked,
            "seconds": time.monotonic() - started,
        }

    async def _counted(self, number: int) -> None:
        self.under_way += 1
        await self._one(number)
        self.under_way -= 1

    def _mark(self) -> None:
        self.marked = self.under_way

    def _end(self) -> None:
        self.ending = True

    async def _one(self, number: int) -> None:
        plan, kind = self.plan, KINDS[number % len(KINDS)]
        stream = (number // len(KINDS)) % plan.stream_every == 0
        host, path = random.choice(plan.hosts), plan.stream_path if stream else random.choice(plan.paths)
        self.counts["requests"] += 1
        self.counts[kind] += 1
        self.counts["streams"] += stream
        started = time.monotonic()
        try:
            async with asyncio.timeout(TIMEOUT):
                status, body = await self._ask(kind, host, path)
            right = len(body) == plan.stream_size if stream else body.endswith(f" {host} {path}\n".encode())
            if status != 200 or not right:
                raise FailedError(f"status {status}, {len(body)} bytes: {body[:80]!r}")
            if not self.answered:
                self.answered = True
                print(UNDER_WAY, flush=True)
        except (FailedError, StaleError, OSError, TimeoutError) as error:
            self.counts["failed"] += 1
            at = time.monotonic()
            self.failures.append(f"{at:.2f} {kind} {host}{path} after {at - started:.2f} s: {error!r}")
        if not stream:
            self.longest = max(self.longest, (time.monotonic() - started, kind))

    async def _ask(self, kind: str, host: str, path: str) -> tuple[int, bytes]:
        protocol: type[Http1 | Http2] = Http1 if kind.startswith("h1") else Http2
        if kind.endswith("kept"):
            try:
                return await (self._ask_kept_h1(host, path) if protocol is Http1 else self._ask_kept_h2(host, path))
            except StaleError:
                self.counts["retried"] += 1
                self.counts[f"retried-{kind}"] += 1
            return await self._ask_new(protocol, host, path)
        try:
            return await self._ask_new(protocol, host, path)
        except UnseenError:
            self.counts["retried"] += 1
            self.counts[f"retried-{kind}"] += 1
        return await self._ask_new(protocol, host, path)

    async def _ask_new(self, protocol: type[Http1 | Http2], host: str, path: str) -> tuple[int, bytes]:
        connection = await protocol.connect(self.plan, host)
        try:
            return await connection.ask(host, path)
        finally:
            connection.close()

    async def _ask_kept_h1(self, host: str, path: str) -> tuple[int, bytes]:
        while self.h1_idle:
            connection = self.h1_idle.popleft()
            if connection.usable:
                break
            connection.close()
        else:
            connection = await Http1.connect(self.plan, host)
        try:
            answer = await connection.ask(host, path)
        except BaseException:
            connection.close()
            raise
        if len(self.h1_idle) < KEPT:
            self.h1_idle.append(connection)
        else:
            connection.close()
        return answer

    async def _ask_kept_h2(self, host: str, path: str) -> tuple[int, bytes]:
        index = random.randrange(KEPT)
        async with self.h2_locks[index]:
            connection = self.h2_kept[index]
            if connection is None or not connection.usable:
                connection = self.h2_kept[index] = await Http2.connect(self.plan, host)
        return await connection.ask(host, path)


TLS = tls()

if __name__ == "__main__":
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it warns of writes to what the server has closed
    with contextlib.suppress(KeyboardInterrupt):
        print(json.dumps(asyncio.run(Load(Plan(**json.load(sys.stdin))).run())))
