"""How long until a host answers as wanted: asked again and again, each time on a new connection."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from subjects import BenchError

PAUSE = 0.0005


def ask(port: int, host: str, path: str = "/") -> tuple[int, str]:
    """Status and body. Bare sockets, because asking must cost less than what is measured."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    if b"chunked" in head:
        body = body.split(b"\r\n")[1]
    return int(head[9:12]), body.decode()


def seconds_until(
    port: int, host: str, wanted: str, allowed: Callable[[int, str], bool], limit: float, started: float
) -> float:
    """Seconds from `started` to the end of the first answer with this body; what comes before must be `allowed`."""
    while True:
        status, body = ask(port, host)
        now = time.perf_counter()
        if status == 200 and body == wanted:
            return now - started
        if not allowed(status, body):
            raise BenchError(f"{host} answered {status} {body!r}")
        if now - started > limit:
            raise BenchError(f"{host}: no {wanted!r} within {limit} s, but {status} {body!r}")
        time.sleep(PAUSE)


def sweep(port: int, hosts: list[str], paths: tuple[str, ...]) -> int:
    """Ask each host for each path on one connection; how many answers were not 200."""
    wrong = 0
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    try:
        file = connection.makefile("rb")
        for number, (host, path) in enumerate((host, path) for host in hosts for path in paths):
            if number and number % 900 == 0:  # before the server ends it by itself
                connection.close()
                connection = socket.create_connection(("127.0.0.1", port), timeout=30)
                file = connection.makefile("rb")
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            status = int(file.readline()[9:12])
            length, chunked = 0, False
            while (line := file.readline()) not in (b"\r\n", b""):
                name, _, value = line.lower().partition(b":")
                if name == b"content-length":
                    length = int(value)
                chunked = chunked or (name == b"transfer-encoding" and b"chunked" in value)
            if chunked:
                while size := int(file.readline(), 16):
                    file.read(size + 2)
                file.readline()
            else:
                file.read(length)
            wrong += status != 200
    finally:
        connection.close()
    return wrong
