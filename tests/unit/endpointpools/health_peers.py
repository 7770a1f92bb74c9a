"""What health checks are tried against: a gRPC health service without generated code, a certificate."""

from __future__ import annotations

import datetime

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec


class HealthService:
    """grpc.health.v1.Health/Check; `status` by service, as numbers of ServingStatus."""

    def __init__(self) -> None:
        self.status = {"": 1}
        self.peers: set[str] = set()

    async def check(self, message: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        self.peers.add(context.peer())
        name = message[2:].decode() if message else ""
        if name not in self.status:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return b"\x08" + bytes([self.status[name]])

    def handler(self) -> grpc.GenericRpcHandler:
        method = grpc.unary_unary_rpc_method_handler(self.check)
        return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method})


def certificate() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Self-signed, for a name that nobody asks for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody.invalid")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .sign(key, hashes.SHA256())
    )
    return made, key
