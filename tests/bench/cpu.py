"""CPU time per proxied request, beside static NGINX and HAProxy with the same routes."""

from __future__ import annotations

import contextlib
import itertools
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import load
import manifests
import procfs
from manifests import App
from options import Options
from report import Figure, against
from subjects import Backends, Haproxy, StaticNginx, Subject, Tidegate, certificate, folder

MOST_RATIO = 1.35
MOST_RATIO_REGEX = 2.0


def measure(
    subjects: Sequence[Subject], targets: load.Targets, protocols: Sequence[str], options: Options
) -> dict[tuple[str, str], float]:
    """Microseconds of the workers' CPU time per request, by subject and protocol: the median over rounds in which
    the subjects take turns, each round in another order."""
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for subject, protocol in itertools.product(subjects, protocols):  # warm: caches, connections, just-in-time code
        load.GENERATORS[protocol](subject.port if protocol == "h1" else subject.tls_port, targets, options.warm_seconds)
    for number in range(options.rounds):
        turn = [*subjects[number % len(subjects) :], *subjects[: number % len(subjects)]]
        for protocol, subject in itertools.product(protocols, turn):
            workers = subject.workers()
            before = procfs.cpu_seconds(workers)
            port = subject.port if protocol == "h1" else subject.tls_port
            count = load.GENERATORS[protocol](port, targets, options.round_seconds)
            found[subject.label, protocol].append((procfs.cpu_seconds(workers) - before) / count * 1e6)
    return {key: statistics.median(values) for key, values in found.items()}


@contextlib.contextmanager
def running(apps_of, place: Path, *, access_log: bool):  # type: ignore[no-untyped-def]
    """Tidegate, static NGINX and HAProxy with the same applications."""
    with contextlib.ExitStack() as stack:
        backends = Backends(place / "backends")
        stack.callback(backends.stop)
        apps: list[App] = apps_of(backends.ports)
        pair = certificate(place)
        subjects: list[Subject] = [
            Tidegate(place / "tidegate", apps, access_log=access_log),
            StaticNginx(place / "static", apps, access_log=access_log, certificate=pair),
            Haproxy(place / "haproxy", apps, access_log=access_log, certificate=pair),
        ]
        for subject in subjects:
            stack.callback(subject.stop)
            subject.start()  # type: ignore[attr-defined]
        yield apps, subjects


def compare(name: str, times: dict[tuple[str, str], float], protocols: Sequence[str], most: float) -> list[Figure]:
    figures = []
    for protocol in protocols:
        mine = times[Tidegate.label, protocol]
        title = f"{name}-{protocol}"
        static = times[StaticNginx.label, protocol]
        figures.append(against(title, mine, "µs/request", StaticNginx.label, static, most_ratio=most))
        if (Haproxy.label, protocol) in times:
            figures.append(against(f"{title}-haproxy", mine, "µs/request", Haproxy.label, times[Haproxy.label, protocol]))
    return figures


def _hosts(name: str, count: int, options: Options) -> tuple[list[Figure], list[str]]:
    figures: list[Figure] = []
    for access_log in (False, True):
        with folder() as place, running(lambda ports: manifests.apps(count, ports), place, access_log=access_log) as (apps, subjects):
            for subject in subjects:
                subject.verify(apps[:: max(1, count // 50)])
            targets = load.Targets(place, [(app.host, path) for app in apps for path in manifests.REQUESTS])
            times = measure(subjects, targets, ("h1", "h2"), options)
            suffix = "-log" if access_log else ""
            figures += compare(f"{name}{suffix}", times, ("h1", "h2"), MOST_RATIO)
    return figures, [f"median of {options.rounds} interleaved rounds of {options.round_seconds:g} s, one worker each"]


def one_host(options: Options) -> tuple[list[Figure], list[str]]:
    return _hosts("cpu-one-host", 1, options)


def many_hosts(options: Options) -> tuple[list[Figure], list[str]]:
    return _hosts("cpu-5000-hosts", options.hosts, options)
