"""Global settings of TLS towards clients, on a real NGINX with `openssl s_client`."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from authorities import Authority
from dataplane import Server, until
from test_up_client_certs import openssl
from up import Manifest, Up, configmap, ingress, service

PARAMETERS = b"""-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""  # ffdhe2048 of RFC 7919


@pytest.fixture
def up() -> Iterator[Up]:
    with Server("echo") as server, Up("--configmap", "default/settings") as one:
        yield one.start(service("echo", server.port), ingress("shop", "shop.test"))


def secret(name: str, **data: bytes) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "default"},
        "data": {key.replace("_", "."): base64.b64encode(value).decode() for key, value in data.items()},
    }


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_a_ticket_is_taken_for_as_long_as_its_key_is_listed(up: Up, tmp_path: Path, version: str) -> None:
    first, second = os.urandom(80), os.urandom(48)
    session = tmp_path / "session"

    def resumes() -> bool:
        return "Reused, TLS" in openssl(up, "shop.test", f"-{version}", "-sess_in", session)

    tickets = {"ssl_session_tickets": "true", "ssl_session_cache": "false"}
    up.apply("settings", configmap(**tickets, ssl_session_ticket_key=base64.b64encode(first).decode()))
    openssl(up, "shop.test", f"-{version}", "-sess_out", session)
    assert resumes()
    in_secret = configmap(**tickets, ssl_session_ticket_key="default/tickets")
    up.apply("settings", in_secret, secret("tickets", ticket_key=second, former=first))
    assert resumes()
    up.apply("settings", in_secret, secret("tickets", ticket_key=second))
    assert not resumes()


@pytest.mark.parametrize(
    ("host", "begin", "days", "words"),
    [("expired.test", -30, -1, "expired at"), ("early.test", 2, 30, "is valid only from")],
)
def test_a_certificate_that_is_not_valid_now_is_shown_and_told(
    up: Up, host: str, begin: int, days: int, words: str
) -> None:
    pair = Authority("odd").pair(host, begin=begin, days=days)
    name = host.partition(".")[0]
    up.apply(name, secret(name, tls_crt=pair.chain.encode(), tls_key=pair.key.encode()))
    up.apply(f"{name}-tls", ingress(name, host, "/tls", tls=name))
    assert "CN = odd" in openssl(up, host)
    until(lambda: f"the certificate of {host} {words}" in up.said(), 30)


def test_dhe_ciphers_work_once_there_are_parameters(up: Up) -> None:
    options = ("-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256")
    assert "HTTP/1.1 200" not in openssl(up, "shop.test", *options)
    up.apply("settings", configmap(ssl_dh_param="default/dh"), secret("dh", dhparam_pem=PARAMETERS))
    assert "HTTP/1.1 200" in openssl(up, "shop.test", *options)
    up.apply("settings", configmap(ssl_dh_param="default/dh"), secret("dh", dhparam_pem=b"nonsense"))
    assert "HTTP/1.1 200" not in openssl(up, "shop.test", *options)
    assert "HTTP/1.1 200" in openssl(up, "shop.test")


def test_only_the_curves_that_are_listed_are_used(up: Up) -> None:
    up.apply("settings", configmap(ssl_ecdh_curve="secp384r1"))
    assert "HTTP/1.1 200" in openssl(up, "shop.test", "-curves", "P-384")
    assert "HTTP/1.1 200" not in openssl(up, "shop.test", "-curves", "X25519")
    up.apply("settings", configmap(ssl_ecdh_curve="X25519:secp384r1"))
    assert "HTTP/1.1 200" in openssl(up, "shop.test", "-curves", "X25519")


def test_early_data_reach_the_backend_with_a_mark_once_they_are_allowed(up: Up, tmp_path: Path) -> None:
    session, request = tmp_path / "session", tmp_path / "request"
    request.write_text("GET /early HTTP/1.1\r\nHost: shop.test\r\nEarly-Data: forged\r\n\r\n")

    def early() -> str:
        openssl(up, "shop.test", "-tls1_3", "-sess_out", session)
        said = openssl(up, "shop.test", "-tls1_3", "-sess_in", session, "-early_data", request)
        assert "forged" not in said
        return said

    assert "Early data was accepted" not in early()
    up.apply("settings", configmap(ssl_early_data="true"))
    assert "Early data was accepted" in early()
    # NGINX marks what it reads before the handshake is complete: a client that is quick enough has no early data
    until(lambda: '["Early-Data", "1"]' in early(), 30)
