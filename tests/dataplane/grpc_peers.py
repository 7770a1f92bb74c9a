"""A real gRPC server and client, with the code that grpcio-tools generates from `echo.proto`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from dataplane import Plane, self_signed
from tidegate.model import Certificate, Endpoint, KeyPair

LIMIT = 20.0

_messages, _services = grpc.protos_and_services("echo.proto")  # generated when this is imported
Text, Failure = _messages.Text, _messages.Failure
EchoStub, EchoServicer = _services.EchoStub, _services.EchoServicer


def text(content: bytes) -> Any:
    return Text(content=content)


def contents(answers: Iterable[Any]) -> list[bytes]:
    return [answer.content for answer in answers]


class Echo(EchoServicer):
    """`cancelled` is set when a client has left `Wait` or `WaitTalking`; `calls` are those of `Unary`."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.calls = 0

    def Unary(self, request: Any, context: Any) -> Any:
        self.calls += 1
        context.send_initial_metadata((("x-early", "1"),))
        context.set_trailing_metadata((("x-late", "2"), ("x-raw-bin", b"\x00\xff")))
        return text(request.content[::-1])

    def Describe(self, request: Any, context: Any) -> Any:
        told = _messages.Told(seconds_left=context.time_remaining())
        for key, value in context.invocation_metadata():
            if isinstance(value, str):
                told.metadata.add(name=key, value=value)
        return told

    def Collect(self, request_iterator: Iterator[Any], context: Any) -> Any:
        return text(b",".join(contents(request_iterator)))

    def Split(self, request: Any, context: Any) -> Iterator[Any]:
        yield from map(text, request.content.split(b","))

    def Talk(self, request_iterator: Iterator[Any], context: Any) -> Iterator[Any]:
        for message in request_iterator:
            yield text(b"heard " + message.content)

    def Fail(self, request: Any, context: Any) -> Any:
        context.set_trailing_metadata((("x-why", "told"),))
        context.abort(grpc.StatusCode[request.status], "as asked: ü")

    def FailLater(self, request_iterator: Iterator[Any], context: Any) -> Iterator[Any]:
        yield text(next(request_iterator).content)
        context.set_trailing_metadata((("x-why", "told"),))
        context.abort(grpc.StatusCode.ABORTED, "enough")

    def Wait(self, request: Any, context: Any) -> Any:
        context.add_callback(self.cancelled.set)
        self.cancelled.wait(LIMIT)
        return text(b"late")

    def WaitTalking(self, request: Any, context: Any) -> Iterator[Any]:
        context.add_callback(self.cancelled.set)
        yield text(b"begun")
        self.cancelled.wait(LIMIT)


@contextlib.contextmanager
def grpc_server(echo: Echo, pair: KeyPair | None = None, client_authority: str | None = None) -> Iterator[Endpoint]:
    """A server of the service on a port of its own, with TLS if there is a pair."""
    server = grpc.server(ThreadPoolExecutor(8))
    _services.add_EchoServicer_to_server(echo, server)
    if pair is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        credentials = grpc.ssl_server_credentials(
            [(pair.key.encode(), pair.chain.encode())],
            client_authority.encode() if client_authority else None,
            require_client_auth=client_authority is not None,
        )
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield Endpoint("127.0.0.1", port)
    finally:
        echo.cancelled.set()
        server.stop(None).wait(LIMIT)


@contextlib.contextmanager
def grpc_client(plane: Plane, name: str, *, plain: bool = False) -> Iterator[Any]:
    """A stub for a host of the plane, over TLS with a certificate that is pushed for it, or in clear text."""
    options = [("grpc.default_authority", name), ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
    if plain:
        channel = grpc.insecure_channel(f"127.0.0.1:{plane.port}", options)
    else:
        pair = self_signed(name)
        plane.put(Certificate(name, (pair,)))
        credentials = grpc.ssl_channel_credentials(pair.chain.encode())
        options.append(("grpc.ssl_target_name_override", name))
        channel = grpc.secure_channel(f"127.0.0.1:{plane.tls_port}", credentials, options)
    with channel:
        yield EchoStub(channel)
