"""A real gRPC server and client (grpcio), without generated code: messages are bytes."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from dataplane import Plane, self_signed
from tidegate.model import Certificate, Endpoint, KeyPair

LIMIT = 20.0


class Echo:
    """A service with a method of each kind. `cancelled` is set when a client has left `Wait`."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.calls = 0

    def unary(self, message: bytes, context: Any) -> bytes:
        self.calls += 1
        context.send_initial_metadata((("x-early", "1"),))
        context.set_trailing_metadata((("x-late", "2"), ("x-raw-bin", b"\x00\xff")))
        return message[::-1]

    def describe(self, _message: bytes, context: Any) -> bytes:
        rows = [[key, value] for key, value in context.invocation_metadata() if isinstance(value, str)]
        return json.dumps({"metadata": rows, "left": context.time_remaining()}).encode()

    def collect(self, messages: Iterator[bytes], _context: Any) -> bytes:
        return b",".join(messages)

    def split(self, message: bytes, _context: Any) -> Iterator[bytes]:
        yield from message.split(b",")

    def talk(self, messages: Iterator[bytes], _context: Any) -> Iterator[bytes]:
        for message in messages:
            yield b"heard " + message

    def fail(self, message: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("x-why", "told"),))
        context.abort(grpc.StatusCode[message.decode()], "as asked: ü")
        return b""

    def wait(self, _message: bytes, context: Any) -> bytes:
        context.add_callback(self.cancelled.set)
        self.cancelled.wait(LIMIT)
        return b"late"

    def handler(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            "t.Echo",
            {
                "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
                "Describe": grpc.unary_unary_rpc_method_handler(self.describe),
                "Collect": grpc.stream_unary_rpc_method_handler(self.collect),
                "Split": grpc.unary_stream_rpc_method_handler(self.split),
                "Talk": grpc.stream_stream_rpc_method_handler(self.talk),
                "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
                "Wait": grpc.unary_unary_rpc_method_handler(self.wait),
            },
        )


@contextlib.contextmanager
def grpc_server(echo: Echo, pair: KeyPair | None = None, client_authority: str | None = None) -> Iterator[Endpoint]:
    """A server of the service on a port of its own, with TLS if there is a pair."""
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((echo.handler(),))
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
def grpc_client(plane: Plane, name: str, *, plain: bool = False) -> Iterator[grpc.Channel]:
    """A channel to a host of the plane, over TLS with a certificate that is pushed for it, or in clear text."""
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
        yield channel


def unary(channel: grpc.Channel, method: str) -> Any:
    """A callable for a unary method; so are the next ones for the streaming kinds."""
    return channel.unary_unary(f"/t.Echo/{method}")
