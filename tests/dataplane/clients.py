"""Clients that send bytes as they are and show what comes back."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import h2.config
import h2.connection
import h2.events
from cryptography import x509
from h2.connection import ConnectionInputs, ConnectionState


@dataclass(frozen=True)
class Answer:
    """One response; header names as they came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of that name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def seen(self) -> Seen:
        """What the echo backend that answered has seen."""
        return Seen(**self.json)


@dataclass(frozen=True)
class Seen:
    """A request as an echo backend saw it."""

    backend: str
    connection: int
    method: str
    target: str
    version: str
    headers: list[list[str]]
    body: str
    length: int

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        found = self.all(name)
        assert len(found) < 2, f"{name} came {len(found)} times: {found}"
        return found[0] if found else None


class ClosedError(EOFError):
    """The other side closed the connection in the midst of something."""


class Stream:
    """A socket with a buffer for reading."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ClosedError
        self._buffer += data

    def line(self) -> bytes:
        while b"\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def rest(self) -> bytes:
        with contextlib.suppress(ClosedError):
            while True:
                self._more()
        data, self._buffer = self._buffer, b""
        return data

    def fields(self) -> tuple[tuple[str, str], ...]:
        found = []
        while line := self.line():
            name, _, value = line.partition(b":")
            found.append((name.decode("latin-1"), value.strip().decode("latin-1")))
        return tuple(found)

    def chunk(self) -> bytes:
        """One chunk of a chunked body; empty at its end."""
        size = int(self.line().split(b";")[0], 16)
        data = self.exactly(size)
        if size:
            self.line()
        else:
            self.fields()
        return data

    def chunks(self) -> bytes:
        found = b""
        while data := self.chunk():
            found += data
        return found


class Client(Stream):
    """A connection to NGINX."""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def head(self) -> Answer:
        """The status and headers of the next response; its body is still to be read."""
        status = int(self.line().split()[1])
        return Answer(status, self.fields(), b"")

    def answer(self, method: str = "GET") -> Answer:
        """The next response."""
        head = self.head()
        if method == "HEAD" or head.status in (204, 304):
            return head
        length = head.header("Content-Length")
        if head.header("Transfer-Encoding") == "chunked":
            body = self.chunks()
        elif length is not None:
            body = self.exactly(int(length))
        else:
            body = self.rest()
        return replace(head, body=body)

    def ask(
        self,
        name: str,
        target: str = "/",
        method: str = "GET",
        headers: dict[str, str] | Sequence[tuple[str, str]] = (),
        body: bytes | Iterable[bytes] | None = None,
    ) -> Answer:
        """One request; an iterable body is sent chunked. A server that answers early is listened to."""
        rows = [("Host", name), *(headers.items() if isinstance(headers, dict) else headers)]
        if isinstance(body, bytes):
            rows.append(("Content-Length", str(len(body))))
        elif body is not None:
            rows.append(("Transfer-Encoding", "chunked"))
        text = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{key}: {value}\r\n" for key, value in rows) + "\r\n"
        self.send(text.encode("latin-1"))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if isinstance(body, bytes):
                self.send(body)
            elif body is not None:
                for part in body:
                    self.send(b"%x\r\n%b\r\n" % (len(part), part))
                self.send(b"0\r\n\r\n")
        return self.answer(method)


class H2Client:
    """A small HTTP/2 client."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        # a server that leaves says so and still answers what it was asked; the library would hear no more of it
        machine = self.connection.state_machine
        stays = {(ConnectionState.CLIENT_OPEN, ConnectionInputs.RECV_GOAWAY): (None, ConnectionState.CLIENT_OPEN)}
        machine._transitions = {**machine._transitions, **stays}
        self.connection.initiate_connection()
        self.answers: dict[int, Answer] = {}
        self.ended: set[int] = set()
        self.goaway = False
        self._flush()

    def __enter__(self) -> H2Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def _flush(self) -> None:
        self.sock.sendall(self.connection.data_to_send())

    def request(self, name: str, path: str, method: str = "GET", *, end: bool = True, scheme: str = "https") -> int:
        """Begins a stream; its number."""
        stream = self.connection.get_next_available_stream_id()
        rows = [(":method", method), (":scheme", scheme), (":authority", name), (":path", path)]
        self.connection.send_headers(stream, rows, end_stream=end)
        self._flush()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool) -> None:
        self.connection.send_data(stream, data, end_stream=end)
        self._flush()

    def pump(self) -> None:
        """Takes in what the server has sent."""
        data = self.sock.recv(65536)
        if not data:
            raise ClosedError
        for event in self.connection.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                rows = tuple((str(name), str(value)) for name, value in event.headers)
                self.answers[event.stream_id] = Answer(int(dict(rows)[":status"]), rows, b"")
            elif isinstance(event, h2.events.DataReceived):
                former = self.answers[event.stream_id]
                self.answers[event.stream_id] = replace(former, body=former.body + event.data)
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                self.ended.add(event.stream_id)
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.goaway = True
        self._flush()

    def answer(self, stream: int) -> Answer:
        while stream not in self.ended:
            self.pump()
        return self.answers[stream]

    def ask(self, name: str, path: str = "/", method: str = "GET", body: bytes | None = None) -> Answer:
        stream = self.request(name, path, method, end=body is None)
        if body is not None:
            self.send(stream, body, end=True)
        return self.answer(stream)


def trusting_context() -> ssl.SSLContext:
    """A client that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def shown(client: Client | H2Client) -> x509.Certificate:
    """The certificate that the server showed."""
    assert isinstance(client.sock, ssl.SSLSocket)
    raw = client.sock.getpeercert(binary_form=True)
    assert raw is not None
    return x509.load_der_x509_certificate(raw)
