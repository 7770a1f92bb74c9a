"""Certificates with keys of two kinds, and what is fetched about certificates."""

from __future__ import annotations

import base64
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID
from made_pairs import made
from msgspec.structs import replace
from tidegate.resources.changes import Fetched
from tidegate.resources.model import IngressTLS, Secret
from world import OPTIONS, World, configmap, ingress, secret, service

ISSUER = "http://pki.test/issuer"
RESPONDER = "http://pki.test/ocsp"


def pair(
    name: str = "a.test", *, kind: str = "ec", places: bool = False, password: bytes = b"", padding: int = 0
) -> dict[str, str]:
    """The data of a TLS Secret; `places` names where to ask, `padding` is the length of a comment in the chain."""
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")]))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2034, 1, 1, tzinfo=datetime.UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
    )
    if places:
        kinds = AuthorityInformationAccessOID
        rows = ((kinds.CA_ISSUERS, ISSUER), (kinds.OCSP, RESPONDER))
        access = [x509.AccessDescription(kind, x509.UniformResourceIdentifier(url)) for kind, url in rows]
        builder = builder.add_extension(x509.AuthorityInformationAccess(access), False)
    pem = serialization.Encoding.PEM
    chain = builder.sign(key, hashes.SHA256()).public_bytes(pem).decode()
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption).decode()
    return {"tls_crt": "#" * padding + "\n" + chain, "tls_key": private}


def entries(*names: str) -> tuple[IngressTLS, ...]:
    return tuple(IngressTLS(("a.test",), name) for name in names)


def world(*secrets: Secret, tls: tuple[IngressTLS, ...], **settings: str) -> World:
    return World(configmap(**settings), *secrets, ingress(tls=tls), service())


def test_two_entries_for_a_host_give_an_rsa_and_an_ecdsa_certificate() -> None:
    one, two = secret("one", **pair(kind="rsa")), secret("two", **pair())
    found = world(one, two, tls=entries("one", "two")).translator.certificates["a.test"]
    assert [item.chain for item in found.pairs] == [text.data["tls.crt"].decode().lstrip("\n") for text in (one, two)]


def test_of_two_keys_of_one_kind_the_first_entry_counts() -> None:
    one, two = secret("one", **pair()), secret("two", **pair())
    found = world(one, two, tls=entries("one", "two"))
    (shown,) = found.translator.certificates["a.test"].pairs
    assert shown.chain == one.data["tls.crt"].decode().lstrip("\n")
    assert found.findings() == ()


def test_a_second_certificate_that_cannot_be_used_leaves_the_first_in_place_and_is_told() -> None:
    found = world(secret("one", **pair()), tls=entries("one", "absent"))
    assert len(found.translator.certificates["a.test"].pairs) == 1
    assert [item.reason for item in found.findings()] == ["CertificateInvalid"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (pair(password=b"secret"), "without password"),
        ({**pair(), "tls_crt": pair()["tls_crt"][:300]}, "no PEM certificate"),
        ({**pair(), "tls_key": pair()["tls_key"][:100]}, "no PEM private key"),
        ({**pair(), "tls_key": pair()["tls_key"]}, "does not belong"),
    ],
)
def test_a_pair_that_cannot_be_used_gives_the_default_certificate_and_is_told(data: dict[str, str], said: str) -> None:
    found = world(secret("one", **data), tls=entries("one"))
    assert "a.test" not in found.translator.certificates
    assert said in found.findings()[0].message
    assert found.host().tls


def test_a_chain_of_a_megabyte_is_read_and_only_its_certificates_are_kept() -> None:
    found = world(secret("one", **pair(padding=1_000_000)), tls=entries("one"))
    assert len(found.translator.certificates["a.test"].pairs[0].chain) < 2000


def test_nothing_is_wished_for_unless_it_is_asked_for() -> None:
    assert not world(secret("one", **pair(places=True)), tls=entries("one")).translator.wishes()


def test_an_ocsp_answer_is_shown_with_the_certificate_until_it_is_not_wanted_any_more() -> None:
    found = world(secret("one", **pair(places=True)), tls=entries("one"), enable_ocsp="true")
    (wish,) = found.translator.wishes()
    assert wish.kind == "staple"
    answer = Fetched("staple", wish.fingerprint, b"answer", 4711)
    delta = found.translator.update(found.store, found.store.take(answer))
    (shown,) = delta.certificates["a.test"].pairs  # type: ignore[union-attr]
    assert (base64.b64decode(shown.staple), shown.staple_until) == (b"answer", 4711)
    assert found.store.take(answer) == set()
    found.put(configmap())
    assert found.translator.certificates["a.test"].pairs[0].staple == ""
    assert not found.translator.wishes()


def test_issuers_that_were_fetched_stand_behind_the_certificate() -> None:
    options = replace(OPTIONS, complete_chains=True)
    found = World(secret("one", **pair(places=True)), ingress(tls=entries("one")), service(), options=options)
    (wish,) = found.translator.wishes()
    issuer = made("issuer.test")[0]
    found.translator.update(found.store, found.store.take(Fetched("issuers", wish.fingerprint, issuer.encode(), 0)))
    assert found.translator.certificates["a.test"].pairs[0].chain.endswith(issuer)
