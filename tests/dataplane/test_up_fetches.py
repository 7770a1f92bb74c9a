"""What the control plane fetches about certificates: OCSP answers that NGINX staples, and issuers that chains lack."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from authorities import Authority
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import ocsp
from dataplane import until
from test_up_client_certs import openssl
from tidegate.model import KeyPair
from up import Manifest, Up, configmap, ingress

ISSUER, STRANGER = Authority("issuer"), Authority("stranger")


@contextmanager
def website(answer: Callable[[bytes], bytes]) -> Iterator[tuple[str, list[str]]]:
    """A web server of one answer: its URL, and the methods and paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            asked.append(f"{self.command} {self.path}")
            body = answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def secret(name: str, pair: KeyPair, *more: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "default"},
        "stringData": {"tls.crt": pair.chain + "".join(more), "tls.key": pair.key},
    }


def handshake(up: Up, host: str) -> str:
    return openssl(up, host, "-status", "-showcerts")


def test_an_ocsp_answer_is_stapled_if_its_issuer_signed_it_and_the_certificate_is_good() -> None:
    states = {"good": ocsp.OCSPCertStatus.GOOD, "bad": ocsp.OCSPCertStatus.REVOKED}
    with (
        Up("--configmap", "default/settings") as up,
        website(lambda question: ISSUER.answer(question)) as (good, _),
        website(lambda question: ISSUER.answer(question, states["bad"])) as (revoked, asked_revoked),
        website(lambda _: b"nonsense") as (broken, asked_broken),
    ):
        urls = {"good": good, "revoked": revoked, "broken": broken}
        hosts = [ingress(name, f"{name}.test", tls=name) for name in urls]
        pairs = {name: ISSUER.pair(f"{name}.test", responder=url) for name, url in urls.items()}
        forged = ISSUER.pair("forged.test", responder=good)
        up.start(
            configmap(enable_ocsp="true"),
            *hosts,
            ingress("forged", "forged.test", tls="forged"),
            *(secret(name, pair, ISSUER.pem) for name, pair in pairs.items()),
            secret("forged", forged, STRANGER.pem),
        )
        until(lambda: "OCSP Response Status: successful" in handshake(up, "good.test"), 30)
        until(lambda: bool(asked_revoked and asked_broken), 30)
        for name in ("revoked", "broken", "forged"):
            assert "no response sent" in handshake(up, f"{name}.test")


def test_nothing_is_asked_unless_it_is_wanted() -> None:
    with Up() as up, website(lambda _: b"") as (url, asked):
        pair = ISSUER.pair("shop.test", responder=url, issuer=url)
        up.start(secret("shop", pair), ingress("shop", "shop.test", tls="shop"))
        assert "no response sent" in handshake(up, "shop.test")
        up.apply("more", ingress("more", "more.test"))
        assert asked == []


def test_a_chain_is_completed_by_what_the_certificate_says_and_its_issuer_signed() -> None:
    middle = ISSUER.below("middle")
    der = serialization.Encoding.DER
    with (
        Up("--enable-ssl-chain-completion") as up,
        website(lambda _: middle.certificate.public_bytes(der)) as (url, _),
        website(lambda _: STRANGER.certificate.public_bytes(der)) as (wrong, asked),
    ):
        good, bad = middle.pair("good.test", issuer=url), middle.pair("bad.test", issuer=wrong)
        up.start(
            secret("good", good),
            secret("bad", bad),
            ingress("good", "good.test", tls="good"),
            ingress("bad", "bad.test", tls="bad"),
        )
        until(lambda: handshake(up, "good.test").count("BEGIN CERTIFICATE") == 2, 30)
        until(lambda: bool(asked), 30)
        assert handshake(up, "bad.test").count("BEGIN CERTIFICATE") == 1
