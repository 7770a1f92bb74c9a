"""Backends that speak TLS and tell what they learnt of the handshake, and certificates by made-up authorities."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from dataplane import Reply, Request, Server
from tidegate.model import KeyPair

_KEY = ec.generate_private_key(ec.SECP256R1())
_KEY_PEM = _KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


@lru_cache
def pair(name: str, authority: str, *, intermediate: bool = False) -> KeyPair:
    """A certificate for a name by an authority; all share one key. An authority's own is `pair(it, it)`."""
    now = datetime.datetime.now(datetime.UTC)

    def subject(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject(name))
        .issuer_name(subject(authority))
        .public_key(_KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=intermediate or name == authority, path_length=None), critical=True)
        .sign(_KEY, hashes.SHA256())
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM).decode(), _KEY_PEM)


class Handshake:
    """What a backend learnt of a connection: the client's name and the one that it was asked for."""

    def __init__(self, request: Request) -> None:
        sock = request.stream.sock
        assert isinstance(sock, ssl.SSLSocket)
        shown = sock.getpeercert() or {}
        names = [value for row in shown.get("subject", ()) for key, value in row if key == "commonName"]  # type: ignore[misc]
        self.client = names[0] if names else ""
        self.sni = getattr(sock, "asked_for", "")
        self.version = sock.version() or ""


def tell(request: Request) -> Reply:
    seen = Handshake(request)
    return Reply(body=f"{request.connection} {seen.client or '-'} {seen.sni or '-'} {seen.version}".encode())


@contextmanager
def tls_server(
    folder: Path,
    name: str = "app.internal",
    clients: bool = False,
    version: ssl.TLSVersion | None = None,
    shown: KeyPair | None = None,
) -> Iterator[Server]:
    """A backend that tells about the handshake; with `clients` it wants a certificate from each."""
    one = shown or pair(name, "backends")
    (folder / "backend.pem").write_text(one.chain + one.key)
    (folder / "clients.pem").write_text(pair("clients", "clients").chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "backend.pem")
    context.load_verify_locations(folder / "clients.pem")
    context.verify_mode = ssl.CERT_REQUIRED if clients else ssl.CERT_OPTIONAL
    if version is not None:
        context.minimum_version = context.maximum_version = version

    def remember(sock: ssl.SSLSocket, asked: str | None, _: ssl.SSLContext) -> None:
        sock.asked_for = asked or ""  # type: ignore[attr-defined]

    context.sni_callback = remember  # type: ignore[assignment]
    with Server(handler=tell, context=context) as server:
        yield server
