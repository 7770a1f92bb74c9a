"""Certificates and keys made while the tests run."""

from __future__ import annotations

import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@lru_cache
def made(names: str, common_name: str = "made for a test") -> tuple[str, str]:
    """Chain and key, PEM; without `names` the certificate has no alternative names."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2034, 1, 1, tzinfo=datetime.UTC))
    )
    if names:
        listed = [x509.DNSName(name.strip()) for name in names.split(",")]
        builder = builder.add_extension(x509.SubjectAlternativeName(listed), False)
    chain = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    return chain, key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def pair_for(names: str) -> dict[str, str]:
    """The data of a TLS Secret for comma separated names."""
    chain, key = made(names)
    return {"tls_crt": chain, "tls_key": key}
