"""HTTP/3 where NGINX has it: the same routes, guards and certificates as over TCP."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from dataplane import Client, NoTrixieError, Server, self_signed, serial_of, trixie_nginx, trusting_context, until
from http3 import h3_client
from up import Up, ingress, service, tidegate, tls_secret

HOST = "quick.test"


@pytest.fixture(scope="module")
def binary() -> str:
    try:
        return trixie_nginx().binary
    except NoTrixieError as error:
        pytest.skip(f"the root file system of Debian 13 could not be made: {error}")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server("echo") as one:
        yield one


@pytest.fixture
def up(binary: str) -> Iterator[Up]:
    with Up("--enable-http3", binary=binary) as one:
        yield one


def answers(up: Up, name: str = HOST) -> bool:
    try:
        with h3_client(up.https, name) as client:
            return client.ask(limit=5).status == 200
    except (OSError, TimeoutError):
        return False


def test_requests_and_bodies_pass_and_clients_are_told_of_it(up: Up, server: Server) -> None:
    up.start(service("echo", server.port), ingress("web", HOST))
    with h3_client(up.https, HOST) as client:
        assert client.retried, "an address is proved before anything is kept for it"
        answer = client.ask("/a/b%2Fc?d=e", headers={"x-mine": "one", "x-forwarded-for": "192.0.2.1"})
        seen = answer.seen
        assert (answer.status, seen.target, seen.header("X-Mine")) == (200, "/a/b%2Fc?d=e", "one")
        assert (seen.header("Host"), seen.header("X-Real-IP")) == (HOST, "127.0.0.1")
        assert (seen.header("X-Forwarded-Proto"), seen.header("X-Forwarded-Port")) == ("https", "443")
        assert client.ask(method="POST", body=b"x" * 100_000).seen.length == 100_000
    with tls(up) as client:
        assert client.ask(HOST).header("Alt-Svc") == f'h3=":{up.https}"; ma=86400'
        assert client.ask("nobody.test").header("Alt-Svc") == f'h3=":{up.https}"; ma=86400'
    with Client(tcp(up.http)) as client:
        assert client.ask(HOST).header("Alt-Svc") is None


def tcp(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10)


def tls(up: Up) -> Client:
    return Client(trusting_context().wrap_socket(tcp(up.https), server_hostname=HOST))


def test_guards_of_a_route_hold(up: Up, server: Server) -> None:
    up.start(
        service("echo", server.port),
        ingress("small", "small.test", proxy_body_size="1k"),
        ingress("other", "other.test", whitelist_source_range="192.0.2.0/24"),
        ingress("basic", "basic.test", auth_type="basic", auth_secret="users"),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "users", "namespace": "default"},
            "data": {"auth": base64.b64encode(b"alice:{PLAIN}wonder\n").decode()},
        },
    )
    with h3_client(up.https, "small.test") as client:
        assert client.ask(method="POST", body=b"x" * 1000, headers={"content-length": "1000"}).status == 200
        assert client.ask(method="POST", body=b"x" * 2000, headers={"content-length": "2000"}).status == 413
        assert client.ask(method="POST", body=b"x" * 2000).status == 413
    with h3_client(up.https, "other.test") as client:
        assert client.ask().status == 403
    with h3_client(up.https, "basic.test") as client:
        assert client.ask().status == 401
        right = base64.b64encode(b"alice:wonder").decode()
        assert client.ask(headers={"authorization": f"Basic {right}"}).status == 200


def test_a_host_that_demands_a_client_certificate_does_so_here_too(up: Up, server: Server) -> None:
    authority = self_signed("clients")
    ca = {"ca.crt": base64.b64encode(authority.chain.encode()).decode()}
    demanded = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "authority", "namespace": "default"},
        "data": ca,
    }
    up.start(
        service("echo", server.port),
        demanded,
        ingress("mutual", "mutual.test", auth_tls_secret="default/authority"),
        ingress("open", HOST),
    )
    assert answers(up)
    with h3_client(up.https, "mutual.test") as client:
        assert client.ask().status == 400
    with h3_client(up.https, HOST) as client:  # a handshake for one host opens no other
        assert client.ask(authority="mutual.test").status == 421
    assert not any(dict(one.headers).get("Host") == "mutual.test" for one in server.requests)


def test_a_certificate_is_chosen_by_sni_and_changes_without_reload(up: Up, server: Server) -> None:
    first, second = self_signed(HOST), self_signed(HOST)
    up.start(service("echo", server.port), ingress("web", HOST, tls="cert"), tls_secret("cert", first))

    def shown() -> int:
        with h3_client(up.https, HOST) as client:
            return client.certificate.serial_number

    assert shown() == serial_of(first)
    up.write("start", service("echo", server.port), ingress("web", HOST, tls="cert"), tls_secret("cert", second))
    until(lambda: shown() == serial_of(second))
    with h3_client(up.https, "nobody.test") as client:
        assert client.certificate.serial_number not in (serial_of(first), serial_of(second))
    assert up.status()["reloads"] == 0


def test_new_connections_are_served_after_a_reload(up: Up, server: Server) -> None:
    up.start(service("echo", server.port), ingress("web", HOST))
    assert answers(up)
    up.apply("policy", ingress("policy", "policy.test", proxy_buffering="on"))
    assert up.status()["reloads"] == 1
    until(lambda: answers(up) and answers(up, "policy.test"), 60)


def test_an_nginx_without_it_is_named_as_the_reason(tmp_path: Path) -> None:
    found = tidegate("up", tmp_path, "--run-dir", tmp_path / "r", "--enable-http3")
    assert found.returncode == 1
    assert "built without HTTP/3" in found.stderr
    both = tidegate("up", tmp_path, "--run-dir", tmp_path / "r", "--enable-http3", "--enable-ssl-passthrough")
    assert both.returncode == 2
    assert "exclude each other" in both.stderr
