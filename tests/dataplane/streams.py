"""Backends and clients of TCP and UDP services."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any, Self

Manifest = dict[str, Any]


class Connections:
    """A TCP backend: `serve` has a thread for each connection."""

    def __init__(self, serve: Callable[[socket.socket], None], address: str = "127.0.0.1", port: int = 0) -> None:
        self._serve = serve
        self._listener = socket.create_server((address, port), backlog=256)
        self.address, self.port = self._listener.getsockname()[:2]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._one, args=(sock,), daemon=True).start()

    def _one(self, sock: socket.socket) -> None:
        self._open.add(sock)
        with contextlib.suppress(OSError), sock:
            self._serve(sock)
        self._open.discard(sock)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Lines(Connections):
    """A TCP backend that answers each line with its name and that line."""

    def __init__(self, name: str, address: str = "127.0.0.1", port: int = 0) -> None:
        self.name = name
        super().__init__(self._echo, address, port)

    def _echo(self, sock: socket.socket) -> None:
        with sock.makefile("rb") as lines:
            for line in lines:
                sock.sendall(f"{self.name}: ".encode() + line)


class Datagrams:
    """A UDP backend: `answer` makes the datagrams that a datagram is answered with."""

    def __init__(self, answer: Callable[[bytes], list[bytes]], address: str = "127.0.0.1", port: int = 0) -> None:
        self.peers: list[tuple[str, int]] = []
        self._answer = answer
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self.address, self.port = self._socket.getsockname()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, peer = self._socket.recvfrom(65535)
                if peer is None:  # closed
                    return
                self.peers.append(peer)
                for part in self._answer(data):
                    self._socket.sendto(part, peer)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Session:
    """A client's connection to a TCP service."""

    def __init__(self, port: int, first: str = "", source: str = "127.0.0.1") -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0))
        self._lines = self.sock.makefile("rb")
        if first:
            self.sock.sendall(f"{first}\r\n".encode())

    def say(self, text: str) -> str:
        """The answer to a line; empty where the connection ends. Raises OSError."""
        self.sock.sendall(f"{text}\n".encode())
        return self._lines.readline().decode().strip()

    def close(self) -> None:
        self._lines.close()
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ask(port: int, text: str = "hello", source: str = "127.0.0.1") -> str:
    """What one line on a connection of its own is answered; the error where there is none."""
    try:
        with Session(port, source=source) as session:
            return session.say(text)
    except OSError as error:
        return type(error).__name__


def backend_of(port: int, source: str = "127.0.0.1") -> str:
    return ask(port, source=source).partition(":")[0]


def ask_udp(port: int, text: str, client: socket.socket | None = None, answers: int = 1) -> list[str]:
    """The datagrams that come back."""
    with contextlib.ExitStack() as stack:
        sock = client or stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        sock.settimeout(5)
        sock.sendto(text.encode(), ("127.0.0.1", port))
        return [sock.recvfrom(65535)[0].decode() for _ in range(answers)]


# -- manifests ---------------------------------------------------------------------------------------------------------


def entries(kind: str, **ports: str) -> Manifest:
    """The ConfigMap `default/tcp` or `default/udp`; `p9000="default/app:80"` is the entry of port 9000."""
    data = {key[1:]: value for key, value in ports.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": kind, "namespace": "default"}, "data": data}


def stream_service(
    name: str, *endpoints: tuple[str, int], protocol: str = "TCP", affinity: str = "None"
) -> list[Manifest]:
    """A Service with port 7000; each endpoint is an address and its port."""
    meta = {"name": name, "namespace": "default"}
    port = {"name": "main", "port": 7000, "protocol": protocol}
    rows: list[Manifest] = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"ports": [port], "sessionAffinity": affinity},
        }
    ]
    for number, (address, target) in enumerate(endpoints):
        rows.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"{name}-{number}",
                    "namespace": "default",
                    "labels": {"kubernetes.io/service-name": name},
                },
                "addressType": "IPv4",
                "ports": [{"name": "main", "port": target, "protocol": protocol}],
                "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            }
        )
    return rows
