"""Protocols that users bring, through `tidegate up`: what lives long outlives changes, what flows is not held back."""

from __future__ import annotations

import base64
import hashlib
import os
import queue
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from dataplane import Client, Nginx, Reply, Request, Server, self_signed, serial_of, shown, trusting_context, until
from grpc_peers import LIMIT, Echo, EchoStub, contents, grpc_server, text
from streams import entries, stream_service
from tidegate.agent.orphans import rss
from tidegate.model import KeyPair
from up import Manifest, Up, free_ports, ingress, service, tls_secret

HOST = "long.test"
MIB = 1024 * 1024
UPLOAD = 192 * MIB
Start = Callable[..., Up]


@pytest.fixture
def start(nginx: Nginx) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(*manifests: Manifest | list[Manifest], flags: tuple[str, ...] = ()) -> Up:
            return stack.enter_context(Up(*flags, binary=nginx.binary)).start(*manifests)

        yield started


def tls(up: Up, name: str = HOST) -> Client:
    raw = socket.create_connection(("127.0.0.1", up.https), 10)
    return Client(trusting_context().wrap_socket(raw, server_hostname=name))


def serial_shown(up: Up) -> int:
    with tls(up) as client:
        return shown(client).serial_number


def change_certificate_and_reload(up: Up, pair: KeyPair) -> None:
    """Both kinds of change that a connection may meet."""
    before = up.status()["reloads"]
    up.apply("certificate", tls_secret("cert", pair))
    until(lambda: serial_shown(up) == serial_of(pair))
    assert up.status()["reloads"] == before
    up.apply("policy", ingress("policy", "policy.test", proxy_buffering="on", proxy_buffer_size=f"{8 + before}k"))
    assert up.status()["reloads"] == before + 1


# -- WebSocket --------------------------------------------------------------------------------------------------------

MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_websocket(request: Request) -> Reply | None:
    """A WebSocket server (RFC 6455) that says each text frame back in capitals."""
    key = request.header("Sec-WebSocket-Key")
    assert key is not None and request.header("Upgrade") == "websocket"
    accept = base64.b64encode(hashlib.sha1((key + MAGIC).encode()).digest()).decode()
    head = f"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    request.stream.sock.sendall(head.encode())
    while True:
        _, size = request.stream.exactly(2)
        mask, data = request.stream.exactly(4), request.stream.exactly(size & 0x7F)
        text = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
        request.stream.sock.sendall(struct.pack("!BB", 0x81, len(text)) + text.upper())


class WebSocket:
    """A client on an open connection."""

    def __init__(self, client: Client) -> None:
        self._client = client
        key = base64.b64encode(os.urandom(16)).decode()
        client.send(
            f"GET /ws HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        answer = client.head()
        assert answer.status == 101
        expected = base64.b64encode(hashlib.sha1((key + MAGIC).encode()).digest()).decode()
        assert answer.header("Sec-WebSocket-Accept") == expected

    def say(self, text: str) -> str:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(text.encode()))
        self._client.send(struct.pack("!BB", 0x81, 0x80 | len(masked)) + mask + masked)
        kind, size = self._client.exactly(2)
        assert kind == 0x81
        return self._client.exactly(size).decode()


def test_a_websocket_through_tls_outlives_certificates_and_reloads(start: Start) -> None:
    first = self_signed(HOST)
    with Server("ws", handler=accept_websocket) as server:
        up = start(service("echo", server.port), ingress("web", HOST, tls="cert"))
        up.apply("certificate", tls_secret("cert", first))
        until(lambda: serial_shown(up) == serial_of(first))
        with tls(up) as client:
            websocket = WebSocket(client)
            for number in range(2):
                assert websocket.say(f"before {number}") == f"BEFORE {number}"
                change_certificate_and_reload(up, self_signed(HOST))
            assert websocket.say("after") == "AFTER"
            assert shown(client).serial_number == serial_of(first)


# -- gRPC -------------------------------------------------------------------------------------------------------------


def test_a_grpc_conversation_through_tls_outlives_certificates_and_reloads(start: Start) -> None:
    pair, said = self_signed(HOST), queue.Queue[bytes | None]()
    with grpc_server(Echo()) as endpoint:
        up = start(service("echo", endpoint.port), ingress("web", HOST, tls="cert", backend_protocol="GRPC"))
        up.apply("certificate", tls_secret("cert", pair))
        until(lambda: serial_shown(up) == serial_of(pair))
        credentials = grpc.ssl_channel_credentials(pair.chain.encode())
        options = [("grpc.ssl_target_name_override", HOST), ("grpc.default_authority", HOST)]
        with grpc.secure_channel(f"127.0.0.1:{up.https}", credentials, options) as channel:
            answers = EchoStub(channel).Talk(map(text, iter(said.get, None)), timeout=3 * LIMIT)
            for word in (b"one", b"two"):
                said.put(word)
                assert next(answers).content == b"heard " + word
                change_certificate_and_reload(up, self_signed(HOST))
            said.put(b"three")
            assert next(answers).content == b"heard three"
            said.put(None)
            assert contents(answers) == []
            assert answers.code() is grpc.StatusCode.OK


# -- what flows -------------------------------------------------------------------------------------------------------


def test_events_arrive_one_by_one(start: Start) -> None:
    """Server-Sent Events: the backend waits until the client has seen an event before it sends the next."""
    seen = queue.Queue[None]()

    def events(_request: Request) -> Reply:
        def body() -> Iterator[bytes]:
            for number in range(3):
                yield f"data: {number}\n\n".encode()
                seen.get(timeout=LIMIT)

        return Reply(headers=[("Content-Type", "text/event-stream")], body=body())

    with Server("events", handler=events) as server:
        up = start(service("echo", server.port), ingress("web", HOST))
        with tls(up) as client:
            client.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/event-stream\r\n\r\n".encode())
            assert client.head().header("Content-Type") == "text/event-stream"
            for number in range(3):
                text = f"data: {number}\n\n".encode()
                assert client.line() == b"%x" % len(text)
                assert client.exactly(len(text) + 2) == text + b"\r\n"
                seen.put(None)


def test_a_client_that_expects_100_is_told_to_continue_before_it_sends(start: Start) -> None:
    with Server("echo") as server:
        up = start(service("echo", server.port), ingress("web", HOST))
        with tls(up) as client:
            head = f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
            client.send(head.encode())
            assert client.head().status == 100
            client.send(b"hello")
            answer = client.answer()
            assert (answer.status, answer.seen.body) == (200, "hello")
        with tls(up) as client:  # one that is too large hears so instead
            client.send(head.replace("Content-Length: 5", f"Content-Length: {2 * MIB}").encode())
            assert client.head().status == 413


def swallow(request: Request) -> Reply:
    """Reads a body of chunks and answers its size."""
    size = 0
    while part := int(request.stream.line(), 16):
        left = part
        while left:
            size += len(request.stream.exactly(min(left, 65536)))
            left -= min(left, 65536)
        request.stream.line()
    request.stream.line()
    return Reply(body=str(size).encode())


@contextmanager
def greatest_memory(up: Up) -> Iterator[list[int]]:
    """The most resident bytes that the workers had together, looked at all the time."""
    most, stop = [0], threading.Event()

    def look() -> None:
        while not stop.wait(0.02):
            most[0] = max(most[0], sum(rss(pid) for pid in up.worker_pids()))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        stop.set()
        thread.join()


def test_a_large_upload_streams_through_with_flat_memory_and_no_file(start: Start) -> None:
    """Of unknown length and not buffered: the backend reads while the client still sends."""
    with Server("sink", handler=swallow) as server:
        up = start(
            service("echo", server.port),
            ingress("web", HOST, proxy_body_size="0", proxy_request_buffering="off"),
        )
        before = sum(rss(pid) for pid in up.all_workers())
        part = os.urandom(MIB)
        with tls(up) as client, greatest_memory(up) as most:
            answer = client.ask(HOST, method="POST", body=(part for _ in range(UPLOAD // MIB)))
            assert (answer.status, int(answer.body)) == (200, UPLOAD)
        assert most[0] - before < 16 * MIB
        places = [*up.run.glob("tmp/**/*"), *up.run.with_name(up.run.name + ".workers").glob("tmp/**/*")]
        assert [path for path in places if path.is_file()] == []


# -- a database over TCP ----------------------------------------------------------------------------------------------


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[int]:
    """A Redis server's port."""
    (port,) = free_ports(1)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until(lambda: answers_ping(port), 20)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def answers_ping(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as sock:
            sock.sendall(b"PING\r\n")
            return sock.recv(16) == b"+PONG\r\n"
    except OSError:
        return False


def test_redis_behind_a_tcp_port_keeps_its_subscribers_while_ports_and_endpoints_change(
    start: Start, redis: int
) -> None:
    port, other = free_ports(2)
    manifests = [entries("tcp", **{f"p{port}": "default/redis:7000"}), *stream_service("redis", ("127.0.0.1", redis))]
    up = start(*manifests, flags=("--tcp-services-configmap", "default/tcp"))
    with (
        socket.create_connection(("127.0.0.1", port), 10) as subscriber,
        socket.create_connection(("127.0.0.1", port), 10) as publisher,
    ):
        heard, told = subscriber.makefile("rb"), publisher.makefile("rb")
        subscriber.sendall(b"SUBSCRIBE news\r\n")
        assert [heard.readline() for _ in range(6)][4] == b"news\r\n"

        def publish(text: str) -> None:
            publisher.sendall(f"PUBLISH news {text}\r\n".encode())
            assert told.readline() == b":1\r\n"
            assert [heard.readline() for _ in range(7)][6] == f"{text}\r\n".encode()

        publish("first")
        before = up.status()["reloads"]
        both = {f"p{port}": "default/redis:7000", f"p{other}": "default/redis:7000"}
        up.apply("start", entries("tcp", **both), *stream_service("redis", ("127.0.0.1", redis)))
        assert up.status()["reloads"] == before + 1
        publish("after-a-reload")
        up.apply("start", entries("tcp", **both), *stream_service("redis"))
        publish("without-endpoints")
        up.apply("start", entries("tcp", **both), *stream_service("redis", ("127.0.0.1", redis)))
        assert answers_ping(port) and answers_ping(other)
        publish("last")
