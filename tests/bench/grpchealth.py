"""grpchealth.py PORT: a gRPC server on all addresses of this machine that says it serves."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc


async def check(_message: bytes, _context: Any) -> bytes:
    return b"\x08\x01"  # HealthCheckResponse{status: SERVING}


async def main(port: int) -> None:
    handler = grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)}
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"0.0.0.0:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
