"""`tidegate up`: a reload only for what NGINX only takes as configuration, once, kept apart, and in order."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dataplane import Client, H2Client, Reply, Server, trusting_context, until
from steadyload import Load
from up import Up, configmap, ingress, running, service


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[Up, Server]]:
    with running("--configmap", "default/settings") as found:
        yield found


@pytest.fixture
def up(site: tuple[Up, Server]) -> Up:
    return site[0]


def test_a_new_policy_reloads_once_and_is_served_and_then_known(up: Up) -> None:
    before = up.status()["reloads"]
    status = up.apply("first", ingress("first", "first.test", limit_rps="11"))
    assert up.backend_of("first.test") == "echo"
    assert status["reloads"] == before + 1
    up.apply("second", ingress("second", "second.test", limit_rps="11"))
    up.apply("first", ingress("first", "first.test", "/other", limit_rps="11"))
    status = up.apply("first", ingress("first", "first.test"))
    assert status["reloads"] == before + 1
    assert up.backend_of("second.test") == "echo"
    status = up.delete("second")  # what is unused leaves with a later reload
    assert status["reloads"] == before + 1


def test_a_reload_does_not_cut_short_an_answer_that_is_sent_slowly_from_a_file() -> None:
    """With `aio threads` it would: a worker that is to end does not wait for them."""
    size = 100_000
    with Server("large", lambda _: Reply(body=b"x" * size)) as large, Up() as up:
        slow = {"proxy_buffering": "on", "limit_rate": "50", "limit_rate_after": "0"}
        up.start(service("large", large.port), ingress("slow", "slow.test", backend="large", **slow))
        connection = http.client.HTTPConnection("127.0.0.1", up.http, timeout=30)
        for number in range(2):
            connection.request("GET", "/", headers={"Host": "slow.test"})
            answer = connection.getresponse()
            up.apply("more", ingress("more", "more.test", client_body_buffer_size=str(20_000 + number)))
            assert len(answer.read()) == size
            connection.close()
        assert up.status()["reloads"] >= 2


def test_once_a_reload_is_confirmed_no_worker_answers_by_the_former_settings(up: Up) -> None:
    """NGINX tells its old workers to end a tenth of a second after the new ones have started."""
    for shown in (True, False, True):
        up.apply("settings", configmap(server_tokens=str(shown).lower()))
        for _ in range(40):
            connection = http.client.HTTPConnection("127.0.0.1", up.http, timeout=20)
            connection.request("GET", "/", headers={"Host": "nobody.test"})
            answer = connection.getresponse()
            assert (answer.getheader("Server") is not None) is shown
            connection.close()


def test_routes_endpoints_and_data_settings_never_reload(up: Up, site: tuple[Up, Server]) -> None:
    before = up.status()["reloads"]
    with Server("other") as other:
        up.apply("data", service("data", site[1].port), ingress("data", "data.test", backend="data"))
        assert up.backend_of("data.test") == "echo"
        up.apply("data", service("data", other.port), ingress("data", "data.test", backend="data"))
        assert up.backend_of("data.test") == "other"
        up.apply("data", service("data", other.port), ingress("data", "data.test", permanent_redirect="http://x.test/"))
        assert up.get("data.test")[0] == 301
        up.apply("data", ingress("data", "data.test", proxy_read_timeout="7", upstream_hash_by="$request_uri"))
    assert up.backend_of("data.test") == "echo"
    assert up.status()["reloads"] == before


def test_many_new_policies_at_once_are_coalesced(up: Up) -> None:
    before, began = up.status()["reloads"], time.monotonic()
    for number in range(10):
        name = f"many{number}"
        up.write(name, ingress(name, f"{name}.test", limit_rps=str(100 + number)))
    until(lambda: up.backend_of("many9.test") == "echo" and len(up.api("ingresses")) >= 10)
    status = up.wait(up.status()["revision"]["wanted"])
    assert all(up.backend_of(f"many{number}.test") == "echo" for number in range(10))
    # one at once, one for what came meanwhile; more only where this machine takes seconds to write ten files
    assert status["reloads"] - before <= 2 + (time.monotonic() - began) // 2


def test_reloads_are_at_least_a_second_apart(up: Up) -> None:
    began, before = time.monotonic(), up.status()["reloads"]
    for number in range(1, 4):
        status = up.apply("apart", ingress("apart", "apart.test", limit_rps=str(200 + number)))
        assert status["reloads"] == before + number
    assert time.monotonic() - began >= 2  # two gaps; what is slow makes it only more


def test_a_change_that_is_seen_implies_all_before_it(up: Up) -> None:
    up.apply("order", ingress("order", "order.test", limit_rps="300"))  # so that the next reload has to wait
    up.write("order-a", ingress("order-a", "a.order.test", limit_rps="301"))
    until(lambda: any(row["name"] == "order-a" for row in up.api("ingresses")))
    up.write("order-b", ingress("order-b", "b.order.test"))
    seen: list[tuple[int, int]] = []
    until(lambda: seen.append((up.get("b.order.test")[0], up.get("a.order.test")[0])) or seen[-1] == (200, 200))
    assert (200, 404) not in seen


def test_endpoints_overtake_a_reload_that_waits(up: Up, site: tuple[Up, Server]) -> None:
    with Server("moved") as moved:
        up.apply("move", service("move", site[1].port), ingress("move", "move.test", backend="move"))
        up.apply("wait", ingress("wait", "wait.test", limit_rps="310"))
        up.write("wait", ingress("wait", "wait.test", limit_rps="311"))
        reloads = up.status()["reloads"]
        up.write("move", service("move", moved.port), ingress("move", "move.test", backend="move"))
        until(lambda: up.backend_of("move.test") == "moved")
        assert up.status()["reloads"] <= reloads + 1
        up.wait(up.status()["revision"]["wanted"])


def test_a_reload_costs_no_request_and_a_policy_may_go_while_it_is_asked(up: Up) -> None:
    up.apply("steady", ingress("steady", "steady.test", limit_rps="5000"))
    with Load(up, "steady.test") as load:
        for rate in ("6000", "7000"):
            up.apply("steady", ingress("steady", "steady.test", limit_rps=rate))
            load.more(20)
        up.apply("steady", ingress("steady", "steady.test"))
        up.apply("other", ingress("other", "other.test", limit_rps="320"))  # the policies of steady leave with this
        load.more(20)
    assert not load.failures


def test_settings_change_with_one_reload(up: Up) -> None:
    before = up.status()["reloads"]
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "default"}}
    status = up.apply("settings", {**settings, "data": {"keep-alive": "33"}})
    assert status["reloads"] == before + 1
    assert "keepalive_timeout 33s" in (up.run / "conf" / "nginx.conf").read_text()


class HalfOpen:
    """A TLS connection whose handshake lacks its last message, until something is sent."""

    def __init__(self, port: int, name: str) -> None:
        context = trusting_context()
        context.set_alpn_protocols(["h2"])
        self._raw = socket.create_connection(("127.0.0.1", port), 20)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        while True:
            try:
                self._tls.do_handshake()
                return
            except ssl.SSLWantReadError:
                self._raw.sendall(self._outgoing.read())
                self._incoming.write(self._raw.recv(65536))

    def sendall(self, data: bytes) -> None:
        if data:
            self._tls.write(data)
        self._raw.sendall(self._outgoing.read())

    def recv(self, size: int) -> bytes:
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                data = self._raw.recv(size)
                if not data:
                    return b""
                self._incoming.write(data)

    def close(self) -> None:
        self._raw.close()


def test_http2_connections_that_open_while_their_worker_is_told_to_end_are_told_so_later(up: Up) -> None:
    up.apply("late", ingress("late", "late.test"))
    half = [HalfOpen(up.https, "late.test") for _ in range(4)]
    old = up.all_workers()
    up.apply("policy", ingress("policy", "policy.test", limit_rps="332"))
    until(lambda: not (old & up.worker_pids()))
    for sock in half:
        assert H2Client(sock).ask("late.test").status == 200  # type: ignore[arg-type]
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in old))
    for sock in half:
        sock.close()


def test_a_request_half_sent_and_an_open_http2_connection_live_across_a_reload(up: Up) -> None:
    up.apply("long", ingress("long", "long.test"))
    with Client(socket.create_connection(("127.0.0.1", up.http), 20)) as half:
        half.send(b"POST / HTTP/1.1\r\nHost: long.test\r\nContent-Length: 4\r\n\r\nab")
        context = trusting_context()
        context.set_alpn_protocols(["h2"])
        raw = socket.create_connection(("127.0.0.1", up.https), 20)
        with H2Client(context.wrap_socket(raw, server_hostname="long.test")) as second:
            stream = second.request("long.test", "/", "POST", end=False)
            second.send(stream, b"ab", end=False)
            old = up.all_workers()
            up.apply("policy", ingress("policy", "policy.test", limit_rps="330"))
            until(lambda: not (old & up.worker_pids()))
            half.send(b"cd")
            assert half.answer("POST").seen.body == "abcd"
            second.send(stream, b"cd", end=True)
            assert second.answer(stream).seen.body == "abcd"
