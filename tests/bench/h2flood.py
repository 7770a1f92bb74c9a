"""h2flood.py PORT TARGETS SECONDS CONNECTIONS STREAMS [grpc]: HTTP/2 load over TLS on 127.0.0.1, targets at random.

A bare client: request heads are encoded beforehand, without compression state; of answers it looks at the status and
at their end. With `grpc` the requests are unary calls with a message of 32 bytes, and an answer must end with trailers.
Prints JSON: how many requests were answered 200, and how many otherwise.
"""

from __future__ import annotations

import json
import random
import selectors
import socket
import ssl
import struct
import sys
import time
from pathlib import Path

DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
STATUS_200 = 0x88
WIDE = 2**31 - 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(index: int, text: str) -> bytes:
    value = text.encode()
    head = bytes((index,)) if index < 15 else bytes((15, index - 15))
    return head + bytes((len(value),)) + value


def request_head(host: str, path: str) -> bytes:
    """Indexes are those of HPACK's static table; every text here is shorter than 127."""
    target = b"\x84" if path == "/" else literal(4, path)
    return b"\x82\x87" + target + literal(1, host) + literal(58, "bench") + literal(19, "*/*")


def call_head(host: str, path: str) -> bytes:
    """The same for a gRPC call: POST, with its content type and `te: trailers`."""
    trailers = b"\x00\x02te\x08trailers"
    return b"\x83\x87" + literal(4, path) + literal(1, host) + literal(31, "application/grpc") + trailers


MESSAGE = b"\0" + struct.pack(">I", 32) + bytes(32)


def headers_alone(stream: int, head: bytes) -> bytes:
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, head)


def headers_and_message(stream: int, head: bytes) -> bytes:
    return frame(HEADERS, END_HEADERS, stream, head) + frame(DATA, END_STREAM, stream, MESSAGE)


OPENING = (
    PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, WIDE)) + frame(WINDOW, 0, 0, struct.pack(">I", WIDE - 65535))
)


class Connection:
    """One connection with a bounded number of streams in flight."""

    def __init__(self, port: int, name: str, heads: list[bytes], streams: int, *, grpc: bool) -> None:
        context = ssl._create_unverified_context()
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname=name)
        if self.socket.selected_alpn_protocol() != "h2":
            raise SystemExit("the server does not speak HTTP/2")
        self.socket.sendall(OPENING)
        self.socket.setblocking(False)
        self.heads, self.streams = heads, streams
        self.request = headers_and_message if grpc else headers_alone
        self.grpc, self.begun = grpc, set[int]()
        self.buffer, self.out = b"", b""
        self.next, self.flying = 1, 0
        self.draining = self.over = False

    def ask(self) -> None:
        parts = [self.out]
        while self.flying < self.streams and not self.draining:
            parts.append(self.request(self.next, random.choice(self.heads)))
            self.next += 2
            self.flying += 1
        self.out = b"".join(parts)
        if self.out:
            try:
                sent = self.socket.send(self.out)
            except ssl.SSLWantWriteError:
                return
            self.out = self.out[sent:]

    def well(self, buffer: bytes, position: int, flags: int) -> bool:
        """Whether these headers say 200; the second ones of a gRPC answer are its trailers."""
        if self.grpc:
            stream = int.from_bytes(buffer[position + 5 : position + 9])
            if stream in self.begun:
                self.begun.remove(stream)
                return bool(flags & END_STREAM)
            self.begun.add(stream)
            if flags & END_STREAM:
                return False
        return STATUS_200 in buffer[position + 9 : position + 12]

    def take(self) -> tuple[int, int]:
        """Requests answered with 200, and otherwise."""
        right = wrong = 0
        try:
            while True:
                part = self.socket.recv(65536)
                if not part:
                    self.over = True
                    break
                self.buffer += part
                if not self.socket.pending():
                    break
        except ssl.SSLWantReadError:
            pass
        buffer, position, length = self.buffer, 0, len(self.buffer)
        while length - position >= 9:
            size = (buffer[position] << 16) | (buffer[position + 1] << 8) | buffer[position + 2]
            if length - position < 9 + size:
                break
            kind, flags = buffer[position + 3], buffer[position + 4]
            if kind == HEADERS and not self.well(buffer, position, flags):
                wrong += 1
                right -= 1
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                right += 1
                self.flying -= 1
            elif kind == RESET:
                wrong += 1
                self.flying -= 1
            elif kind == SETTINGS and not flags & ACK:
                self.out += frame(SETTINGS, ACK, 0)
            elif kind == PING and not flags & ACK:
                self.out += frame(PING, ACK, 0, buffer[position + 9 : position + 9 + size])
            elif kind == GOAWAY:
                self.draining = True
            position += 9 + size
        self.buffer = buffer[position:]
        return right, wrong


def main() -> None:
    port, seconds = int(sys.argv[1]), float(sys.argv[3])
    connections, streams = int(sys.argv[4]), int(sys.argv[5])
    rows = [line.split() for line in Path(sys.argv[2]).read_text().splitlines()]
    grpc = sys.argv[6:] == ["grpc"]
    heads = [(call_head if grpc else request_head)(host, path) for host, path in rows]
    selector = selectors.DefaultSelector()
    right = wrong = 0

    def connect() -> None:
        connection = Connection(port, rows[0][0], heads, streams, grpc=grpc)
        connection.ask()
        selector.register(connection.socket, selectors.EVENT_READ, connection)

    for _ in range(connections):
        connect()
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        for key, _ in selector.select(end - now):
            connection: Connection = key.data
            good, bad = connection.take()
            right += good
            wrong += bad
            if connection.over or (connection.draining and connection.flying == 0):
                selector.unregister(connection.socket)
                connection.socket.close()
                connect()
            else:
                connection.ask()
    print(json.dumps({"right": right, "wrong": wrong}))


if __name__ == "__main__":
    main()
