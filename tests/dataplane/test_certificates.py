"""Certificates by SNI, from data."""

from __future__ import annotations

import base64
import datetime
import re
import socket
import ssl
import subprocess
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from dataplane import (
    DEFAULT_POLICY,
    Plane,
    Server,
    backend,
    host,
    route,
    self_signed,
    serial_of,
    shown,
    trusting_context,
)
from msgspec.structs import replace
from tidegate.model import Certificate, Globals, KeyPair
from tidegate.render.runtime import MIB, Capacity

ECHO = "ns/echo:80"


def certificate(name: str, *pairs: KeyPair) -> Certificate:
    return Certificate(name, pairs)


def serial(plane: Plane, name: str | None, context: ssl.SSLContext | None = None) -> int:
    """The serial number of the certificate that a client asking for the name is shown."""
    with plane.tls_client(name, context) as client:
        return shown(client).serial_number


def subject(plane: Plane, name: str | None) -> str:
    with plane.tls_client(name) as client:
        return shown(client).subject.rfc4514_string()


def only(ciphers: str) -> ssl.SSLContext:
    """A client of TLS 1.2 with just these ciphers: they decide the kind of the certificate."""
    context = trusting_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    return context


def test_exact_name_wins_over_the_wildcard_and_the_wildcard_over_the_default(
    plane: Plane, name: Callable[[str], str]
) -> None:
    exact, wild = self_signed(name("a")), self_signed(name("*"))
    plane.put(certificate(name("a"), exact), certificate(name("*"), wild))
    assert serial(plane, name("a")) == serial_of(exact)
    assert serial(plane, name("a").upper()) == serial_of(exact)
    assert serial(plane, name("b")) == serial_of(wild)
    for other in (name("x.b"), name("a").partition(".")[2], "unknown.test", None):
        assert subject(plane, other) == "CN=default.invalid"


def test_certificate_of_everybody_takes_the_place_of_the_built_in_one(plane: Plane, name: Callable[[str], str]) -> None:
    own, default = self_signed(name("a")), self_signed("everybody.test")
    plane.put(certificate(name("a"), own), certificate("_", default))
    try:
        assert serial(plane, "unknown.test") == serial(plane, None) == serial_of(default)
        assert serial(plane, name("a")) == serial_of(own)
    finally:
        plane.delete("c:_")
    assert subject(plane, "unknown.test") == "CN=default.invalid"


@pytest.mark.parametrize("order", ["rsa-first", "ecdsa-first"])
def test_client_picks_rsa_or_ecdsa_of_one_name_by_its_ciphers(
    plane: Plane, name: Callable[[str], str], order: str
) -> None:
    rsa, ecdsa = self_signed(name("a"), "rsa"), self_signed(name("a"))
    plane.put(certificate(name("a"), *((rsa, ecdsa) if order == "rsa-first" else (ecdsa, rsa))))
    assert serial(plane, name("a"), only("ECDHE-RSA-AES128-GCM-SHA256")) == serial_of(rsa)
    assert serial(plane, name("a"), only("ECDHE-ECDSA-AES128-GCM-SHA256")) == serial_of(ecdsa)


def test_client_without_a_fitting_cipher_is_not_shown_the_default_certificate(
    plane: Plane, name: Callable[[str], str]
) -> None:
    plane.put(certificate(name("a"), self_signed(name("a"), "rsa")))
    with pytest.raises(ssl.SSLError):
        serial(plane, name("a"), only("ECDHE-ECDSA-AES128-GCM-SHA256"))


def test_changed_and_deleted_certificate_is_seen_by_the_next_handshake(
    plane: Plane, name: Callable[[str], str]
) -> None:
    before = plane.status()
    for _ in range(3):
        pair = self_signed(name("a"))
        plane.put(certificate(name("a"), pair))
        assert serial(plane, name("a")) == serial_of(pair)
    plane.delete(f"c:{name('a')}")
    assert subject(plane, name("a")) == "CN=default.invalid"
    after = plane.status()
    assert before is not None and after is not None and before["workers"] == after["workers"]


def test_connection_goes_on_when_its_certificate_changes(plane: Plane, name: Callable[[str], str]) -> None:
    with Server() as server:
        plane.put(backend(ECHO, server), host(name("a"), route(backend=ECHO)))
        plane.put(certificate(name("a"), self_signed(name("a"))))
        with plane.tls_client(name("a")) as client:
            assert client.ask(name("a")).status == 200
            plane.put(certificate(name("a"), self_signed(name("a"))))
            assert client.ask(name("a")).status == 200


@pytest.mark.parametrize("fault", ["chain", "key", "empty", "none"])
def test_certificate_that_cannot_be_read_gives_the_default_one(
    plane: Plane, name: Callable[[str], str], fault: str
) -> None:
    good = self_signed(name("a"))
    bad = {
        "chain": (KeyPair("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", good.key),),
        "key": (KeyPair(good.chain, "no key"),),
        "empty": (KeyPair("", ""),),
        "none": (),
    }[fault]
    plane.put(certificate(name("a"), *bad))
    assert subject(plane, name("a")) == "CN=default.invalid"
    plane.put(certificate(name("a"), good))
    assert serial(plane, name("a")) == serial_of(good)


def test_key_of_another_certificate_gives_the_default_one(plane: Plane, name: Callable[[str], str]) -> None:
    one, two = self_signed(name("a")), self_signed(name("a"))
    plane.put(certificate(name("a"), KeyPair(one.chain, two.key)))
    for _ in range(2):
        assert subject(plane, name("a")) == "CN=default.invalid"


def test_chain_is_sent_whole(plane: Plane, name: Callable[[str], str]) -> None:
    leaf, above = self_signed(name("a")), self_signed("authority.test")
    plane.put(certificate(name("a"), KeyPair(leaf.chain + above.chain, leaf.key)))
    context = trusting_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_hostname=name("a"))
    sock = socket.create_connection(("127.0.0.1", plane.tls_port), 20)
    received = b""
    while True:
        try:
            connection.do_handshake()
            break
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            data = sock.recv(65536)
            received += data
            incoming.write(data)
    sock.close()
    for pem in (leaf.chain, above.chain):
        assert ssl.PEM_cert_to_DER_cert(pem) in received


def test_unknown_name_is_rejected_where_that_is_wanted(
    new_plane: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    plane = new_plane(settings=Globals(DEFAULT_POLICY, workers=1, ssl_reject_handshake=True))
    pair = self_signed(name("a"))
    plane.put(certificate(name("a"), pair))
    assert serial(plane, name("a")) == serial_of(pair)
    for other in ("unknown.test", None):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting_context()
            context.maximum_version = version
            with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
                serial(plane, other, context)


def test_host_without_a_certificate_of_its_own_is_no_unknown_name(
    new_plane: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    plane = new_plane(settings=Globals(DEFAULT_POLICY, workers=1, ssl_reject_handshake=True))
    plane.put(host(name("a")), host(name("*.wild")), host("_"))
    for known in (name("a"), name("a").upper(), name("x.wild")):
        assert subject(plane, known) == "CN=default.invalid"
    for other in (name("b"), name("x.y.wild"), "_", None):
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            subject(plane, other)


# -- OCSP answers of names with two certificates ----------------------------------------------------------------------


def with_answer(pair: KeyPair, seconds: int = 86400) -> KeyPair:
    """The pair with an OCSP answer, good for so long, that it has signed itself."""
    certificate = x509.load_pem_x509_certificate(pair.chain.encode())
    key = serialization.load_pem_private_key(pair.key.encode(), None)
    now = datetime.datetime.now(datetime.UTC)
    end = now + datetime.timedelta(seconds=seconds)
    answer = ocsp.OCSPResponseBuilder().add_response(
        certificate, certificate, hashes.SHA1(), ocsp.OCSPCertStatus.GOOD, now - datetime.timedelta(2), end, None, None
    )
    signed = answer.responder_id(ocsp.OCSPResponderEncoding.HASH, certificate).sign(key, hashes.SHA256())
    der = signed.public_bytes(serialization.Encoding.DER)
    return replace(pair, staple=base64.b64encode(der).decode(), staple_until=int(end.timestamp()))


def shown_and_stapled(plane: Plane, name: str, *options: str) -> tuple[int, int | None]:
    """The serial numbers of the certificate that `openssl s_client` is shown, and of that which the answer is about."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{plane.tls_port}", "-servername", name, "-status"]
    done = subprocess.run([*command, *options], input=b"", capture_output=True, timeout=20, check=False)
    said = done.stdout.decode()
    begin = said.index("-----BEGIN CERTIFICATE")
    certificate = x509.load_pem_x509_certificate(said[begin:].encode())
    about = re.search(r"OCSP Response Data:.*?Serial Number: ([0-9A-F]+)", said, re.DOTALL)
    assert about or "OCSP response: no response sent" in said
    return certificate.serial_number, int(about[1], 16) if about else None


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (("-tls1_2",), "ec"),
        (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"), "ec"),
        (("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), "rsa"),
        (("-tls1_2", "-sigalgs", "RSA-PSS+SHA256:RSA+SHA256"), "rsa"),
        (("-tls1_2", "-curves", "P-384"), "rsa"),
        (("-tls1_3",), "ec"),
        (("-tls1_3", "-sigalgs", "RSA-PSS+SHA256:RSA+SHA256"), "rsa"),
        (("-tls1_3", "-sigalgs", "ECDSA+SHA256"), "ec"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
@pytest.mark.parametrize("order", ["rsa-first", "ec-first"])
def test_answer_is_about_that_of_two_certificates_that_is_shown(
    plane: Plane, name: Callable[[str], str], order: str, options: tuple[str, ...], kind: str
) -> None:
    pairs = {one: with_answer(self_signed(name("a"), one)) for one in ("rsa", "ec")}
    rows = (pairs["rsa"], pairs["ec"]) if order == "rsa-first" else (pairs["ec"], pairs["rsa"])
    plane.put(certificate(name("a"), *rows))
    assert shown_and_stapled(plane, name("a"), *options) == (serial_of(pairs[kind]),) * 2


def test_certificate_without_an_answer_is_shown_beside_one_that_has_one(
    plane: Plane, name: Callable[[str], str]
) -> None:
    rsa, ecdsa = self_signed(name("a"), "rsa"), with_answer(self_signed(name("a")))
    plane.put(certificate(name("a"), rsa, ecdsa))
    assert shown_and_stapled(plane, name("a")) == (serial_of(ecdsa),) * 2
    of_rsa = ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")
    assert shown_and_stapled(plane, name("a"), *of_rsa) == (serial_of(rsa), None)


def test_answer_that_is_too_old_is_not_stapled(plane: Plane, name: Callable[[str], str]) -> None:
    pairs = [with_answer(self_signed(name("a"), kind), seconds=-60) for kind in ("ec", "rsa")]
    plane.put(certificate(name("a"), *pairs))
    assert shown_and_stapled(plane, name("a")) == (serial_of(pairs[0]), None)
    plane.put(certificate(name("a"), pairs[0]))
    assert shown_and_stapled(plane, name("a")) == (serial_of(pairs[0]), None)


def test_many_certificates_are_served_beyond_what_is_kept_parsed(
    new_plane: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    plane = new_plane()
    pairs = {f"{number}.{name('x')}": self_signed(f"{number}.x") for number in range(30)}
    plane.put(*(certificate(key, pair) for key, pair in pairs.items()))
    for _ in range(2):
        for key, pair in pairs.items():
            assert serial(plane, key) == serial_of(pair)


def test_session_is_resumed(plane: Plane, name: Callable[[str], str]) -> None:
    pair = self_signed(name("a"))
    plane.put(certificate(name("a"), pair))
    context = trusting_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session = None
    for reused in (False, True):
        raw = socket.create_connection(("127.0.0.1", plane.tls_port), 20)
        with context.wrap_socket(raw, server_hostname=name("a"), session=session) as sock:
            assert sock.session_reused == reused
            session = sock.session


def test_more_certificates_than_are_kept_parsed_are_all_shown(new_plane: Callable[..., Plane]) -> None:
    names = [f"h{number}.test" for number in range(40)]
    pairs = {name: self_signed(name) for name in names}
    plane = new_plane(capacity=Capacity(data=8 * MIB, metrics=2 * MIB, certificates=80_000))
    plane.put(*(certificate(name, pair) for name, pair in pairs.items()))
    for name in [*names, *names[:3], *reversed(names)]:
        assert serial(plane, name) == serial_of(pairs[name])
    changed = self_signed(names[0])
    plane.put(certificate(names[0], changed))
    assert serial(plane, names[0]) == serial_of(changed)
