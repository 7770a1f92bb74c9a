"""Protocols and ciphers that clients are offered by default, beside Mozilla's intermediate profile (version 5.7).

https://wiki.mozilla.org/Security/Server_Side_TLS#Intermediate_compatibility_.28recommended.29
"""

from __future__ import annotations

import socket
import ssl
import warnings
from collections.abc import Iterator

import pytest
from dataplane import self_signed
from test_up_client_certs import openssl
from up import Up, ingress

# What the profile has for TLS 1.2, by the kind of certificate. Those with DHE need parameters, which there are none of.
INTERMEDIATE = {
    "ec": {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"},
    "rsa": {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"},
}
OF_TLS_1_3 = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
VERSIONS = {
    ssl.TLSVersion.TLSv1: False,
    ssl.TLSVersion.TLSv1_1: False,
    ssl.TLSVersion.TLSv1_2: True,
    ssl.TLSVersion.TLSv1_3: True,
}


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    with Up() as one:
        one.write("start", *(ingress(kind, f"{kind}.test", tls=kind) for kind in INTERMEDIATE))
        for kind in INTERMEDIATE:
            pair = self_signed(f"{kind}.test", kind)
            secret = {"metadata": {"name": kind, "namespace": "default"}, "stringData": {}}
            one.write(
                kind,
                {**secret, "apiVersion": "v1", "kind": "Secret"}
                | {"stringData": {"tls.crt": pair.chain, "tls.key": pair.key}},
            )
        yield one.start()


def lenient(version: ssl.TLSVersion, ciphers: str = "ALL:COMPLEMENTOFALL") -> ssl.SSLContext:
    """A client of one version that would take anything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    return context


def agreed(up: Up, host: str, context: ssl.SSLContext) -> str:
    """The cipher that client and server agree on, or nothing."""
    with socket.create_connection(("127.0.0.1", up.https), 10) as raw:
        try:
            with context.wrap_socket(raw, server_hostname=host) as connection:
                found = connection.cipher()
        except (ssl.SSLError, ConnectionError):
            return ""
    return found[0] if found else ""


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_protocol_is_spoken_if_and_only_if_the_profile_has_it(up: Up, version: ssl.TLSVersion) -> None:
    assert bool(agreed(up, "rsa.test", lenient(version))) is VERSIONS[version]


@pytest.mark.parametrize("kind", INTERMEDIATE)
def test_a_cipher_of_tls_1_2_is_taken_if_and_only_if_the_profile_has_it(up: Up, kind: str) -> None:
    known = [row["name"] for row in lenient(ssl.TLSVersion.TLSv1_2).get_ciphers() if row["name"] not in OF_TLS_1_3]
    assert len(known) > 30
    taken = {name for name in known if agreed(up, f"{kind}.test", lenient(ssl.TLSVersion.TLSv1_2, name)) == name}
    assert taken == INTERMEDIATE[kind]


@pytest.mark.parametrize("suite", [*sorted(OF_TLS_1_3), "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"])
def test_a_suite_of_tls_1_3_is_taken_if_and_only_if_the_profile_has_it(up: Up, suite: str) -> None:
    said = openssl(up, "ec.test", "-tls1_3", "-ciphersuites", suite)
    assert (f"New, TLSv1.3, Cipher is {suite}" in said) is (suite in OF_TLS_1_3)
