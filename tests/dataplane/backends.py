"""Backends in the process of the tests."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from clients import ClosedError, Stream
from tidegate.model import Endpoint


@dataclass
class Reply:
    """What a backend answers; a body that is no bytes is sent chunk by chunk as it comes."""

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | Iterable[bytes] = b""


@dataclass
class Request:
    """A request that a backend is asked."""

    backend: str
    connection: int
    stream: Stream
    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    _body: bytes | None = field(default=None, repr=False)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def body(self) -> bytes:
        """All of the body; read when first asked for."""
        if self._body is None:
            if self.header("Transfer-Encoding") == "chunked":
                self._body = self.stream.chunks()
            else:
                self._body = self.stream.exactly(int(self.header("Content-Length") or 0))
        return self._body


def echo(request: Request) -> Reply:
    """Answers with what was asked."""
    seen = {
        "backend": request.backend,
        "connection": request.connection,
        "method": request.method,
        "target": request.target,
        "version": request.version,
        "headers": [list(row) for row in request.headers],
        "body": request.body[:1000].decode("latin-1"),
        "length": len(request.body),
    }
    return Reply(body=json.dumps(seen).encode())


class Server:
    """A backend on a port of its own; each connection has a thread."""

    def __init__(
        self,
        name: str = "echo",
        handler: Callable[[Request], Reply | None] = echo,
        context: ssl.SSLContext | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self.name, self.handler = name, handler
        self.requests: list[Request] = []
        self.connections = 0
        self._context = context
        self._listener = listener or socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = port_of(self._listener)
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self._listener.getsockname()[0], self.port)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        self._open.add(sock)
        with contextlib.suppress(ClosedError, OSError, ValueError):
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            stream = Stream(sock)
            while self._one(stream, number):
                pass
        sock.close()
        self._open.discard(sock)

    def _one(self, stream: Stream, number: int) -> bool:
        method, target, version = stream.line().decode("latin-1").split(" ")
        request = Request(self.name, number, stream, method, target, version, stream.fields())
        self.requests.append(request)
        reply = self.handler(request)
        if reply is None:  # the handler has done everything itself
            return False
        rows = list(reply.headers)
        whole = reply.body if isinstance(reply.body, bytes) else None
        rows.append(("Transfer-Encoding", "chunked") if whole is None else ("Content-Length", str(len(whole))))
        text = f"HTTP/1.1 {reply.status} Some\r\n" + "".join(f"{key}: {value}\r\n" for key, value in rows) + "\r\n"
        if whole is not None:
            stream.sock.sendall(text.encode("latin-1") + whole)
        else:
            stream.sock.sendall(text.encode("latin-1"))
            for part in reply.body:
                assert isinstance(part, bytes)
                stream.sock.sendall(b"%x\r\n%b\r\n" % (len(part), part))
            stream.sock.sendall(b"0\r\n\r\n")
        _ = request.body
        return True

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def servers(*names: str, handler: Callable[[Request], Reply | None] = echo) -> Iterator[list[Server]]:
    """Several backends."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Server(name, handler)) for name in names]


@contextlib.contextmanager
def refusing() -> Iterator[Endpoint]:
    """An endpoint that refuses connections."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield Endpoint("127.0.0.1", port_of(held))


def port_of(held: socket.socket) -> int:
    return int(held.getsockname()[1])
