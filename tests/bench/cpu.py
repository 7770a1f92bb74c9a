"""CPU time per proxied request, beside static NGINX and HAProxy with the same routes."""

from __future__ import annotations

import contextlib
import itertools
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import load
import manifests
import procfs
from manifests import App
from options import Options
from report import Figure
from subjects import Backends, Haproxy, StaticNginx, Subject, Tidegate, certificate, folder

MOST_RATIO = 1.35
MOST_RATIO_REGEX = 2.0


Times = dict[tuple[str, str], list[float]]  # by subject and protocol: microseconds per request, one for each round


def measure(subjects: Sequence[Subject], targets: load.Targets, protocols: Sequence[str], options: Options) -> Times:
    """Microseconds of the workers' CPU time per request, over rounds in which the subjects take turns."""
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for subject, protocol in itertools.product(subjects, protocols):  # warm: caches, connections, just-in-time code
        load.GENERATORS[protocol](_port(subject, protocol), targets, options.warm_seconds)
    for number in range(options.rounds):
        turn = [*subjects[number % len(subjects) :], *subjects[: number % len(subjects)]]
        for protocol, subject in itertools.product(protocols, turn):
            workers = subject.workers()
            before = procfs.cpu_seconds(workers)
            count = load.GENERATORS[protocol](_port(subject, protocol), targets, options.round_seconds)
            found[subject.label, protocol].append((procfs.cpu_seconds(workers) - before) / count * 1e6)
    return found


def _port(subject: Subject, protocol: str) -> int:
    return subject.port if protocol == "h1" else subject.tls_port


@contextlib.contextmanager
def running(
    apps_of: Callable[[tuple[int, ...]], list[App]],
    place: Path,
    *,
    access_log: bool = False,
    haproxy: bool = True,
    calls: bool = False,
) -> Iterator[tuple[list[App], list[Subject]]]:
    """Tidegate, static NGINX and HAProxy with the same applications, and their backends."""
    with contextlib.ExitStack() as stack:
        backends = Backends(place / "backends")
        stack.callback(backends.stop)
        apps = apps_of(backends.call_ports if calls else backends.ports)
        pair = certificate(place)
        subjects: list[Subject] = [
            Tidegate(place / "tidegate", apps, access_log=access_log),
            StaticNginx(place / "static", apps, access_log=access_log, certificate=pair),
        ]
        if haproxy:
            subjects.append(Haproxy(place / "haproxy", apps, access_log=access_log, certificate=pair))
        for subject in subjects:
            stack.callback(subject.stop)
            subject.start()
        yield apps, subjects


def compare(name: str, times: Times, protocols: Sequence[str], most: float) -> list[Figure]:
    """Medians over the rounds; the ratio is the median of each round's ratio, because the machine's pace changes."""
    figures = []
    for protocol in protocols:
        mine = times[Tidegate.label, protocol]
        for peer in (StaticNginx.label, Haproxy.label):
            other = times.get((peer, protocol))
            if not other:
                continue
            ratio = statistics.median(a / b for a, b in zip(mine, other, strict=True))
            judged = peer == StaticNginx.label
            figures.append(
                Figure(
                    f"{name}-{protocol}" + ("" if judged else "-haproxy"),
                    round(statistics.median(mine), 2),
                    "µs/request",
                    peer,
                    round(statistics.median(other), 2),
                    round(ratio, 3),
                    f"≤ {most:g} × {peer}" if judged else "",
                    ratio <= most if judged else None,
                )
            )
    return figures


def _hosts(name: str, count: int, options: Options) -> tuple[list[Figure], list[str]]:
    figures: list[Figure] = []
    for access_log in (False, True):
        with (
            folder() as place,
            running(lambda ports: manifests.apps(count, ports), place, access_log=access_log) as (
                apps,
                subjects,
            ),
        ):
            for subject in subjects:
                subject.verify(apps[:: max(1, count // 50)])
            targets = load.Targets(place, [(app.host, path) for app in apps for path in manifests.REQUESTS])
            times = measure(subjects, targets, ("h1", "h2"), options)
            figures += compare(name + ("-log" if access_log else ""), times, ("h1", "h2"), MOST_RATIO)
    return figures, [_rounds(options)]


def _rounds(options: Options) -> str:
    return (
        f"{options.rounds} rounds of {options.round_seconds:g} s in which the subjects take turns, one worker each;"
        " medians, the ratio is the median of the rounds' ratios; metrics on"
    )


def one_host(options: Options) -> tuple[list[Figure], list[str]]:
    return _hosts("cpu-one-host", 1, options)


def many_hosts(options: Options) -> tuple[list[Figure], list[str]]:
    return _hosts("cpu-5000-hosts", options.hosts, options)


def grpc_calls(options: Options) -> tuple[list[Figure], list[str]]:
    """Unary calls to one host over TLS; every one must end with trailers."""

    def apps_of(ports: tuple[int, ...]) -> list[App]:
        return manifests.apps(1, ports, settings={"backend-protocol": "GRPC"})

    with folder() as place, running(apps_of, place, haproxy=False, calls=True) as (apps, subjects):
        targets = load.Targets(place, [(app.host, path) for app in apps for path in manifests.REQUESTS[1:]])
        times = measure(subjects, targets, ("grpc",), options)
    return compare("cpu", times, ("grpc",), MOST_RATIO), [_rounds(options)]


def patterns(options: Options) -> tuple[list[Figure], list[str]]:
    """As many patterns as hosts elsewhere, five to a host."""
    hosts = options.hosts // manifests.PATTERNS_PER_HOST
    with (
        folder() as place,
        running(lambda ports: manifests.pattern_apps(hosts, ports), place, haproxy=False) as (
            apps,
            subjects,
        ),
    ):
        for subject in subjects:
            subject.verify(apps[:: max(1, hosts // 50)])
        targets = load.Targets(place, [(app.host, path) for app in apps for path in app.requests])
        times = measure(subjects, targets, ("h1", "h2"), options)
        figures = compare("cpu-regex-5000", times, ("h1", "h2"), MOST_RATIO_REGEX)
    note = f"{hosts} hosts with {manifests.PATTERNS_PER_HOST} patterns each; PCRE's just-in-time compiler on in both"
    return figures, [_rounds(options), note]
