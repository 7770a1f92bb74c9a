"""TLS by SNI: undecrypted to a backend, or ended here, on one port; who the client is stays known."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from dataplane import Client, Nginx, Server, self_signed, shown, trusting_context
from test_backend_protocols import server_context
from up import Manifest, Up, configmap, ingress, service

Start = Callable[..., Up]
HOSTS = {"through": "through.test", "ended": "ended.test"}


@pytest.fixture
def start(nginx: Nginx) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(*manifests: object) -> Up:
            up = Up("--enable-ssl-passthrough", "--configmap", "default/settings", binary=nginx.binary)
            return stack.enter_context(up).start(*manifests)  # type: ignore[arg-type]

        yield started


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Server]:
    """A backend that ends TLS itself."""
    with Server("secure", context=server_context(tmp_path, self_signed("backend.test"))) as server:
        yield server


@pytest.fixture
def plain() -> Iterator[Server]:
    with Server("plain") as server:
        yield server


def passed(name: str = "through", backend: str = "secure", **more: str) -> Manifest:
    return ingress(name, HOSTS["through"], backend=backend, ssl_passthrough="true", **more)


def connect(
    up: Up, name: str, source: str = "127.0.0.1", line: str = "", context: ssl.SSLContext | None = None
) -> Client:
    """TLS with this SNI; a PROXY line may go first. Raises OSError."""
    raw = socket.create_connection(("127.0.0.1", up.https), 10, source_address=(source, 0))
    if line:
        raw.sendall(f"{line}\r\n".encode())
    return Client((context or trusting_context()).wrap_socket(raw, server_hostname=name))


def subject(client: Client) -> str:
    return shown(client).subject.rfc4514_string()


def who_answers(up: Up, name: str) -> str:
    """The backend's name, or the error where there is no TLS."""
    try:
        with connect(up, name) as client:
            return client.ask(name).seen.backend
    except (OSError, ssl.SSLError) as error:
        return type(error).__name__


def test_each_name_on_the_port_is_treated_as_its_ingress_says(start: Start, secure: Server, plain: Server) -> None:
    up = start(
        service("secure", secure.port),
        service("plain", plain.port),
        passed(),
        ingress("e", HOSTS["ended"], backend="plain"),
    )
    with connect(up, HOSTS["through"]) as client:
        assert subject(client) == "CN=backend.test"
        assert client.ask(HOSTS["through"]).seen.backend == "secure"
    for name in (HOSTS["ended"], "THROUGH.test.example", "x." + HOSTS["through"]):
        with connect(up, name) as client:
            assert "backend.test" not in subject(client)
    for name in ("Through.TEST", "through.test."):
        with connect(up, name) as client:
            assert subject(client) == "CN=backend.test"
    assert who_answers(up, HOSTS["ended"]) == "plain"


def test_plain_requests_of_a_host_whose_tls_is_passed_through_reach_its_backend_over_tls(
    start: Start, secure: Server, plain: Server
) -> None:
    other = ingress("other", HOSTS["through"], "/plain", backend="plain")
    up = start(service("secure", secure.port), service("plain", plain.port), passed(), other)
    assert (up.backend_of(HOSTS["through"]), up.backend_of(HOSTS["through"], "/plain")) == ("secure", "plain")


def test_who_the_client_is_stays_known_and_guards_see_it(start: Start, secure: Server, plain: Server) -> None:
    guarded = ingress("e", HOSTS["ended"], backend="plain", whitelist_source_range="127.0.0.6/32")
    up = start(service("secure", secure.port), service("plain", plain.port), passed(), guarded)
    with connect(up, HOSTS["ended"], source="127.0.0.6") as client:
        seen = client.ask(HOSTS["ended"]).seen
        assert seen.header("X-Real-IP") == "127.0.0.6"
        assert seen.header("X-Forwarded-For") == "127.0.0.6"
        assert seen.header("X-Forwarded-Port") == "443"
        assert seen.header("X-Forwarded-Proto") == "https"
    with connect(up, HOSTS["ended"], source="127.0.0.7") as client:
        assert client.ask(HOSTS["ended"]).status == 403


def test_a_forwarded_address_is_no_way_past_a_guard(start: Start, plain: Server) -> None:
    """Of TLS the address counts that the connection came from, whoever may say something else about plain requests."""
    guarded = ingress("e", HOSTS["ended"], backend="plain", whitelist_source_range="192.0.2.1/32")
    up = start(configmap(use_forwarded_headers="true", enable_real_ip="true"), service("plain", plain.port), guarded)
    with connect(up, HOSTS["ended"]) as client:
        assert client.ask(HOSTS["ended"], headers={"X-Forwarded-For": "192.0.2.1"}).status == 403
    assert up.get(HOSTS["ended"], headers={"X-Forwarded-For": "192.0.2.1"})[0] == 200


def test_the_proxy_line_of_a_load_balancer_is_passed_on(start: Start, secure: Server, plain: Server) -> None:
    up = start(
        configmap(use_proxy_protocol="true"),
        service("secure", secure.port),
        service("plain", plain.port),
        passed(),
        ingress("e", HOSTS["ended"], backend="plain"),
    )
    line = "PROXY TCP4 192.0.2.7 192.0.2.1 5000 443"
    with connect(up, HOSTS["ended"], line=line) as client:
        seen = client.ask(HOSTS["ended"]).seen
        assert (seen.header("X-Real-IP"), seen.header("X-Forwarded-Port")) == ("192.0.2.7", "443")
    with connect(up, HOSTS["through"], line=line) as client:
        assert client.ask(HOSTS["through"]).seen.backend == "secure"


def test_a_proxy_line_that_does_not_come_ends_the_connection_in_the_time_that_is_said(start: Start) -> None:
    data = {"use_proxy_protocol": "true", "proxy_protocol_header_timeout": "200ms"}
    up = start(configmap(**data), service("secure"), passed())
    with socket.create_connection(("127.0.0.1", up.https), 15) as waiting:  # NGINX's own limit is twice that
        assert waiting.recv(1) == b""
    assert up.configuration().count("proxy_protocol_timeout 200ms;") == 1


def test_hosts_and_endpoints_change_without_reload_and_open_sessions_go_on(
    start: Start, secure: Server, plain: Server, tmp_path: Path
) -> None:
    up = start(
        service("secure", secure.port),
        service("plain", plain.port),
        ingress("through", HOSTS["through"], backend="plain"),
        ingress("https", "https.test", backend="secure", backend_protocol="HTTPS"),  # the first one is a reload
    )
    before = up.status()["reloads"]
    with connect(up, HOSTS["through"]) as ended:
        assert ended.ask(HOSTS["through"]).seen.backend == "plain"
        up.apply("change", passed())
        with connect(up, HOSTS["through"]) as through:
            assert through.ask(HOSTS["through"]).seen.backend == "secure"
            with Server("second", context=server_context(tmp_path, self_signed("second.test"))) as second:
                up.apply("start", service("secure", second.port), service("plain", plain.port))
                with connect(up, HOSTS["through"]) as other:
                    assert subject(other) == "CN=second.test"
                assert through.ask(HOSTS["through"]).seen.backend == "secure"
                up.delete("change")
        assert ended.ask(HOSTS["through"]).status == 404  # its Ingress is gone
    assert up.status()["reloads"] == before


def test_without_endpoints_the_connection_is_closed_and_never_ended_here(start: Start, plain: Server) -> None:
    up = start(service("secure"), service("plain", plain.port), passed(), ingress("e", HOSTS["ended"], backend="plain"))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(up, HOSTS["through"])
    assert who_answers(up, HOSTS["ended"]) == "plain"


def test_plain_requests_for_the_port_are_told_so(start: Start, plain: Server) -> None:
    up = start(service("plain", plain.port), ingress("e", HOSTS["ended"], backend="plain"))
    with socket.create_connection(("127.0.0.1", up.https), 10) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: ended.test\r\n\r\n")
        assert b"400 Bad Request" in sock.recv(4096)


def test_sessions_outlive_a_reload_and_the_control_plane(start: Start, secure: Server, plain: Server) -> None:
    up = start(
        service("secure", secure.port),
        passed(),
        service("plain", plain.port),
        ingress("e", HOSTS["ended"], backend="plain"),
    )
    with connect(up, HOSTS["through"]) as through, connect(up, HOSTS["ended"]) as ended:
        through.ask(HOSTS["through"])
        ended.ask(HOSTS["ended"])
        up.apply("more", ingress("policy", "policy.test", backend="plain", proxy_buffering="on"))
        assert up.status()["reloads"] == 1
        assert through.ask(HOSTS["through"]).seen.backend == "secure"
        up.kill()
        assert through.ask(HOSTS["through"]).seen.backend == "secure"
        up.spawn()
        up.wait_ready()
        assert who_answers(up, HOSTS["through"]) == "secure"
        assert through.ask(HOSTS["through"]).seen.backend == "secure"


def test_without_the_flag_the_annotation_is_reported_and_the_backend_asked_over_tls(
    nginx: Nginx, secure: Server
) -> None:
    with Up(binary=nginx.binary) as up:
        up.start(service("secure", secure.port), passed())
        assert who_answers(up, HOSTS["through"]) == "secure"
        told = up.ingress("through")["findings"]
        assert ["--enable-ssl-passthrough" in row["message"] for row in told] == [True]
