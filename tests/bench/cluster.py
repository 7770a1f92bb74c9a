"""The operator with thousands of objects in a real API server: start, changes, memory, admission.

The peer of the changes is a bare watch of the API server: a client that does nothing but wait for the event.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from options import Options
from probe import seconds_until
from procfs import pss
from report import Figure, bounded, percentile

TESTS = Path(__file__).resolve().parents[1]
sys.path += [str(TESTS / name) for name in ("dataplane", "cluster")]

from apiserver import Manifest  # noqa: E402
from dataplane import Server  # noqa: E402
from running import NAMESPACE, Run  # noqa: E402
from up import free_ports  # noqa: E402

from manyobjects import (  # noqa: E402  # isort: skip - `sys.path` makes what it needs known
    INGRESSES,
    SECRET_BYTES,
    SLICES,
    Writer,
    app_name,
    endpoints,
    filled,
    host,
    ingress,
    place,
)

LIMIT = 60.0
WATCH = "a bare watch"


class BareWatch:
    """Notes when events of a collection arrive, by name."""

    def __init__(self, writer: Writer, path: str) -> None:
        version = writer.send("GET", f"{path}?limit=1")["metadata"]["resourceVersion"]
        self._connection = writer.connect()
        self._connection.request("GET", f"{path}?watch=true&resourceVersion={version}")
        self._answer = self._connection.getresponse()
        self._seen: dict[tuple[str, str], float] = {}
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            while line := self._answer.readline():
                now = time.perf_counter()
                meta = json.loads(line)["object"]["metadata"]
                self._seen[meta["name"], meta["resourceVersion"]] = now

    def seen(self, name: str, version: str) -> float:
        end = time.monotonic() + LIMIT
        while (name, version) not in self._seen:
            assert time.monotonic() < end, f"the watch does not tell of {name}"
            time.sleep(0.0005)
        return self._seen[name, version]

    def close(self) -> None:
        self._connection.close()


def _changes(
    count: int, change: Callable[[int], tuple[str, Manifest]], arrived: Callable[[int, float], float], watch: BareWatch
) -> tuple[list[float], list[float]]:
    """Milliseconds of each change until it is served, and until a bare watch sees it."""
    served, seen = [], []
    for number in range(count):
        started = time.perf_counter()
        name, answer = change(number)
        served.append(arrived(number, started) * 1000)
        seen.append((watch.seen(name, answer["metadata"]["resourceVersion"]) - started) * 1000)
    return served, seen


def _new_ingresses(run: Run, writer: Writer, options: Options) -> tuple[list[float], list[float]]:
    watch = BareWatch(writer, INGRESSES)

    def create(number: int) -> tuple[str, Manifest]:
        body = ingress(number + 1, f"new{number}.bench.test")
        body["metadata"]["name"] = f"new{number:05}"
        return f"new{number:05}", writer.send("POST", INGRESSES, body)

    def arrived(number: int, started: float) -> float:
        host = f"new{number}.bench.test"
        return seconds_until(run.http, host, "one", lambda status, _: status == 404, LIMIT, started)

    try:
        return _changes(options.changes, create, arrived, watch)
    finally:
        watch.close()


def _moved_endpoints(
    run: Run, writer: Writer, servers: list[Server], options: Options
) -> tuple[list[float], list[float]]:
    watch = BareWatch(writer, SLICES)

    def move(number: int) -> tuple[str, Manifest]:
        app, to = number // 2 + 1, servers[1 - number % 2]
        body = {key: endpoints(app, *place(to))[key] for key in ("ports", "endpoints")}
        path = f"{SLICES}/{app_name(app)}"
        return app_name(app), writer.send("PATCH", path, body, "application/merge-patch+json")

    def arrived(number: int, started: float) -> float:
        wanted = servers[1 - number % 2].name
        return seconds_until(run.http, host(number // 2 + 1), wanted, lambda status, _: status == 200, LIMIT, started)

    try:
        return _changes(options.changes, move, arrived, watch)
    finally:
        watch.close()


def _reviews(port: int, stop: Callable[[int], bool]) -> list[float]:
    """Milliseconds of reviews, one after the other on one connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection: http.client.HTTPSConnection | None = None
    times: list[float] = []
    number = 0
    while not stop(number):
        number += 1
        item = ingress(number % 100 + 1, f"asked{number}.bench.test")
        item["metadata"]["uid"] = str(uuid.uuid4())
        kind = {"group": "networking.k8s.io", "version": "v1", "kind": "Ingress"}
        request = {"uid": str(uuid.uuid4()), "kind": kind, "resource": {}, "operation": "CREATE", "object": item}
        body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
        started = time.perf_counter()
        try:
            if connection is None:
                connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.status == 200, answer.status
            assert json.loads(answer.read())["response"]["allowed"] is True
        except OSError:  # not there yet
            connection = None
            time.sleep(0.02)
            continue
        times.append((time.perf_counter() - started) * 1000)
    return times


def operator(options: Options) -> tuple[list[Figure], list[str]]:
    """All figures of one operator with `hosts` Ingresses, Services and slices."""
    hook = free_ports(1)[0]
    flags = ["--validating-webhook", f"127.0.0.1:{hook}", "--validating-webhook-service", "localhost"]
    flags += ["--validating-webhook-secret", f"{NAMESPACE}/webhook", "--update-status=false", "--disable-sync-events"]
    figures: list[Figure] = []
    with (
        filled(options.hosts, options.helm_secrets) as (cluster, writer, servers),
        Run(cluster, *flags, workers=1) as run,
    ):
        early: list[float] = []
        ready = threading.Event()
        asking = threading.Thread(target=lambda: early.extend(_reviews(hook, lambda _: ready.is_set())))
        started = time.perf_counter()
        run.spawn()
        asking.start()
        run.wait_ready()
        figures.append(bounded("cluster-cold-start", time.perf_counter() - started, "s", 20))
        ready.set()
        asking.join()
        for number in range(1, options.hosts + 1, max(1, options.hosts // 50)):
            assert run.get(host(number)) == (200, "one")
        hold = run.status()["longestHoldSeconds"] * 1000
        _settle(run)
        assert run.process is not None
        figures.append(bounded("cluster-longest-hold", hold, "ms", 100))
        figures.append(bounded("cluster-memory", pss(run.process.pid), "MB", 350))
        reloads = run.status()["reloads"]
        served, seen = _new_ingresses(run, writer, options)
        figures.append(_p99("cluster-new-ingress p99", served, seen, 500))
        served, seen = _moved_endpoints(run, writer, servers, options)
        figures.append(_p99("cluster-endpoint-change p99", served, seen, 300))
        reloads = run.status()["reloads"] - reloads
        figures.append(Figure("cluster reloads", reloads, "reloads", target="= 0", met=reloads == 0))
        warm = _reviews(hook, lambda number: number >= 1000)
        figures.append(bounded("cluster-admission-warm p99", percentile(warm, 0.99), "ms", 20))
        if early:
            figures.append(bounded("cluster-admission-cold-start p99", percentile(early, 0.99), "ms", 50))
        after = pss(run.process.pid)
    notes = [
        f"cluster-operator: {options.hosts} Ingresses with 3 paths, Services and EndpointSlices; "
        f"{options.helm_secrets} Secrets of Helm releases of {SECRET_BYTES // 1000} kB; {options.changes} changes "
        f"each; {len(early)} reviews during the start, {len(warm)} afterwards; memory after all that {after:.0f} MB",
    ]
    return figures, notes


def _p99(name: str, served: list[float], seen: list[float], most: float) -> Figure:
    return bounded(name, percentile(served, 0.99), "ms", most, WATCH, percentile(seen, 0.99))


def _settle(run: Run) -> None:
    """Until kopf has gone through its own list, which costs memory for a while."""
    end = time.monotonic() + 120
    before = -1.0
    assert run.process is not None
    while time.monotonic() < end:
        now = pss(run.process.pid)
        if abs(now - before) < 1:
            return
        before = now
        time.sleep(5)
