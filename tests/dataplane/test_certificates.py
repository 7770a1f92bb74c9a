"""Certificates by SNI, from data."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

import pytest
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
        with pytest.raises(ssl.SSLError):
            serial(plane, other)


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
