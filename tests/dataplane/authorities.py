"""Made-up authorities, certificates of clients and servers that they issue, and lists of those that they revoke."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID
from tidegate.model import KeyPair

_PEM = serialization.Encoding.PEM
_DAY = datetime.timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """One that signs; `name` is its own common name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._serials: dict[str, int] = {}
        self.issued: list[x509.Certificate] = []
        self.certificate = self._issue(name, self._key.public_key(), authority=True)
        self.pem = self.certificate.public_bytes(_PEM).decode()

    def _issue(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        *,
        authority: bool,
        days: int = 30,
        begin: int = -1,
        places: Iterable[x509.AccessDescription] = (),
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        serial = x509.random_serial_number()
        self._serials[name] = serial
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(self.name))
            .public_key(key)
            .serial_number(serial)
            .not_valid_before(now + begin * _DAY)
            .not_valid_after(now + days * _DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if places := list(places):
            builder = builder.add_extension(x509.AuthorityInformationAccess(places), critical=False)
        if not authority:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        self.issued.append(certificate)
        return certificate

    def below(self, name: str) -> Authority:
        """An authority that this one has signed."""
        found = Authority(name)
        found.certificate = self._issue(name, found._key.public_key(), authority=True)
        found.pem = found.certificate.public_bytes(_PEM).decode()
        return found

    def pair(self, name: str, *, days: int = 30, begin: int = -1, responder: str = "", issuer: str = "") -> KeyPair:
        """A certificate for a name, valid from `begin` to `days` days from now, and its key.

        `responder` and `issuer` are URLs of an OCSP responder and of the authority's own certificate.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        urls = {AuthorityInformationAccessOID.OCSP: responder, AuthorityInformationAccessOID.CA_ISSUERS: issuer}
        places = [
            x509.AccessDescription(kind, x509.UniformResourceIdentifier(url)) for kind, url in urls.items() if url
        ]
        certificate = self._issue(name, key.public_key(), authority=False, days=days, begin=begin, places=places)
        chain = certificate.public_bytes(_PEM)
        private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return KeyPair(chain.decode(), private.decode())

    def answer(self, question: bytes, status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD) -> bytes:
        """What an OCSP responder of this authority says about a certificate of its own; the answer holds for a day."""
        serial = ocsp.load_der_ocsp_request(question).serial_number
        certificate = next(item for item in self.issued if item.serial_number == serial)
        now = datetime.datetime.now(datetime.UTC)
        revoked = status is ocsp.OCSPCertStatus.REVOKED
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=certificate,
            issuer=self.certificate,
            algorithm=hashes.SHA1(),
            cert_status=status,
            this_update=now - datetime.timedelta(hours=1),
            next_update=now + _DAY,
            revocation_time=now if revoked else None,
            revocation_reason=None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, self.certificate)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def revoking(self, *names: str) -> str:
        """A list of what was issued last under these names."""
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(_name(self.name))
            .last_update(now - _DAY)
            .next_update(now + 30 * _DAY)
        )
        for name in names:
            revoked = x509.RevokedCertificateBuilder().serial_number(self._serials[name]).revocation_date(now - _DAY)
            builder = builder.add_revoked_certificate(revoked.build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(_PEM).decode()


def pem_file(folder: Path, name: str, pair: KeyPair) -> Path:
    """Certificate and key in one file."""
    path = folder / f"{name}.pem"
    path.write_text(pair.chain + pair.key)
    return path


def client_context(certificate: Path | None = None) -> ssl.SSLContext:
    """A client that trusts everybody and shows this certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context
