"""Certificates by name, data like routes; and what may be told of them."""

from __future__ import annotations

import msgspec


class KeyPair(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """PEM texts: the chain with the leaf first, and its private key.

    `staple` is an OCSP answer in base64 that holds until `staple_until`, seconds since the epoch.
    """

    chain: str
    key: str
    staple: str = ""
    staple_until: int = 0


class Certificate(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What is shown for one SNI name (exact or `*.domain`)."""

    name: str
    pairs: tuple[KeyPair, ...]


class CertificateInfo(msgspec.Struct, frozen=True, gc=False):
    """What may be told about a certificate: never the key."""

    secret: str
    names: tuple[str, ...]
    issuer: str
    not_after: int
    serial: str
    fingerprint: str
    organization: str = ""  # of the issuer
    algorithm: str = ""  # of the public key
    not_before: int = 0
