"""Who the client is where both the PROXY protocol and forwarded headers are believed."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from dataplane import Stream
from up import Up, configmap, ingress, running

BOTH = {"use_proxy_protocol": "true", "use_forwarded_headers": "true", "proxy_real_ip_cidr": "127.0.0.0/8"}


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    found = [
        ingress("main", "main.test"),
        ingress("listed", "listed.test", allowlist_source_range="198.51.100.1"),
        ingress("limited", "limited.test", limit_rpm="1", limit_burst_multiplier="1", limit_allowlist="198.51.100.7"),
        configmap(**BOTH),
    ]
    with running("--configmap", "default/settings", manifests=lambda _: found) as (one, _):
        yield one


def settle(up: Up, **data: str) -> None:
    """New settings, in the file that has all manifests."""
    text = (up.folder / "start.yaml").read_text().split("---\n")
    others = [item for item in text if "kind: ConfigMap" not in item]
    up.apply("start", *others, configmap(**data))


def in_text(source: str) -> bytes:
    """What the PROXY protocol says in its first version."""
    return f"PROXY TCP4 {source} 127.0.0.1 4711 80\r\n".encode()


def in_binary(source: str) -> bytes:
    """The same in its second version: TCP over IPv4."""
    addresses = socket.inet_aton(source) + socket.inet_aton("127.0.0.1") + struct.pack("!HH", 4711, 80)
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x11, len(addresses)) + addresses


def ask(
    up: Up, host: str, source: str, *headers: str, said: Callable[[str], bytes] = in_text
) -> tuple[int, dict[str, list[str]]]:
    """Status, and the headers that the backend saw, of a request behind a PROXY line."""
    lines = ["GET / HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    with closing(socket.create_connection(("127.0.0.1", up.http), 20)) as sock:
        sock.sendall(said(source) + "\r\n".join([*lines, "", ""]).encode())
        answer = Stream(sock)
        status = int(answer.line().split()[1])
        fields = dict(answer.fields())
        body = answer.exactly(int(fields.get("Content-Length", 0)))
    found: dict[str, list[str]] = {}
    if status == 200:
        seen: dict[str, Any] = json.loads(body)
        for name, value in seen["headers"]:
            found.setdefault(name.lower(), []).append(value)
    return status, found


@pytest.mark.parametrize(
    ("source", "headers", "client"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["X-Forwarded-For: 198.51.100.1"], "203.0.113.9"),
        ("127.0.0.50", ["X-Forwarded-For: 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.50", ["X-Forwarded-For: 192.0.2.1, 198.51.100.1, 127.0.0.60"], "198.51.100.1"),
        ("127.0.0.50", ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.50", ["X-Forwarded-For: 192.0.2.1, unknown"], "127.0.0.50"),
        ("127.0.0.50", [], "127.0.0.50"),
        ("203.0.113.9", ["X-Forwarded-For-Proxy-Protocol: 198.51.100.1"], "203.0.113.9"),
    ],
)
def test_the_source_of_the_proxy_line_has_to_be_trusted_before_the_header_counts(
    up: Up, source: str, headers: list[str], client: str
) -> None:
    status, seen = ask(up, "main.test", source, *headers)
    assert status == 200
    assert seen["x-real-ip"] == [client]
    assert "x-forwarded-for-proxy-protocol" not in seen
    allowed = 200 if client == "198.51.100.1" else 403
    assert ask(up, "listed.test", source, *headers)[0] == allowed


def test_the_second_version_of_the_proxy_protocol_is_read_too(up: Up) -> None:
    assert ask(up, "main.test", "203.0.113.9", said=in_binary)[1]["x-real-ip"] == ["203.0.113.9"]
    found = ask(up, "main.test", "127.0.0.50", "X-Forwarded-For: 198.51.100.1", said=in_binary)
    assert found[1]["x-real-ip"] == ["198.51.100.1"]


def test_limits_count_the_client_that_was_found(up: Up) -> None:
    def statuses(client: str) -> list[int]:
        return [ask(up, "limited.test", "127.0.0.50", f"X-Forwarded-For: {client}")[0] for _ in range(4)]

    assert statuses("198.51.100.20") == [200, 200, 503, 503]
    assert statuses("198.51.100.21") == [200, 200, 503, 503]
    assert statuses("198.51.100.7") == [200] * 4


def test_a_peer_that_nobody_trusts_is_the_client_itself(up: Up) -> None:
    settle(up, **{**BOTH, "proxy_real_ip_cidr": "10.0.0.0/8"})
    for headers in ([], ["X-Forwarded-For: 198.51.100.1"], ["X-Forwarded-For-Proxy-Protocol: 198.51.100.1"]):
        assert ask(up, "main.test", "203.0.113.9", *headers)[1]["x-real-ip"] == ["127.0.0.1"]
        assert ask(up, "listed.test", "203.0.113.9", *headers)[0] == 403


@pytest.mark.parametrize("name", ["X-Inner", "X-Client"])
def test_the_header_inside_is_the_one_that_is_named(up: Up, name: str) -> None:
    settle(up, **BOTH, forwarded_for_header="X-Client", forwarded_for_proxy_protocol_header=name)
    headers = ["X-Client: 198.51.100.1", "X-Inner: 192.0.2.1"]
    status, seen = ask(up, "main.test", "127.0.0.50", *headers)
    assert (status, seen["x-real-ip"], seen["x-original-forwarded-for"]) == (200, ["198.51.100.1"], ["198.51.100.1"])
    assert ("x-inner" in seen) is (name != "X-Inner")


def test_with_enable_real_ip_alone_the_proxy_line_says_who_the_client_is(up: Up) -> None:
    settle(up, use_proxy_protocol="true", enable_real_ip="true")
    seen = ask(up, "main.test", "203.0.113.9", "X-Forwarded-For: 198.51.100.1")[1]
    assert seen["x-real-ip"] == ["203.0.113.9"]


def test_blocked_clients_are_found_in_the_header_too(up: Up) -> None:
    settle(up, **BOTH, block_cidrs="198.51.100.66")
    assert ask(up, "main.test", "127.0.0.50", "X-Forwarded-For: 198.51.100.66")[0] == 403
    assert ask(up, "main.test", "203.0.113.9", "X-Forwarded-For: 198.51.100.66")[0] == 200
    seen = ask(up, "main.test", "127.0.0.50", "X-Forwarded-For: 198.51.100.1")[1]
    assert seen["x-real-ip"] == ["198.51.100.1"]
