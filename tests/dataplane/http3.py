"""An HTTP/3 client (aioquic) with blocking calls: its event loop has a thread of its own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent
from cryptography import x509
from dataplane import Answer

LIMIT = 20.0


class _Protocol(QuicConnectionProtocol):
    """Requests on one connection; `ended` says why it ended, empty while it lives."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.http = H3Connection(self._quic)
        self.ended = ""
        self._waiting: dict[int, tuple[asyncio.Future[Answer], list[H3Event]]] = {}

    async def ask(self, headers: list[tuple[bytes, bytes]], body: bytes | None) -> Answer:
        stream = self._quic.get_next_available_stream_id()
        future = asyncio.get_running_loop().create_future()
        self._waiting[stream] = (future, [])
        self.http.send_headers(stream, headers, end_stream=body is None)
        if body is not None:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        return await future

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated):
            self.ended = event.reason_phrase or f"error {event.error_code}"
            for future, _ in self._waiting.values():
                if not future.done():
                    future.set_exception(ConnectionResetError(self.ended))
        for found in self.http.handle_event(event):
            if isinstance(found, HeadersReceived | DataReceived) and found.stream_id in self._waiting:
                future, events = self._waiting[found.stream_id]
                events.append(found)
                if found.stream_ended and not future.done():
                    future.set_result(_answer(events))


def _answer(events: Sequence[H3Event]) -> Answer:
    heads = [event for event in events if isinstance(event, HeadersReceived)]
    rows = tuple((key.decode("latin-1"), value.decode("latin-1")) for key, value in heads[0].headers)
    body = b"".join(event.data for event in events if isinstance(event, DataReceived))
    return Answer(int(dict(rows)[":status"]), rows, body)


class H3Client:
    """One open connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: _Protocol, name: str) -> None:
        self._loop, self._protocol, self._name = loop, protocol, name

    def ask(
        self,
        target: str = "/",
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        authority: str = "",
        limit: float = LIMIT,
    ) -> Answer:
        """Raises ConnectionResetError when the connection ends, TimeoutError when nothing comes."""
        rows = [(":method", method), (":scheme", "https"), (":authority", authority or self._name), (":path", target)]
        rows += (headers or {}).items()
        encoded = [(key.encode(), value.encode()) for key, value in rows]
        return _wait(self._loop, asyncio.wait_for(self._protocol.ask(encoded, body), limit), limit + 1)

    @property
    def retried(self) -> bool:
        """Whether the server asked the client to prove its address first."""
        return bool(self._protocol._quic._retry_source_connection_id)

    @property
    def certificate(self) -> x509.Certificate:
        found = self._protocol._quic.tls._peer_certificate
        assert found is not None
        return found


def _wait(loop: asyncio.AbstractEventLoop, task: Any, limit: float) -> Any:
    future: Future[Any] = asyncio.run_coroutine_threadsafe(task, loop)
    return future.result(limit)


@contextmanager
def h3_client(port: int, name: str) -> Iterator[H3Client]:
    """A connection with this SNI; any certificate will do."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=H3_ALPN, server_name=name, verify_mode=ssl.CERT_NONE, idle_timeout=60
    )
    manager = connect("127.0.0.1", port, configuration=configuration, create_protocol=_Protocol)
    try:
        protocol = _wait(loop, asyncio.wait_for(manager.__aenter__(), LIMIT), LIMIT + 1)
        try:
            yield H3Client(loop, protocol, name)
        finally:
            protocol.close()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
