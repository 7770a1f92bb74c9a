"""Certificates that nobody else has signed."""

from __future__ import annotations

import datetime
import functools

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from tidegate.model import KeyPair

_RSA_KEY = functools.lru_cache(lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048))


def self_signed(name: str, kind: str = "ec") -> KeyPair:
    """A certificate for one name; RSA ones share a key, which takes long to make."""
    key = _RSA_KEY() if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return KeyPair(certificate.public_bytes(pem).decode(), private.decode())


def serial_of(pair: KeyPair) -> int:
    return x509.load_pem_x509_certificate(pair.chain.encode()).serial_number
