"""Compression, limits by another variable, and what the ConfigMap says of NGINX's processes."""

from __future__ import annotations

import gzip
import http.client
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from dataplane import Reply, Request, echo, until
from up import Up, configmap, ingress, running


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    found = [
        ingress("main", "main.test"),
        ingress("limited", "limited.test", limit_rpm="1", limit_burst_multiplier="1"),
    ]
    with running("--configmap", "default/settings", manifests=lambda _: found) as (one, server):
        server.handler = typed_echo
        yield one


FILLING = " ".join(str(number * number) for number in range(400))


def typed_echo(request: Request) -> Reply:
    reply = echo(request)
    reply.headers = [("Content-Type", "application/json")]
    return reply


def encoded(up: Up, accept: str, agent: str = "test") -> tuple[str | None, bytes]:
    """Content-Encoding and the body as it came."""
    connection = http.client.HTTPConnection("127.0.0.1", up.http, timeout=20)
    with closing(connection):
        headers = {"Host": "main.test", "Accept-Encoding": accept, "User-Agent": agent, "Connection": "close"}
        connection.request("GET", "/", headers=headers | {"X-Filling": FILLING})
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.getheader("Content-Encoding"), answer.read()


def test_gzip_and_its_level_types_and_least_length(up: Up) -> None:
    assert encoded(up, "gzip")[0] is None
    up.apply("settings", configmap(use_gzip="true"))
    encoding, body = encoded(up, "gzip")
    assert encoding == "gzip"
    assert FILLING.encode() in gzip.decompress(body)
    up.apply("settings", configmap(use_gzip="true", gzip_level="9"))
    assert len(encoded(up, "gzip")[1]) < len(body)
    up.apply("settings", configmap(use_gzip="true", gzip_types="text/html text/css"))
    assert encoded(up, "gzip")[0] is None
    up.apply("settings", configmap(use_gzip="true", gzip_min_length="100000"))
    assert encoded(up, "gzip")[0] is None
    up.apply("settings", configmap(use_gzip="true", gzip_disable=r"^Old\d$"))
    assert encoded(up, "gzip", "Old7")[0] is None
    assert encoded(up, "gzip", "Older")[0] == "gzip"


def test_brotli_is_loaded_when_it_is_asked_for(up: Up) -> None:
    assert encoded(up, "br")[0] is None
    up.apply("settings", configmap(enable_brotli="true", use_gzip="true"))
    encoding, body = encoded(up, "gzip, br")
    assert encoding == "br"
    assert FILLING.encode() not in body
    up.apply("settings", configmap(enable_brotli="true", brotli_level="0"))
    assert len(encoded(up, "br")[1]) != len(body)
    up.apply("settings", configmap(enable_brotli="true", brotli_types="text/css"))
    assert encoded(up, "br")[0] is None
    up.apply("settings", configmap(enable_brotli="true", brotli_min_length="100000"))
    assert encoded(up, "br")[0] is None


def test_limits_count_by_the_variable_that_is_named(up: Up) -> None:
    def limited(key: str | None) -> list[int]:
        headers = {"X-Key": key} if key is not None else {}
        return [up.get("limited.test", "/", headers)[0] for _ in range(6)]

    up.apply("settings", configmap(limit_conn_zone_variable="$http_x_key"))
    assert limited("one") == [200, 200, 503, 503, 503, 503]
    assert limited("two" * 50) == [200, 200, 503, 503, 503, 503]
    assert limited(None) == [200] * 6
    up.apply("settings", configmap(limit_conn_zone_variable="$nothing_known"))
    assert any("limit-conn-zone-variable" in row["field"] for row in up.api("findings"))
    assert limited(None)[2:] == [503] * 4


def status_of(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{name}:"))


def open_files(pid: int) -> int:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Max open files")).split()[3])


def test_workers_have_their_cores_and_files(up: Up) -> None:
    def cores_and_files() -> set[tuple[str, int]]:
        with suppress(FileNotFoundError, ProcessLookupError):  # one that ends just now
            return {(status_of(pid, "Cpus_allowed_list"), open_files(pid)) for pid in up.worker_pids()}
        return set()

    up.apply("settings", configmap(worker_cpu_affinity="1", max_worker_open_files="3000"))
    until(lambda: cores_and_files() == {("0", 3000)})
    up.apply("settings", configmap())
    until(lambda: (found := cores_and_files()) and 3000 not in {files for _, files in found})


def test_a_serial_reload_waits_for_the_workers_before(up: Up) -> None:
    up.apply("settings", configmap(enable_serial_reloads="true", keep_alive="60", worker_shutdown_timeout="20s"))
    until(lambda: len({one.pid for one in up.nginx()}) == 3)  # the master and two workers
    with closing(socket.create_connection(("127.0.0.1", up.http), 20)) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nHost: main.test\r\nContent-Length: 5\r\n\r\n")
        reloads = up.status()["reloads"]
        up.apply("one", ingress("one", "one.test", limit_rps="11"))
        assert up.status()["reloads"] == reloads + 1
        wanted = up.status()["revision"]["wanted"]
        up.write("two", ingress("two", "two.test", limit_rps="12"))
        until(lambda: up.status()["revision"]["wanted"] > wanted)
        status, _ = up.ask_admin(f"/api/v1/status?wait={wanted + 1}&timeout=3")
        assert status == 504
        slow.sendall(b"12345")
        assert slow.recv(65536).startswith(b"HTTP/1.1 200")
    up.wait(wanted + 1)
    assert up.status()["reloads"] == reloads + 2
