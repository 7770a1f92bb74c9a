"""TLS Secrets to certificates, and which names one covers (reference: behaviour 5)."""

from __future__ import annotations

from functools import lru_cache

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID, PublicKeyAlgorithmOID

from tidegate.model import CertificateInfo, KeyPair
from tidegate.resources.model import Secret

KEY_ALGORITHMS = {
    PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5: "RSA",
    PublicKeyAlgorithmOID.EC_PUBLIC_KEY: "ECDSA",
    PublicKeyAlgorithmOID.ED25519: "Ed25519",
}


class InvalidCertificate(ValueError):
    """Why a Secret is no usable key pair."""


class Bundle(msgspec.Struct, frozen=True):
    """A checked pair; `not_before` and `not_after` are seconds since the epoch.

    `incomplete`: the chain ends with a certificate that says where its issuer is. `responder`: it names an OCSP one.
    """

    pair: KeyPair
    names: tuple[str, ...]
    not_before: int
    not_after: int
    info: CertificateInfo
    incomplete: bool = False
    responder: bool = False


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        common = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(str(item.value).lower() for item in common)
    names = [name.lower() for name in extension.value.get_values_for_type(x509.DNSName)]
    addresses = [str(address) for address in extension.value.get_values_for_type(x509.IPAddress)]
    return tuple(names + addresses)


def _issuer(leaf: x509.Certificate) -> str:
    found = leaf.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else leaf.issuer.rfc4514_string()


@lru_cache(maxsize=4096)
def _parse(chain: bytes, key: bytes, secret: str) -> Bundle:
    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError as error:
        raise InvalidCertificate(f"tls.crt holds no PEM certificate: {error}") from None
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidCertificate(f"tls.key holds no PEM private key without password: {error}") from None
    leaf = certificates[0]
    encoding = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        matches = private.public_key().public_bytes(*encoding) == leaf.public_key().public_bytes(*encoding)
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise InvalidCertificate(f"tls.crt has an unusable public key: {error}") from None
    if not matches:
        raise InvalidCertificate("tls.key does not belong to the first certificate of tls.crt")
    pem = serialization.Encoding.PEM
    text = "".join(item.public_bytes(pem).decode() for item in certificates)
    private_text = private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    names = _names(leaf)
    not_after = int(leaf.not_valid_after_utc.timestamp())
    info = describe(leaf, secret)
    begin, last = int(leaf.not_valid_before_utc.timestamp()), certificates[-1]
    incomplete = last.issuer != last.subject and _names_place(last, AuthorityInformationAccessOID.CA_ISSUERS)
    responder = _names_place(leaf, AuthorityInformationAccessOID.OCSP)
    return Bundle(KeyPair(text, private_text), names, begin, not_after, info, incomplete, responder)


def _names_place(certificate: x509.Certificate, kind: x509.ObjectIdentifier) -> bool:
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return any(item.access_method == kind for item in access)


def describe(leaf: x509.Certificate, secret: str) -> CertificateInfo:
    """What may be told about a certificate."""
    organization = leaf.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return CertificateInfo(
        secret,
        _names(leaf),
        _issuer(leaf),
        int(leaf.not_valid_after_utc.timestamp()),
        f"{leaf.serial_number:x}",
        leaf.fingerprint(hashes.SHA256()).hex(),
        str(organization[0].value) if organization else "",
        KEY_ALGORITHMS.get(leaf.public_key_algorithm_oid, leaf.public_key_algorithm_oid.dotted_string),
        int(leaf.not_valid_before_utc.timestamp()),
    )


def parse_secret(secret: Secret) -> Bundle:
    """The pair in a Secret of any type. Raises InvalidCertificate with the reason."""
    for field in ("tls.crt", "tls.key"):
        if field not in secret.data:
            raise InvalidCertificate(f"the Secret has no key {field}")
    name = f"{secret.metadata.namespace}/{secret.metadata.name}"
    return _parse(secret.data["tls.crt"], secret.data["tls.key"], name)


def covers(names: tuple[str, ...], host: str) -> bool:
    """Whether a certificate for these names is good for the host; a wildcard stands for one label."""
    host = host.lower()
    if host in names:
        return True
    _, _, parent = host.partition(".")
    return bool(parent) and f"*.{parent}" in names
