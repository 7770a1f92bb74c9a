"""What is fetched about certificates: OCSP answers to staple, and issuers that a chain lacks (AIA).

The addresses stand in certificates that users bring, so little is believed: plain HTTP without redirects, short
answers, no address of this machine or its link unless that is allowed, and nothing that the issuer has not signed.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from tidegate.resources.changes import Fetched, Wish

log = logging.getLogger("tidegate.fetches")

LIMIT = 64 * 1024  # bytes of an answer
TIMEOUT = aiohttp.ClientTimeout(total=10)
AT_ONCE = 8
FIRST_RETRY, LAST_RETRY = 10.0, 3600.0
MOST_ISSUERS = 4
SHORTEST, LONGEST = 60.0, 86400.0  # seconds between two questions about one certificate
WITHOUT_END = datetime.timedelta(hours=1)  # for which an answer holds that does not say it itself
SLACK = datetime.timedelta(minutes=5)


class FetchError(Exception):
    """Why nothing usable was fetched."""


class Answer(NamedTuple):
    """What was fetched, until when it holds (seconds since the epoch, 0: for ever), and when to ask again."""

    data: bytes
    until: int
    seconds: float | None


class Fetcher:
    """Carries out wishes, again and again where answers grow old; `on_fetched` is called in the event loop."""

    def __init__(self, on_fetched: Callable[[Fetched], None], *, local: bool) -> None:
        """`local`: whether addresses of this machine may be asked."""
        self._on_fetched, self._local = on_fetched, local
        self._tasks: dict[Wish, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(AT_ONCE)

    def want(self, wishes: Iterable[Wish]) -> None:
        """From now on these, and no others."""
        wanted = set(wishes)
        for wish in self._tasks.keys() - wanted:
            self._tasks.pop(wish).cancel()
        for wish in wanted - self._tasks.keys():
            self._tasks[wish] = asyncio.create_task(self._follow(wish))

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self.want(())
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._session is not None:
            await self._session.close()

    async def _follow(self, wish: Wish) -> None:
        ask = self._staple if wish.kind == "staple" else self._issuers
        retry = FIRST_RETRY
        while True:
            try:
                async with self._slots:
                    answer = await ask(wish)
            except FetchError as error:
                log.warning("%s of the certificate %s: %s", wish.kind, wish.fingerprint[:16], error)
                await asyncio.sleep(retry)
                retry = min(2 * retry, LAST_RETRY)
                continue
            self._on_fetched(Fetched(wish.kind, wish.fingerprint, answer.data, answer.until))
            if answer.seconds is None:
                return
            retry = FIRST_RETRY
            await asyncio.sleep(answer.seconds)

    # -- kinds ------------------------------------------------------------------------------------------------------

    async def _staple(self, wish: Wish) -> Answer:
        chain = _chain(wish)
        leaf = chain[0]
        issuer = next((item for item in chain[1:] if is_issued_by(leaf, item)), None)
        if issuer is None:
            raise FetchError("its issuer is not in the chain")
        url = _address(leaf, AuthorityInformationAccessOID.OCSP)
        question = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA1()).build()
        body = await self._ask(url, question.public_bytes(serialization.Encoding.DER))
        return await asyncio.to_thread(check_staple, body, leaf, issuer, datetime.datetime.now(datetime.UTC))

    async def _issuers(self, wish: Wish) -> Answer:
        """The certificates between the end of the chain and a root, which is left out: PEM."""
        last = _chain(wish)[-1]
        found: list[x509.Certificate] = []
        while len(found) < MOST_ISSUERS and last.issuer != last.subject:
            try:
                url = _address(last, AuthorityInformationAccessOID.CA_ISSUERS)
            except FetchError:
                break
            body = await self._ask(url, None)
            issuer = next(
                (item for item in await asyncio.to_thread(_certificates, body) if is_issued_by(last, item)), None
            )
            if issuer is None:
                raise FetchError(f"what {url} has did not issue it")
            if issuer.issuer == issuer.subject:
                break
            found.append(issuer)
            last = issuer
        pem = serialization.Encoding.PEM
        return Answer(b"".join(item.public_bytes(pem) for item in found), 0, None)

    # -- HTTP -------------------------------------------------------------------------------------------------------

    async def _ask(self, url: str, question: bytes | None) -> bytes:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise FetchError(f"found {url!r}, allowed: an http URL")
        with contextlib.suppress(ValueError):
            if not (self._local or is_foreign(ipaddress.ip_address(parts.hostname))):
                raise FetchError(f"{url} is an address of this machine")
        if self._session is None:
            connector = aiohttp.TCPConnector(resolver=_Resolver(local=self._local), force_close=True)
            self._session = aiohttp.ClientSession(connector=connector, timeout=TIMEOUT)
        options: dict[str, Any] = {"allow_redirects": False}
        if question is not None:
            options |= {"data": question, "headers": {"Content-Type": "application/ocsp-request"}}
        try:
            async with self._session.request("GET" if question is None else "POST", url, **options) as answer:
                if answer.status != 200:
                    raise FetchError(f"{url} answers {answer.status}")
                body = bytearray()
                async for part in answer.content.iter_chunked(8192):
                    body += part
                    if len(body) > LIMIT:
                        raise FetchError(f"{url} answers with more than {LIMIT} bytes")
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchError(f"{url}: {error or type(error).__name__}") from error
        return bytes(body)


def is_foreign(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is neither this machine's nor of its link (where clouds keep their metadata)."""
    mapped = getattr(address, "ipv4_mapped", None) or address
    return not (mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified or mapped.is_multicast)


class _Resolver(AbstractResolver):
    """The system's, without the addresses that may not be asked."""

    def __init__(self, *, local: bool) -> None:
        self._resolver, self._local = DefaultResolver(), local

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        allowed = [row for row in found if self._local or is_foreign(ipaddress.ip_address(row["host"].split("%")[0]))]
        if not allowed:
            raise OSError(f"{host} is an address of this machine")
        return allowed

    async def close(self) -> None:
        await self._resolver.close()


def _chain(wish: Wish) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(wish.chain.encode())
    except ValueError as error:
        raise FetchError(str(error)) from None


def _address(certificate: x509.Certificate, kind: x509.ObjectIdentifier) -> str:
    url = address_of(certificate, kind)
    if not url:
        raise FetchError("it names no address to ask")
    return url


def address_of(certificate: x509.Certificate, kind: x509.ObjectIdentifier) -> str:
    """The first http URL of this kind that a certificate names, or nothing."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        return ""
    urls = (
        item.access_location.value
        for item in access
        if item.access_method == kind and isinstance(item.access_location, x509.UniformResourceIdentifier)
    )
    return next((url for url in urls if url.startswith("http://")), "")


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _certificates(body: bytes) -> list[x509.Certificate]:
    """One certificate in DER or PEM, or several in PKCS #7."""
    for read in (x509.load_der_x509_certificate, x509.load_pem_x509_certificate):
        with contextlib.suppress(ValueError):
            return [read(body)]
    with contextlib.suppress(ValueError, UnsupportedAlgorithm):
        return pkcs7.load_der_pkcs7_certificates(body)
    raise FetchError("the answer holds no certificate")


# -- what is believed of an OCSP answer --------------------------------------------------------------------------------


def check_staple(body: bytes, leaf: x509.Certificate, issuer: x509.Certificate, now: datetime.datetime) -> Answer:
    """The answer, if it says that the certificate is good, was signed by its issuer, and holds. Raises FetchError."""
    try:
        answer = ocsp.load_der_ocsp_response(body)
    except ValueError as error:
        raise FetchError(f"the answer is no OCSP response: {error}") from None
    if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise FetchError(f"the responder says {answer.response_status.name}")
    if answer.serial_number != leaf.serial_number:
        raise FetchError("the answer is about another certificate")
    if not any(_signed(answer, signer) for signer in (issuer, *_delegates(answer, issuer))):
        raise FetchError("the answer is not signed by the issuer")
    if answer.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        raise FetchError(f"the certificate is {answer.certificate_status.name}")
    end = answer.next_update_utc or answer.this_update_utc + WITHOUT_END
    if answer.this_update_utc > now + SLACK or end <= now:
        raise FetchError("the answer is not valid at this time")
    seconds = (end - now).total_seconds() / 2
    return Answer(body, int(end.timestamp()), min(max(seconds, SHORTEST), LONGEST))


def _delegates(answer: ocsp.OCSPResponse, issuer: x509.Certificate) -> list[x509.Certificate]:
    """Certificates in the answer that the issuer has made for signing such answers."""
    found = []
    for item in answer.certificates:
        try:
            usage = item.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (x509.ExtensionNotFound, ValueError):
            continue
        if ExtendedKeyUsageOID.OCSP_SIGNING in usage and is_issued_by(item, issuer):
            found.append(item)
    return found


def _signed(answer: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    key, algorithm = signer.public_key(), answer.signature_hash_algorithm
    try:
        if isinstance(key, rsa.RSAPublicKey) and algorithm is not None:
            key.verify(answer.signature, answer.tbs_response_bytes, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
            key.verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(algorithm))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
