"""PEM texts of Secrets, checked and written anew, as files that NGINX's configuration names."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import NamedTuple

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import types

_PEM = serialization.Encoding.PEM
_REVOCATIONS = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


class PemFile(msgspec.Struct, frozen=True):
    """A file that NGINX's configuration names by the digest of its content. It may hold a private key."""

    digest: str
    text: bytes

    def __repr__(self) -> str:
        return f"PemFile({self.digest!r})"


def pem_file(text: str) -> PemFile:
    data = text.encode()
    return PemFile(hashlib.sha256(data).hexdigest()[:32], data)


class InvalidBundle(ValueError):
    """Why a text holds no usable authorities or revocation lists."""


class Authorities(NamedTuple):
    """The certificates of a bundle and nothing else of it; `complaints` tell what is odd about it."""

    file: PemFile
    certificates: tuple[x509.Certificate, ...]
    complaints: tuple[str, ...]


class Revocations(NamedTuple):
    """The revocation lists of a text; `complaints` tell which clients are refused for want of one."""

    file: PemFile
    complaints: tuple[str, ...]


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return certificate.issuer == certificate.subject  # as of old, before the extension was invented
    except ValueError:
        return False


def _name(name: x509.Name) -> str:
    return name.rfc4514_string() or "an authority without a name"


@lru_cache(maxsize=256)
def authorities(text: bytes) -> Authorities:
    """The authorities in a PEM text. Raises InvalidBundle when there is none, or something that cannot be read."""
    try:
        found = x509.load_pem_x509_certificates(text)
        pem = "".join(item.public_bytes(_PEM).decode() for item in found)
    except ValueError as error:
        raise InvalidBundle(f"holds no PEM certificate: {error}") from None
    others = [_name(item.subject) for item in found if not _is_authority(item)]
    complaints = tuple(f"holds {name}, which is no authority: good for that very certificate" for name in others[:3])
    return Authorities(pem_file(pem), tuple(found), complaints)


def _signed(item: x509.CertificateRevocationList, key: types.CertificatePublicKeyTypes) -> bool:
    try:
        return item.is_signature_valid(key)  # type: ignore[arg-type]  # TypeError for keys that sign nothing
    except (TypeError, ValueError, InvalidSignature, UnsupportedAlgorithm):
        return False


@lru_cache(maxsize=256)
def revocations(text: bytes, bundle: bytes) -> Revocations:
    """The revocation lists in a PEM text, for the authorities of a bundle. Raises InvalidBundle."""
    lists = []
    for block in _REVOCATIONS.findall(text):
        try:
            lists.append(x509.load_pem_x509_crl(block))
        except ValueError as error:
            raise InvalidBundle(f"holds a revocation list that cannot be read: {error}") from None
    if not lists:
        raise InvalidBundle("holds no PEM revocation list")
    known = authorities(bundle).certificates
    complaints: list[str] = []
    covered: set[x509.Name] = set()
    for item in lists:
        signers = [one.subject for one in known if one.subject == item.issuer and _signed(item, one.public_key())]
        covered.update(signers)
        if not signers:
            complaints.append(f"holds a list of {_name(item.issuer)}, which is not an authority of ca.crt")
    missing = {_name(one.subject) for one in known if _is_authority(one) and one.subject not in covered}
    complaints += [f"holds no list of {name}: every client certificate below it is refused" for name in sorted(missing)]
    pem = "".join(item.public_bytes(_PEM).decode() for item in lists)
    return Revocations(pem_file(pem), tuple(complaints))
