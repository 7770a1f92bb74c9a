"""Reloads and restarts: requests and connections live across them, and the state comes back from its files."""

from __future__ import annotations

import collections
import os
import re
import signal
import threading
from collections.abc import Callable

import pytest
from dataplane import (
    DEFAULT_POLICY,
    ClosedError,
    Plane,
    Reply,
    Request,
    Server,
    backend,
    echo,
    h2_client,
    host,
    policy,
    route,
    self_signed,
    serial_of,
    shown,
    until,
    values_of,
)
from tidegate.apply.frames import Transaction, encode
from tidegate.model import Certificate, Globals, Host, Redirect
from tidegate.render.runtime import MIB, Capacity

ECHO = "ns/echo:80"
NEW = policy(body_limit=5)


def redirecting(name: str, where: str) -> Host:
    return host(name, route(redirect=Redirect(302, f"http://{where}/")))


def where(plane: Plane, name: str) -> str | int:
    answer = plane.ask(name)
    return (answer.header("Location") or "").removeprefix("http://").rstrip("/") or answer.status


def test_half_sent_request_lives_across_a_reload_with_a_new_policy(new_plane: Callable[..., Plane]) -> None:
    """Its worker lacks the policy that the host has by the time the request is whole, and serves the former record."""
    plane = new_plane()
    with Server() as server:
        old = host("a.test", route(backend=ECHO))
        new = host("a.test", route(backend=ECHO, policy=NEW.digest, body_limit=5))
        plane.put(backend(ECHO, server), old)
        head, body = plane.client(), plane.client()
        head.send(b"POST /half-head HTTP/1.1\r\nHost: a.te")
        body.send(b"POST /half-body HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n01234")
        until(lambda: _accepted(plane) >= 2)
        plane.reload(policies=[NEW])
        plane.push({"q:a.test": b"[" + (values_of(old)["h:a.test"] or b"") + b"]", **values_of(new)})
        head.send(b"st\r\nContent-Length: 10\r\n\r\n0123456789")
        body.send(b"56789")
        assert head.answer().seen.body == body.answer().seen.body == "0123456789"
        assert plane.ask("a.test", method="POST", body=b"0123456789").status == 413
        assert plane.ask("a.test", method="POST", body=b"01234").seen.body == "01234"
        head.sock.close()
        body.sock.close()


def _accepted(plane: Plane) -> int:
    """Connections that NGINX waits on or reads, without the one that asks."""
    text = plane.call("GET", "/connections")[1].decode()
    found = re.search(r"Reading: (\d+) Writing: (\d+) Waiting: (\d+)", text)
    assert found
    return sum(map(int, found.groups())) - 1


def test_streams_of_an_open_http2_connection_end_well_across_a_reload(new_plane: Callable[..., Plane]) -> None:
    gate = threading.Event()

    def handler(request: Request) -> Reply:
        if request.target == "/slow":
            assert gate.wait(20)
        return echo(request)

    plane = new_plane()
    with Server(handler=handler) as server:
        old = host("a.test", route(backend=ECHO))
        plane.put(backend(ECHO, server), old)
        with h2_client(plane, "a.test") as client:
            assert client.ask("a.test", "/before").status == 200
            slow = client.request("a.test", "/slow")
            sending = client.request("a.test", "/sending", "POST", end=False)
            client.send(sending, b"01234", end=False)
            until(lambda: any(one.target == "/slow" for one in server.requests))
            plane.reload(policies=[NEW])
            new = host("a.test", route(backend=ECHO, policy=NEW.digest, body_limit=5))
            plane.push({"q:a.test": b"[" + (values_of(old)["h:a.test"] or b"") + b"]", **values_of(new)})
            client.send(sending, b"56789", end=True)
            assert client.answer(sending).seen.body == "0123456789"
            gate.set()
            assert client.answer(slow).seen.target == "/slow"
        with h2_client(plane, "a.test") as client:
            assert client.ask("a.test", method="POST", body=b"0123456789").status == 413


def test_upgraded_connection_lives_across_a_reload(new_plane: Callable[..., Plane]) -> None:
    def handler(request: Request) -> None:
        request.stream.sock.sendall(b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
        while True:
            request.stream.sock.sendall(request.stream.exactly(4).upper())

    plane = new_plane()
    with Server(handler=handler) as server:
        plane.put(backend(ECHO, server), host("a.test", route(backend=ECHO)))
        with plane.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
            assert client.head().status == 101
            for policies in ([], [NEW]):
                plane.reload(policies=policies)
                client.send(b"ping")
                assert client.exactly(4) == b"PING"


def test_no_request_fails_while_reloads_bring_policies(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane(settings=Globals(DEFAULT_POLICY, workers=2))
    with Server() as server:
        plane.put(backend(ECHO, server), host("a.test", route(backend=ECHO)))
        stop = threading.Event()
        statuses: collections.Counter[int | str] = collections.Counter()

        def ask() -> None:
            client, fresh = plane.client(), True
            while not stop.is_set():
                try:
                    answer = client.ask("a.test")
                    statuses[answer.status] += 1
                    fresh = False
                    if answer.header("Connection") != "close":
                        continue
                except (OSError, ClosedError) as error:
                    # a worker that leaves closes its idle connections, and a request may just be on its way
                    statuses[repr(error) if fresh else "closed"] += 1
                client.sock.close()
                client, fresh = plane.client(), True

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        former = values_of(host("a.test", route(backend=ECHO)))["h:a.test"] or b""
        for limit in (11, 12, 13):
            one = policy(body_limit=limit)
            plane.reload(policies=[*plane.setup.policies, one])
            new = values_of(host("a.test", route(backend=ECHO, policy=one.digest)))
            plane.push({"q:a.test": b"[" + former + b"]", **new})
            former = new["h:a.test"] or b""
            goal = statuses[200] + 50
            until(lambda goal=goal: statuses[200] >= goal)  # type: ignore[misc]
        stop.set()
        for thread in threads:
            thread.join(20)
    del statuses["closed"]
    assert set(statuses) == {200}


# -- state files -------------------------------------------------------------------------------------------------------


def write(plane: Plane, base: bytes, log: bytes = b"") -> None:
    (plane.run / "state/base").write_bytes(base)
    (plane.run / "state/log").write_bytes(log)


def transactions(*states: Host, first: int = 1) -> bytes:
    return b"".join(encode(Transaction(first + number, values_of(state))) for number, state in enumerate(states))


def version(plane: Plane) -> int:
    status = plane.status()
    assert status is not None
    return int(status["version"])


@pytest.fixture(params=["restart", "kill"])
def restart(request: pytest.FixtureRequest) -> Callable[[Plane], None]:
    """Ends NGINX, in order or not, and starts it with the same files."""

    def again(plane: Plane) -> None:
        if request.param == "restart":
            plane.stop()
        else:
            status = plane.status()
            assert status is not None
            plane.signal(signal.SIGKILL)
            for pid in status["workers"].values():
                os.kill(pid, signal.SIGKILL)
        plane.launch()

    return again


def test_restarted_nginx_serves_the_state_of_its_files(
    new_plane: Callable[..., Plane], restart: Callable[[Plane], None]
) -> None:
    plane = new_plane()
    pair = self_signed("a.test")
    base = encode(Transaction(40, values_of(redirecting("a.test", "base"), redirecting("gone.test", "base"))))
    base += encode(Transaction(41, values_of(redirecting("b.test", "base"), Certificate("a.test", (pair,)))))
    log = transactions(redirecting("b.test", "log42"), redirecting("c.test", "log43"), first=42)
    log += encode(Transaction(44, {"h:gone.test": None}))
    write(plane, base, log)
    restart(plane)
    assert version(plane) == 44
    assert [where(plane, f"{label}.test") for label in ("a", "b", "c", "gone")] == ["base", "log42", "log43", 404]
    with plane.tls_client("a.test") as client:
        assert shown(client).serial_number == serial_of(pair)
    plane.version = 44
    plane.put(redirecting("c.test", "pushed"))
    assert where(plane, "c.test") == "pushed"


def test_log_that_the_base_already_contains_is_not_applied_again(
    new_plane: Callable[..., Plane], restart: Callable[[Plane], None]
) -> None:
    plane = new_plane()
    write(
        plane,
        transactions(redirecting("a.test", "base"), first=7),
        transactions(
            *(redirecting("a.test", name) for name in ("older", "as old")), redirecting("b.test", "x"), first=6
        ),
    )
    restart(plane)
    assert (where(plane, "a.test"), where(plane, "b.test"), version(plane)) == ("base", "x", 8)


@pytest.mark.parametrize("cut", [1, 2, 5, 30, 100])
def test_torn_end_of_the_log_is_left_out(new_plane: Callable[..., Plane], cut: int) -> None:
    plane = new_plane()
    log = transactions(redirecting("b.test", "whole"), redirecting("a.test", "torn"), first=6)
    write(plane, transactions(redirecting("a.test", "base"), first=5), log[:-cut])
    plane.stop()
    plane.launch()
    assert (where(plane, "a.test"), where(plane, "b.test"), version(plane)) == ("base", "whole", 6)


@pytest.mark.parametrize("damage", ["flipped", "garbage", "zeros"])
def test_damaged_log_is_applied_up_to_the_damage(new_plane: Callable[..., Plane], damage: str) -> None:
    plane = new_plane()
    good = transactions(redirecting("a.test", "good"), first=6)
    bad = bytearray(transactions(redirecting("a.test", "bad"), redirecting("a.test", "behind"), first=7))
    bad[20] ^= 1
    rest = {"flipped": bytes(bad), "garbage": b"hello\nworld\n" * 9, "zeros": bytes(4096)}[damage]
    write(plane, transactions(redirecting("a.test", "base"), first=5), good + rest)
    plane.stop()
    plane.launch()
    assert (where(plane, "a.test"), version(plane)) == ("good", 6)


@pytest.mark.parametrize("files", ["none", "empty", "only-log"])
def test_missing_files_are_an_empty_state(new_plane: Callable[..., Plane], files: str) -> None:
    plane = new_plane()
    plane.stop()
    if files == "empty":
        write(plane, b"")
    elif files == "only-log":
        (plane.run / "state/log").write_bytes(transactions(redirecting("a.test", "log"), first=3))
    plane.launch()
    assert where(plane, "a.test") == ("log" if files == "only-log" else 404)
    assert version(plane) == (3 if files == "only-log" else 0)


def test_reload_keeps_the_state_of_memory_whatever_the_files_say(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane()
    plane.put(redirecting("a.test", "memory"))
    write(plane, transactions(redirecting("a.test", "files"), first=900))
    plane.reload(policies=[NEW])
    assert (where(plane, "a.test"), version(plane)) == ("memory", plane.version)


def test_changed_size_of_memory_is_refilled_from_the_files_before_anything_is_served(
    new_plane: Callable[..., Plane],
) -> None:
    plane = new_plane(settings=Globals(DEFAULT_POLICY, workers=2))
    hosts = [redirecting(f"h{number}.test", f"x{number}") for number in range(200)]
    plane.put(*hosts)
    write(plane, encode(Transaction(plane.version, values_of(*hosts))))
    stop = threading.Event()
    seen: set[str | int] = set()

    def ask() -> None:
        while not stop.is_set():
            seen.add(where(plane, "h7.test"))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for size in (16, 12, 24):
        plane.reload(capacity=Capacity(data=size * MIB, metrics=2 * MIB))
        status = plane.status()
        assert status is not None and (status["capacity"], status["version"]) == (size * MIB, plane.version)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert seen == {"x7"}
    plane.put(redirecting("h7.test", "later"))
    assert where(plane, "h7.test") == "later"


def test_state_that_does_not_fit_is_served_as_far_as_it_goes_and_said_so(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane(capacity=Capacity(data=1 * MIB, metrics=1 * MIB))
    groups = [[redirecting(f"h{number}-{group}.test", "there") for number in range(500)] for group in range(10)]
    write(plane, b"".join(encode(Transaction(n + 1, values_of(*group))) for n, group in enumerate(groups)))
    plane.stop()
    plane.launch()
    assert 0 < version(plane) < 10
    assert where(plane, "h1-0.test") == "there"
    assert where(plane, "h1-9.test") == 404
    assert "no memory" in plane.errors()


def test_workers_of_each_generation_are_registered(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane(settings=Globals(DEFAULT_POLICY, workers=2))
    first = plane.status()
    plane.reload(policies=[NEW])
    second = plane.status()
    assert first is not None and second is not None
    assert (first["generation"], second["generation"]) == (1, 2)
    assert len(first["workers"]) == len(second["workers"]) == second["worker_count"] == 2
    assert not set(first["workers"].values()) & set(second["workers"].values())
