"""Certificates made while the tests run, so that no private key is ever in the repository.

In a manifest, `certificate for a.test, *.b.test` stands for a certificate and `key for a.test, *.b.test` for its key.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID
from tidegate.model import KeyPair

MARK = re.compile(r"(certificate|key) for ([a-z0-9.*, -]+)")
_BEGIN = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
_END = datetime.datetime(2034, 1, 1, tzinfo=datetime.UTC)


@lru_cache
def make(names: str, *, common_name: str = "") -> tuple[str, str]:
    """Chain and key, PEM, of a self-signed certificate for comma separated names, or for a common name alone."""
    # the same in every run, for files are named by their content
    key = ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"{names}/{common_name}".encode()).digest())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name or "made for a test")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
    )
    listed = [name.strip() for name in names.split(",") if name.strip()]
    if listed:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in listed]), False)
    chain = builder.sign(key, None).public_bytes(serialization.Encoding.PEM).decode()
    return chain, key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


_made: dict[str, str] = {}
_keys: list[str] = []


def expand(value: bytes) -> bytes:
    """The PEM text that a mark stands for; other values as they are."""
    found = MARK.fullmatch(value.decode("utf-8", "replace").strip())
    if found is None:
        return value
    chain, key = make(found[2])
    if chain not in _made:
        _made[chain] = f"certificate for {found[2]}"
        _keys.append(key)
    return (chain if found[1] == "certificate" else key).encode()


def private_keys() -> list[str]:
    return _keys


def describe(pairs: Iterable[KeyPair]) -> list[str]:
    """Which made certificates these are; each with the key that belongs to it."""
    found = []
    for pair in pairs:
        chain, key = make(_made[pair.chain].removeprefix("certificate for "))
        assert (chain, key) == (pair.chain, pair.key)
        found.append(_made[pair.chain])
    return found


def describe_file(text: bytes) -> list[str]:
    """Which made certificates are in a file, and whether there is a key."""
    found = text.decode()
    names = [name for chain, name in _made.items() if chain in found]
    return names + (["a key"] if "PRIVATE KEY" in found else [])
