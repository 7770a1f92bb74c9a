"""The webhook's certificate: from files, or from a Secret that the leader makes and renews.

The Secret holds an authority of its own and a certificate for the webhook's Service. Whoever leads writes it and puts
the authority into the ValidatingWebhookConfiguration; every replica reads it again and takes over what is new without
a restart.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import logging
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tidegate.findings import ObjectKey
from tidegate.kubernetes.client import ApiError, ConflictError, Kubernetes, NotFoundError
from tidegate.kubernetes.kinds import SECRET, VALIDATING_WEBHOOK

log = logging.getLogger("tidegate")

LOOK_EVERY = 5.0
LIFE = datetime.timedelta(days=365)
RENEW_BEFORE = datetime.timedelta(days=60)


class Keeper(Protocol):
    """Has a certificate, and sees to it that the context stays up to date."""

    async def context(self) -> ssl.SSLContext:
        """A context that can serve; waits until there is a certificate."""
        ...

    async def run(self) -> None:
        """Keep the context up to date until cancelled."""
        ...


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class FileKeeper:
    """Certificate and key in files, read again when they change (cert-manager's, for example)."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate, self._key = certificate, key
        self._context = _context()
        self._seen: tuple[int, int] | None = None

    async def context(self) -> ssl.SSLContext:
        while True:
            if await asyncio.to_thread(self._load):
                return self._context
            await asyncio.sleep(LOOK_EVERY)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await asyncio.to_thread(self._load)

    def _load(self) -> bool:
        """Whether there is a usable certificate; a bad one leaves the former in use."""
        try:
            state = (self._certificate.stat().st_mtime_ns, self._key.stat().st_mtime_ns)
            if state != self._seen:
                self._context.load_cert_chain(self._certificate, self._key)
                self._seen = state
        except (OSError, ssl.SSLError) as error:
            log.warning("the webhook's certificate %s cannot be used: %s", self._certificate, error)
        return self._seen is not None


@dataclass(frozen=True)
class SecretPlan:
    """Where the certificate lives, for which names it is, and which configuration trusts it (empty: none)."""

    secret: ObjectKey
    names: tuple[str, ...]
    configuration: str = ""


class SecretKeeper:
    """See the module. `leads` says whether this replica is the one that writes."""

    def __init__(self, client: Kubernetes, plan: SecretPlan, leads: Callable[[], bool]) -> None:
        self._client, self._plan, self._leads = client, plan, leads
        self._context = _context()
        self._used = b""

    async def context(self) -> ssl.SSLContext:
        while True:
            with contextlib.suppress(ApiError):
                await self._look()
            if self._used:
                return self._context
            await asyncio.sleep(0.5)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self._look()
            except ApiError as error:
                log.warning("the webhook's certificate is looked at later: %s", error)

    async def _look(self) -> None:
        secret = await self._read()
        if self._leads():
            if secret is None or _is_due(secret, self._plan.names):
                secret = await self._write(secret)
            await self._trust(secret)
        if secret is not None:
            await asyncio.to_thread(self._use, secret)

    async def _read(self) -> dict[str, Any] | None:
        try:
            return await self._client.get(SECRET, self._plan.secret.namespace, self._plan.secret.name)
        except NotFoundError:
            return None

    async def _write(self, former: dict[str, Any] | None) -> dict[str, Any] | None:
        """A new authority with a new certificate. Another leader's is as good."""
        data = await asyncio.to_thread(make_pair, self._plan.names)
        data["ca.crt"] += _authority(former)  # until each replica shows the new certificate
        encoded = {name: base64.b64encode(value).decode() for name, value in data.items()}
        await self._trust({"data": encoded})  # before any replica can show it
        key = self._plan.secret
        try:
            if former is not None:
                return await self._client.replace(SECRET, key.namespace, key.name, {**former, "data": encoded})
            body = {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/tls",
                "metadata": {"name": key.name, "namespace": key.namespace},
                "data": encoded,
            }
            return await self._client.create(SECRET, key.namespace, body)
        except ConflictError:
            return await self._read()

    async def _trust(self, secret: dict[str, Any] | None) -> None:
        """Put the authority into the webhook's configuration, if it is not there."""
        if secret is None or not self._plan.configuration:
            return
        try:
            found = await self._client.get(VALIDATING_WEBHOOK, "", self._plan.configuration)
        except NotFoundError:
            return
        authority = secret["data"]["ca.crt"]
        stale = [hook for hook in found.get("webhooks") or () if hook["clientConfig"].get("caBundle") != authority]
        for hook in stale:
            hook["clientConfig"]["caBundle"] = authority
        if stale:
            with contextlib.suppress(ConflictError):
                await self._client.replace(VALIDATING_WEBHOOK, "", self._plan.configuration, found)

    def _use(self, secret: dict[str, Any]) -> None:
        data = {name: base64.b64decode(text) for name, text in (secret.get("data") or {}).items()}
        pair = data.get("tls.crt", b"") + data.get("tls.key", b"")
        if not pair or pair == self._used:
            return
        try:
            with tempfile.NamedTemporaryFile(mode="wb", prefix="tidegate-") as file:  # OpenSSL reads files only
                file.write(pair)
                file.flush()
                self._context.load_cert_chain(file.name)
        except (OSError, ssl.SSLError) as error:
            log.warning("the webhook's certificate in %s cannot be used: %s", self._plan.secret, error)
            return
        self._used = pair


def _authority(secret: dict[str, Any] | None) -> bytes:
    """The newest authority in a Secret, as PEM; empty if there is none."""
    try:
        return x509.load_pem_x509_certificates(base64.b64decode((secret or {})["data"]["ca.crt"]))[0].public_bytes(
            serialization.Encoding.PEM
        )
    except (KeyError, TypeError, ValueError, IndexError):
        return b""


def _is_due(secret: dict[str, Any], names: tuple[str, ...]) -> bool:
    """Whether the certificate ends soon, has not begun (clocks are set back), is not for these names, or is none."""
    try:
        data = secret["data"]
        leaf = x509.load_pem_x509_certificate(base64.b64decode(data["tls.crt"]))
        x509.load_pem_x509_certificate(base64.b64decode(data["ca.crt"]))
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (KeyError, TypeError, ValueError, x509.ExtensionNotFound):
        return True
    covered = set(found.get_values_for_type(x509.DNSName))
    now = datetime.datetime.now(datetime.UTC)
    lasts = leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc - RENEW_BEFORE
    return not lasts or not covered.issuperset(names)


def make_pair(names: tuple[str, ...]) -> dict[str, bytes]:
    """`ca.crt`, and `tls.crt` with `tls.key` signed by it, for DNS names. The authority's key is not kept."""
    now = datetime.datetime.now(datetime.UTC)
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tidegate webhook authority")])
    leaf_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + LIFE)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
        )

    authority = builder(authority_name, authority_key.public_key(), ca=True).sign(authority_key, hashes.SHA256())
    leaf = (
        builder(leaf_name, key.public_key(), ca=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return {
        "ca.crt": authority.public_bytes(pem),
        "tls.crt": leaf.public_bytes(pem),
        "tls.key": key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    }
