"""Transactions: what they change, when it is seen, and what a refused one leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from dataplane import (
    DEFAULT_POLICY,
    LIMIT,
    Plane,
    Server,
    _UnixConnection,
    backend,
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
from tidegate.model import Certificate, Globals, Host, Labels, Match, Redirect
from tidegate.render.runtime import MIB, Capacity
from tidegate.render.template import template_folder


def redirecting(name: str, where: str, filler: str = "") -> Host:
    """A host whose answer names its state; the filler makes it large."""
    routes = [route(redirect=Redirect(302, f"http://{where}/"))]
    if filler:
        routes.append(route(f"/{filler}", "", Match.EXACT, labels=Labels()))
    return host(name, *routes)


def where(plane: Plane, name: str) -> str | int:
    answer = plane.ask(name)
    return (answer.header("Location") or "").removeprefix("http://").rstrip("/") or answer.status


@pytest.fixture
def plane(new_plane: Callable[..., Plane]) -> Iterator[Plane]:
    yield new_plane(settings=Globals(DEFAULT_POLICY, workers=2))


def test_change_is_seen_by_the_very_next_request_on_every_worker(plane: Plane) -> None:
    clients = [plane.client() for _ in range(12)]  # kept alive, over both workers
    for step in range(40):
        plane.put(redirecting("a.test", f"step{step}"))
        for client in clients:
            assert client.ask("a.test").header("Location") == f"http://step{step}/"
    plane.delete("h:a.test")
    assert {client.ask("a.test").status for client in clients} == {404}
    for client in clients:
        client.sock.close()


def test_worker_that_slept_through_many_changes_catches_up(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane()
    plane.put(redirecting("a.test", "old"), redirecting("b.test", "same"))
    with plane.client() as client:
        assert client.ask("a.test").header("Location") == "http://old/"
        assert client.ask("b.test").header("Location") == "http://same/"
        for changes in (3, 511, 512, 513, 700):
            plane.put(redirecting("a.test", f"new{changes}"))
            for _ in range(changes - 1):
                plane.push({"h:other.test": b'{"name":"other.test"}'})
            assert client.ask("a.test").header("Location") == f"http://new{changes}/"
            assert client.ask("b.test").header("Location") == "http://same/"


def test_version_must_follow(plane: Plane) -> None:
    plane.put(redirecting("a.test", "one"))
    current = plane.version
    for version in (current, current + 2, current - 1):
        if version > 1:
            status, answer = plane.try_push(values_of(redirecting("a.test", "two")), version)
            assert (status, answer["version"]) == (409, current)
    assert where(plane, "a.test") == "one"


@pytest.mark.parametrize("later", [0, 1, 2, 5])
def test_new_state_replaces_everything_also_for_workers_that_slept(plane: Plane, later: int) -> None:
    """A control plane that lost its files begins again at version 1, whatever the workers have seen."""
    clients = [plane.client() for _ in range(8)]
    plane.put(redirecting("a.test", "old"), redirecting("b.test", "old"))
    for _ in range(2):
        plane.put(redirecting("c.test", "old"))
    for client in clients:
        for name in ("a.test", "b.test", "c.test"):
            assert client.ask(name).header("Location") == "http://old/"
    assert plane.try_push(values_of(redirecting("a.test", "new")), 1)[0] == 200
    for step in range(later):
        plane.put(redirecting("d.test", f"step{step}"))
    for client in clients:
        assert client.ask("a.test").header("Location") == "http://new/"
        assert client.ask("b.test").status == client.ask("c.test").status == 404
    # and once more, from version 1 to version 1
    assert plane.try_push(values_of(redirecting("b.test", "third")), 1)[0] == 200
    for client in clients:
        assert client.ask("b.test").header("Location") == "http://third/"
        assert client.ask("a.test").status == 404
        client.sock.close()


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"S 1 1\nab\n", b"S 1 1\nab\nE 2 0\n", b"E 2 5\n", b"S 99999999999 1\n", b"\0" * 100]
)
def test_what_is_no_transaction_is_refused_and_changes_nothing(plane: Plane, body: bytes) -> None:
    plane.put(redirecting("a.test", "one"))
    status, answer = plane.call("POST", "/push", body)
    assert status == 400 and "error" in json.loads(answer)
    assert where(plane, "a.test") == "one"
    plane.put(redirecting("a.test", "two"))
    assert where(plane, "a.test") == "two"


def test_transaction_torn_anywhere_changes_nothing(plane: Plane) -> None:
    plane.put(redirecting("a.test", "one"))
    whole = encode(Transaction(plane.version + 1, values_of(redirecting("a.test", "two"), redirecting("b.test", "x"))))
    for length in range(0, len(whole), 7):
        assert plane.call("POST", "/push", whole[:length])[0] == 400
    assert where(plane, "a.test") == "one" and where(plane, "b.test") == 404
    assert plane.call("POST", "/push", whole)[0] == 200
    assert where(plane, "a.test") == "two"


def test_transaction_beyond_the_body_buffer_is_taken(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane(capacity=Capacity(data=64 * MIB, metrics=1 * MIB))
    hosts = [redirecting(f"h{number}.test", str(number), "x" * 2000) for number in range(8500)]
    operations = values_of(*hosts)
    assert sum(len(value or b"") for value in operations.values()) > 17 * MIB
    plane.push(operations)
    for number in (0, 4000, 8499):
        assert where(plane, f"h{number}.test") == str(number)


# -- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100, 3000, 20_000])
def test_full_memory_refuses_the_transaction_and_the_old_state_serves(
    new_plane: Callable[..., Plane], size: int
) -> None:
    plane = new_plane(capacity=Capacity(data=1 * MIB, metrics=1 * MIB), settings=Globals(DEFAULT_POLICY, workers=2))
    keep = [redirecting(f"k{number}.test", "old", "y" * (number * 40 % 3000)) for number in range(60)]
    pair = self_signed("k1.test")
    plane.put(*keep, Certificate("k1.test", (pair,)))
    version = plane.version
    clients = [plane.client() for _ in range(6)]
    stop = threading.Event()
    seen: set[str | None] = set()

    def watch() -> None:
        while not stop.is_set():
            with plane.client() as client:
                seen.update(client.ask(f"k{number}.test").header("Location") for number in range(0, 60, 7))

    watcher = threading.Thread(target=watch)
    watcher.start()
    # grows, shrinks and deletes what is there, then runs out of memory
    count = 4000 if size < 1000 else 1000
    changed = [redirecting(f"k{number}.test", "new", "z" * (number * 70 % 3000)) for number in range(40)]
    operations: dict[str, bytes | None] = {
        **values_of(*changed),
        **dict.fromkeys(f"h:k{number}.test" for number in range(40, 60)),
        "c:k1.test": None,
        **values_of(*(redirecting(f"n{number}.test", "new", "x" * size) for number in range(count))),
    }
    for _ in range(3):
        status, answer = plane.try_push(operations)
        assert (status, answer["version"]) == (507, version)
        assert answer["capacity"] == MIB
        for number in range(60):
            for client in clients[number % 6 :: 3]:
                assert client.ask(f"k{number}.test").header("Location") == "http://old/", number
        assert {client.ask("n0.test").status for client in clients} == {404}
    stop.set()
    watcher.join(LIMIT)
    assert seen == {"http://old/"}
    with plane.tls_client("k1.test") as client:
        assert shown(client).serial_number == serial_of(pair)
    # and a small change is still taken, by the version that was refused before
    plane.put(redirecting("k3.test", "later"))
    assert where(plane, "k3.test") == "later"
    for client in clients:
        client.sock.close()


def test_what_was_looked_up_during_a_refused_transaction_is_forgotten(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane(capacity=Capacity(data=2 * MIB, metrics=1 * MIB), settings=Globals(DEFAULT_POLICY, workers=2))
    count = 800
    plane.put(*(redirecting(f"k{number}.test", "old") for number in range(count)))
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            with plane.client() as client:  # both workers, and hosts that they have not compiled yet
                for number in range(0, count, 3):
                    client.ask(f"k{number}.test")

    lookers = [threading.Thread(target=look) for _ in range(4)]
    changes = values_of(*(redirecting(f"k{number}.test", "new") for number in range(count)))
    overflow = values_of(*(redirecting(f"n{number}.test", "new", "x" * 1500) for number in range(1000)))
    for looker in lookers:
        looker.start()
    for _ in range(5):
        assert plane.try_push({**changes, **overflow})[0] == 507
    stop.set()
    for looker in lookers:
        looker.join(LIMIT)
    clients = [plane.client() for _ in range(8)]
    for client in clients:
        found = {client.ask(f"k{number}.test").header("Location") for number in range(count)}
        assert found == {"http://old/"}
        client.sock.close()


def test_memory_that_was_freed_can_be_used_again(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane(capacity=Capacity(data=1 * MIB, metrics=1 * MIB))
    for step in range(30):
        plane.put(*(redirecting(f"h{number}.test", str(step), "x" * 3000) for number in range(150)))
        plane.delete(*(f"h:h{number}.test" for number in range(step % 10, 150)))
        assert where(plane, f"h{step % 10}.test") == 404


# -- generations -------------------------------------------------------------------------------------------------------


def record(value: Host) -> bytes:
    return msgspec.json.encode(value)


def test_worker_without_a_policy_serves_the_older_record(new_plane: Callable[..., Plane]) -> None:
    known, unknown = policy(body_limit=1), policy(body_limit=2)
    plane = new_plane(policies=[known])
    with Server() as server:
        plane.put(backend("ns/echo:80", server))
        new = host("a.test", route(redirect=Redirect(302, "http://new/"), policy=unknown.digest))
        middle = host("a.test", route(redirect=Redirect(302, "http://middle/"), policy="0123456789abcdef"))
        old = host("a.test", route(redirect=Redirect(302, "http://old/"), policy=known.digest))
        older = host("a.test", route(redirect=Redirect(302, "http://older/")))
        rows = b"[" + b",".join(map(record, (middle, old, older))) + b"]"
        with plane.client() as client:
            plane.push({"q:a.test": rows, "h:a.test": record(new)})
            assert client.ask("a.test").header("Location") == "http://old/"
            plane.push({"q:a.test": b"[" + record(middle) + b"]", "h:a.test": record(new)})
            assert client.ask("a.test").status == 503  # there is nothing that it could serve
            plane.push({"q:a.test": None, "h:a.test": record(old)})
            assert client.ask("a.test").header("Location") == "http://old/"


def test_routes_with_known_policies_go_on_beside_one_that_is_unknown(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane()
    plane.put(
        host(
            "a.test",
            route("/new", redirect=Redirect(302, "http://new/"), policy=policy(body_limit=2).digest),
            route(redirect=Redirect(302, "http://plain/")),
        )
    )
    with plane.client() as client:
        assert client.ask("a.test", "/new").status == 503
        assert client.ask("a.test", "/x").header("Location") == "http://plain/"


# -- surroundings ------------------------------------------------------------------------------------------------------


def test_workers_need_no_access_to_the_lua_files(new_plane: Callable[..., Plane]) -> None:
    if os.geteuid() != 0:
        pytest.skip("workers have a user of their own only when NGINX is started by root")
    guard = policy(access=True)
    private = Path(f"/tmp/tgl{os.getpid()}")
    try:
        shutil.copytree(template_folder() / "lua", private)
        private.chmod(stat.S_IRWXU)
        plane = new_plane(lua_dir=str(private), policies=[guard])
        with Server() as server:
            plane.put(backend("ns/echo:80", server), host("a.test", route(backend="ns/echo:80", policy=guard.digest)))
            assert plane.ask("a.test").status == 403
            with plane.tls_client("a.test") as client:
                assert client.ask("a.test").status == 403
    finally:
        shutil.rmtree(private, ignore_errors=True)


def test_metrics_of_invented_methods_are_counted_as_one(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane()
    with Server() as server:
        plane.put(backend("ns/echo:80", server), host("a.test", route(backend="ns/echo:80")))
        with plane.client() as client:
            for number in range(50):
                method = "X" + "".join(chr(65 + int(digit)) for digit in f"{number:03}")
                assert client.ask("a.test", method=method).status == 200
            assert client.ask("a.test", method="PATCH").status == 200
    blocks: list[bytes] = []

    def handed_over() -> bool:
        blocks.append(plane.call("GET", "/metrics")[1])
        return b"PATCH" in blocks[-1]

    until(handed_over)
    text = b"".join(blocks)
    assert b"other" in text and b"XAAA" not in text


def test_push_api_is_no_part_of_the_public_listener(plane: Plane) -> None:
    for target in ("/push", "/status", "/metrics", "/connections"):
        assert plane.ask("dataplane", target).status == 404
    connection = _UnixConnection(plane.run / "push.sock")
    connection.request("GET", "/other")
    assert connection.getresponse().status == 404
    connection.close()
