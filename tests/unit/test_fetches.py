"""What is believed of an OCSP answer, and which addresses are asked."""

from __future__ import annotations

import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tidegate.fetches import FetchError, check_staple, is_foreign

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("issuer", "leaf", "delegate", "stranger")}
GOOD, REVOKED = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED


def certificate(name: str, signer: str, *, usage: x509.ObjectIdentifier | None = None) -> x509.Certificate:
    def subject(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = (
        x509.CertificateBuilder()
        .subject_name(subject(name))
        .issuer_name(subject(signer))
        .public_key(KEYS[name].public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 30 * DAY)
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
    return builder.sign(KEYS[signer], hashes.SHA256())


ISSUER, LEAF, OTHER = certificate("issuer", "issuer"), certificate("leaf", "issuer"), certificate("leaf", "issuer")
DELEGATE = certificate("delegate", "issuer", usage=ExtendedKeyUsageOID.OCSP_SIGNING)
STRANGER = certificate("stranger", "stranger")
CLERK = certificate("delegate", "issuer", usage=ExtendedKeyUsageOID.SERVER_AUTH)


def answer(
    about: x509.Certificate = LEAF,
    status: ocsp.OCSPCertStatus = GOOD,
    signer: str = "issuer",
    attached: x509.Certificate | None = None,
    begin: datetime.datetime = NOW - DAY,
    end: datetime.datetime | None = NOW + DAY,
) -> bytes:
    builder = ocsp.OCSPResponseBuilder().add_response(
        about,
        ISSUER,
        hashes.SHA1(),
        status,
        begin,
        end,
        NOW - DAY if status is REVOKED else None,
        None,
    )
    responder = attached or (STRANGER if signer == "stranger" else ISSUER)
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, responder)
    if attached is not None:
        builder = builder.certificates([attached])
    return builder.sign(KEYS[signer], hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("body", [answer(), answer(signer="delegate", attached=DELEGATE)], ids=["issuer", "delegate"])
def test_a_good_answer_of_the_issuer_or_its_delegate_is_kept_for_half_of_its_life(body: bytes) -> None:
    found = check_staple(body, LEAF, ISSUER, NOW)
    assert (found.data, found.until, found.seconds) == (body, int((NOW + DAY).timestamp()), 43200)


def test_an_answer_that_does_not_say_how_long_it_holds_is_kept_for_an_hour() -> None:
    assert check_staple(answer(begin=NOW, end=None), LEAF, ISSUER, NOW).until == NOW.timestamp() + 3600


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"nonsense", "no OCSP response"),
        (answer(OTHER), "another certificate"),
        (answer(status=REVOKED), "REVOKED"),
        (answer(signer="stranger"), "not signed by the issuer"),
        (answer(signer="stranger", attached=STRANGER), "not signed by the issuer"),
        (answer(signer="delegate", attached=CLERK), "not signed by the issuer"),
        (answer(end=NOW), "not valid at this time"),
        (answer(begin=NOW + DAY, end=NOW + 2 * DAY), "not valid at this time"),
        (
            ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(
                serialization.Encoding.DER
            ),
            "TRY_LATER",
        ),
    ],
)
def test_any_other_answer_is_left_out_with_the_reason(body: bytes, said: str) -> None:
    with pytest.raises(FetchError, match=said):
        check_staple(body, LEAF, ISSUER, NOW)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "0.0.0.0", "::ffff:127.0.0.1"])
def test_addresses_of_this_machine_and_its_link_are_not_asked(address: str) -> None:
    assert not is_foreign(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["192.0.2.1", "10.1.2.3", "2001:db8::1"])
def test_other_addresses_are_asked(address: str) -> None:
    assert is_foreign(ipaddress.ip_address(address))
