"""HTTP/2 without TLS beside HTTP/1 on the plain port, whichever NGINX there is."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from dataplane import H2Client, Nginx, Server, until
from up import Up, configmap, ingress, service

HOST = "plain.test"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server("echo") as one:
        yield one


@pytest.fixture
def up(nginx: Nginx, server: Server) -> Iterator[Up]:
    with Up("--configmap", "default/settings", binary=nginx.binary) as one:
        yield one.start(service("echo", server.port), ingress("web", HOST))


class Clear(H2Client):
    def request(self, name: str, path: str, method: str = "GET", *, end: bool = True, scheme: str = "http") -> int:
        return super().request(name, path, method, end=end, scheme=scheme)


def connect(up: Up, source: str = "127.0.0.1") -> Clear:
    return Clear(socket.create_connection(("127.0.0.1", up.http), 20, source_address=(source, 0)))


def seen(client: Clear, path: str = "/") -> dict[str, Any]:
    """The headers that the backend saw, by their names in small letters."""
    answer = client.ask(HOST, path)
    assert answer.status == 200
    return {name.lower(): value for name, value in json.loads(answer.body)["headers"]}


def raw(up: Up, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", up.http), 20) as sock:
        sock.sendall(text)
        said = b""
        while data := sock.recv(65536):
            said += data
    return said


def test_backends_are_told_the_same_as_of_http_1(up: Up) -> None:
    with connect(up, "127.0.0.9") as client:
        headers = seen(client)
        assert headers["x-real-ip"] == headers["x-forwarded-for"] == "127.0.0.9"
        assert (headers["x-forwarded-port"], headers["x-forwarded-proto"]) == (str(up.http), "http")
        assert headers["host"] == HOST
        assert client.ask("nobody.test").status == 404
    assert up.get(HOST)[0] == 200


def test_guards_and_redirects_hold(up: Up) -> None:
    up.apply("more", ingress("listed", "listed.test", allowlist_source_range="127.0.0.7"))
    up.apply("moved", ingress("moved", "moved.test", force_ssl_redirect="true"))
    up.apply("www", ingress("www", "www.site.test", from_to_www_redirect="true"))
    with connect(up, "127.0.0.7") as client:
        assert client.ask("listed.test").status == 200
        assert dict(client.ask("moved.test", "/a").headers)["location"] == "https://moved.test/a"
        there = dict(client.ask("site.test", "/a").headers)["location"]
        assert there == f"http://www.site.test:{up.http}/a"
    with connect(up, "127.0.0.8") as client:
        assert client.ask("listed.test").status == 403


def test_large_bodies_pass_both_ways_and_limits_hold(up: Up) -> None:
    with connect(up) as client:
        stream = client.request(HOST, "/", "POST", end=False)
        for number in range(20):
            client.send(stream, bytes(3000), end=number == 19)
        assert client.answer(stream).status == 200
    up.apply("small", ingress("small", "small.test", proxy_body_size="1k"))
    with connect(up) as client:
        stream = client.request("small.test", "/", "POST", end=False)
        client.send(stream, bytes(3000), end=True)
        assert client.answer(stream).status == 413


def test_what_nginx_calls_bad_is_answered_as_ever(up: Up) -> None:
    for text in (
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"PRI /x HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"PRI *\r\n\r\n",
    ):
        said = raw(up, text)
        assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n"), text
        assert said.count(b"<center>nginx</center>") == 1
    assert up.get(HOST, "/./http2")[0] == 200
    assert json.loads(up.get(HOST, "/%2e/http2")[1])["target"] == "/%2e/http2"


def test_each_request_is_logged_and_the_connection_is_not(up: Up) -> None:
    with connect(up, "127.0.0.9") as client:
        seen(client, "/first")
        seen(client, "/second")
    log = up.run / "logs" / "access.log"
    until(lambda: "/second" in log.read_text())
    lines = log.read_text().splitlines()
    assert [line.split()[0] for line in lines if "HTTP/2.0" in line] == ["127.0.0.9", "127.0.0.9"]
    assert not [line for line in lines if "PRI" in line]


def test_a_request_outlives_a_reload_and_the_client_is_told_to_go(up: Up) -> None:
    with connect(up) as client:
        stream = client.request(HOST, "/", "POST", end=False)
        client.send(stream, b"begun", end=False)
        up.apply("settings", configmap(proxy_buffer_size="8k"))
        client.send(stream, b" and ended", end=True)
        answer = client.answer(stream)
        assert answer.status == 200
        while not client.goaway:
            client.pump()
    with connect(up) as client:
        seen(client)


def test_it_can_be_switched_off(up: Up) -> None:
    up.apply("settings", configmap(use_http2="false"))
    assert raw(up, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert up.get(HOST)[0] == 200
