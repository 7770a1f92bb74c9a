"""Memory and start: what 5,000 hosts cost, beside static NGINX and HAProxy."""

from __future__ import annotations

import dataclasses
import random
import statistics
import time
from pathlib import Path

import manifests
import procfs
from changes import own_policy, settle
from manifests import App
from options import Options
from probe import sweep
from report import Figure
from subjects import Backends, BenchError, Haproxy, StaticNginx, Subject, Tidegate, certificate, folder

STARTS = 3


def _served(subject: Subject, apps: list[App]) -> None:
    wrong = sweep(subject.port, [app.host for app in apps], manifests.REQUESTS)
    if wrong:
        raise BenchError(f"{subject.label}: {wrong} requests were not answered with 200")


def _beside(name: str, value: float, unit: str, most: float, others: dict[str, float]) -> list[Figure]:
    """The figure beside static NGINX, with its target, and beside the others."""
    figures = []
    for number, (label, other) in enumerate(others.items()):
        title = name if number == 0 else f"{name}-{label.lower()}"
        target, met = (f"≤ {most:g} {unit}", value <= most) if number == 0 else ("", None)
        figures.append(Figure(title, round(value, 2), unit, label, round(other, 2), value / other, target, met))
    return figures


def memory(options: Options) -> tuple[list[Figure], list[str]]:
    figures: list[Figure] = []
    with folder() as place:
        backends = Backends(place / "backends")
        try:
            apps = manifests.apps(options.hosts, backends.ports)
            worker, control, notes = _tidegate_memory(place / "plain", apps)
            distinct = [
                dataclasses.replace(app, settings=own_policy(app.number)) if app.number <= options.policies else app
                for app in apps
            ]
            with_policies, control_policies, more = _tidegate_memory(place / "policies", distinct)
            others = _peers_memory(place, apps)
        finally:
            backends.stop()
    figures += _beside("memory-worker", worker, "MB", 60, others)
    name = f"memory-worker-{options.policies}-policies"
    figures.append(Figure(name, round(with_policies, 1), "MB", target="≤ 150 MB", met=with_policies <= 150))
    figures.append(Figure("memory-control-plane", round(control, 1), "MB", target="≤ 300 MB", met=control <= 300))
    name = f"memory-control-plane-{options.policies}-policies"
    figures.append(Figure(name, round(control_policies, 1), "MB", target="≤ 300 MB", met=control_policies <= 300))
    return figures, [
        f"PSS of one worker after each of {options.hosts} hosts x 3 paths was requested; control plane: PSS of"
        " `tidegate up` and its agent",
        *notes,
        *more,
        "the retired controller: 800 MB a worker",
    ]


def _tidegate_memory(place: Path, apps: list[App]) -> tuple[float, float, list[str]]:
    subject = Tidegate(place, apps)
    try:
        subject.start()
        settle(subject)
        _served(subject, apps)
        time.sleep(2)  # metrics have been handed over
        worker = sum(map(procfs.pss, subject.workers()))
        parts = [procfs.pss(pid) for pid in subject.control_plane()]
        note = (
            f"{subject.status()['counts']['policies']} policies: master {procfs.pss(subject.master()):.0f} MB,"
            f" control plane and agent {', '.join(f'{part:.0f}' for part in parts)} MB"
        )
    finally:
        subject.stop()
    return worker, sum(parts), [note]


def _peers_memory(place: Path, apps: list[App]) -> dict[str, float]:
    pair = certificate(place)
    found = {}
    for kind in (StaticNginx, Haproxy):
        subject = kind(place / kind.__name__.lower(), apps, certificate=pair)
        try:
            subject.start()
            _served(subject, apps)
            found[subject.label] = sum(map(procfs.pss, subject.workers()))
        finally:
            subject.stop()
    return found


def cold_start(options: Options) -> tuple[list[Figure], list[str]]:
    """From the start of the process to the state in which every host answers."""
    times: list[float] = []
    holds: list[float] = []
    others: dict[str, list[float]] = {}
    with folder() as place:
        backends = Backends(place / "backends")
        try:
            apps = manifests.apps(options.hosts, backends.ports)
            pair = certificate(place)
            for number in range(STARTS):
                subject = Tidegate(place / f"tidegate{number}", apps)
                try:
                    times.append(subject.start())
                    random.shuffle(apps)
                    _served(subject, apps)
                    holds.append(subject.status()["longestHoldSeconds"] * 1000)
                finally:
                    subject.stop()
                for kind in (StaticNginx, Haproxy):
                    peer = kind(place / f"{kind.__name__.lower()}{number}", apps, certificate=pair)
                    try:
                        others.setdefault(peer.label, []).append(peer.start())
                        _served(peer, apps)
                    finally:
                        peer.stop()
        finally:
            backends.stop()
    medians = {label: statistics.median(values) for label, values in others.items()}
    hold = max(holds)
    return [
        *_beside("cold-start", statistics.median(times), "s", 15, medians),
        Figure("cold-start-longest-hold", round(hold, 1), "ms", target="≤ 100 ms", met=hold <= 100),
    ], [
        f"{STARTS} starts with an empty run directory: {', '.join(f'{value:.1f}' for value in times)} s to readiness,"
        " and then every host answered; longest hold of the event loop in each:"
        f" {', '.join(f'{value:.0f}' for value in holds)} ms",
    ]
