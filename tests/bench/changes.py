"""How long a change takes to be served, with thousands of Ingresses loaded; beside static NGINX, which reloads."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import manifests
from manifests import App
from options import Options
from probe import ask, seconds_until
from report import Figure, percentile
from subjects import Backends, BenchError, StaticNginx, Tidegate, certificate, folder

LIMIT = 60  # seconds that a change may take before the run is given up
RELOAD_GAP = 1.3  # between changes that need a reload: those are at least a second apart by design
PEER_CHANGES = 10  # of static NGINX: each takes seconds
KNOWN = {"proxy-buffering": "on", "proxy-buffers-number": "8"}
RETIRED = "the retired controller at 1,000 Ingresses:"


def known_policy(_: int) -> dict[str, str]:
    return KNOWN


def own_policy(number: int) -> dict[str, str]:
    """A policy that no other number has: a location of its own."""
    return {"client-body-buffer-size": str(16384 + number)}


@contextlib.contextmanager
def loaded(
    place: Path,
    apps_of: Callable[[tuple[int, ...]], list[App]],
    verified: Callable[[App], bool] = lambda _: True,
) -> Iterator[tuple[Tidegate, list[App], Backends]]:
    """Tidegate with these applications in front of backends; a few of those that are `verified` are tried."""
    backends = Backends(place / "backends")
    try:
        apps = apps_of(backends.ports)
        subject = Tidegate(place / "tidegate", apps)
        try:
            subject.start()
            tried = [app for app in apps if verified(app)]
            subject.verify(tried[:: max(1, len(tried) // 20)])
            settle(subject)
            yield subject, apps, backends
        finally:
            subject.stop()
    finally:
        backends.stop()


def settle(subject: Tidegate) -> None:
    """Wait until everything wanted is running."""
    revision = subject.status()["revision"]["wanted"]
    subject.api(f"/api/v1/status?wait={revision}&timeout=60")


def body_of(app: App) -> str:
    return f"{app.endpoints[0]} {app.host} /\n"


def move(app: App, ports: tuple[int, ...]) -> App:
    """The application on another of the ports."""
    others = [port for port in ports if port not in app.endpoints]
    return dataclasses.replace(app, endpoints=(random.choice(others),))


def put(subject: Tidegate, app: App) -> float:
    """Write the manifest; when it was there."""
    manifests.put(subject.folder, f"{app.name}.yaml", manifests.document(app))
    return time.perf_counter()


# -- changes of Tidegate ----------------------------------------------------------------------------------------------


def endpoint_changes(subject: Tidegate, apps: list[App], ports: tuple[int, ...], count: int) -> list[float]:
    """Seconds from the written file to the first request that the new endpoint answers."""
    found = []
    for _ in range(count):
        index = random.randrange(len(apps))
        before, after = apps[index], move(apps[index], ports)
        if ask(subject.port, before.host) != (200, body_of(before)):
            raise BenchError(f"{before.host} is not where it should be")
        former = body_of(before)
        found.append(
            seconds_until(
                subject.port,
                after.host,
                body_of(after),
                lambda status, body, former=former: status == 200 and body == former,
                LIMIT,
                put(subject, after),
            )
        )
        apps[index] = after
        time.sleep(0.02)
    return found


def new_ingresses(
    subject: Tidegate,
    ports: tuple[int, ...],
    first: int,
    count: int,
    settings: Callable[[int], dict[str, str]],
    pause: float,
) -> list[float]:
    """Seconds from the written file to the first request that the new host answers.

    Before, there is none (404); a worker of the former generation, which lacks a new policy, says 503.
    """
    found = []
    for number in range(first, first + count):
        app = App(number, (ports[number % len(ports)],), settings=settings(number))
        found.append(
            seconds_until(
                subject.port, app.host, body_of(app), lambda status, _: status in (404, 503), LIMIT, put(subject, app)
            )
        )
        (subject.folder / f"{app.name}.yaml").unlink()  # so that all changes meet the same state
        time.sleep(pause)
    return found


# -- static NGINX -----------------------------------------------------------------------------------------------------


def static_changes(place: Path, apps: list[App], ports: tuple[int, ...], count: int, *, new: bool) -> list[float]:
    """The same for a configuration that is written anew and reloaded."""
    subject = StaticNginx(place / "static", apps, certificate=certificate(place))
    found = []
    try:
        subject.start()
        for number in range(count):
            if new:
                app = App(90_000 + number, (ports[number % len(ports)],))
                apps = [*apps, app]
            else:
                index = random.randrange(len(apps))
                app = move(apps[index], ports)
                apps = [*apps[:index], app, *apps[index + 1 :]]
            subject.write(apps)
            started = time.perf_counter()
            subject.reload()
            found.append(seconds_until(subject.port, app.host, body_of(app), lambda *_: True, LIMIT, started))
    finally:
        subject.stop()
    return found


# -- figures ----------------------------------------------------------------------------------------------------------


def _figures(
    name: str, found: list[float], most: float, reloads: int, expected: int, peer: list[float]
) -> list[Figure]:
    value, other = percentile(found, 0.99) * 1000, percentile(peer, 0.99) * 1000 if peer else None
    ratio = value / other if other else None
    label = StaticNginx.label if peer else ""
    rounded = round(other, 1) if other else None
    return [
        Figure(f"{name} p99", round(value, 1), "ms", label, rounded, ratio, f"≤ {most:g} ms", value <= most),
        Figure(f"{name} reloads", reloads, "reloads", target=f"= {expected}", met=reloads == expected),
    ]


def _note(found: list[float], peer: list[float]) -> str:
    text = (
        f"{len(found)} changes: median {percentile(found, 0.5) * 1000:.0f} ms,"
        f" p99 {percentile(found, 0.99) * 1000:.0f} ms, longest {max(found) * 1000:.0f} ms"
    )
    if peer:
        text += f"; static NGINX: {len(peer)} changes, median {percentile(peer, 0.5) * 1000:.0f} ms"
    return text


def endpoint_change(options: Options) -> tuple[list[Figure], list[str]]:
    with (
        folder() as place,
        loaded(place, lambda ports: manifests.apps(options.hosts, ports)) as (
            subject,
            apps,
            backends,
        ),
    ):
        before = subject.status()["reloads"]
        found = endpoint_changes(subject, list(apps), backends.ports, options.changes)
        reloads = subject.status()["reloads"] - before
        subject.stop()
        peer = static_changes(place, apps, backends.ports, min(PEER_CHANGES, options.changes), new=False)
    return _figures("endpoint-change", found, 200, reloads, 0, peer), [_note(found, peer), f"{RETIRED} 3.9 s"]


def new_ingress_known_policy(options: Options) -> tuple[list[Figure], list[str]]:
    def apps_of(ports: tuple[int, ...]) -> list[App]:
        apps = manifests.apps(options.hosts, ports)
        return [dataclasses.replace(apps[0], settings=KNOWN), *apps[1:]]

    with folder() as place, loaded(place, apps_of) as (subject, apps, backends):
        before = subject.status()["reloads"]
        found = new_ingresses(subject, backends.ports, 50_000, options.changes, known_policy, 0.05)
        reloads = subject.status()["reloads"] - before
        subject.stop()
        peer = static_changes(place, apps, backends.ports, min(PEER_CHANGES, options.changes), new=True)
    name = "new-ingress-known-policy"
    return _figures(name, found, 300, reloads, 0, peer), [_note(found, peer), f"{RETIRED} 5.7 s"]


def new_ingress_new_policy(options: Options) -> tuple[list[Figure], list[str]]:
    figures, notes = [], []
    for policies, count, most in ((0, options.changes, 600), (options.policies, options.changes_slow, 2500)):

        def apps_of(ports: tuple[int, ...], policies: int = policies) -> list[App]:
            apps = manifests.apps(options.hosts, ports)
            return [
                dataclasses.replace(app, settings=own_policy(app.number)) if app.number <= policies else app
                for app in apps
            ]

        with folder() as place, loaded(place, apps_of) as (subject, apps, backends):
            before = subject.status()["reloads"]
            found = new_ingresses(subject, backends.ports, 50_000, count, own_policy, RELOAD_GAP)
            reloads = subject.status()["reloads"] - before
            subject.stop()
            peer = (
                static_changes(place, apps, backends.ports, min(PEER_CHANGES, count), new=True) if not policies else []
            )
        name = "new-ingress-new-policy" + (f"-{policies}-loaded" if policies else "")
        figures += _figures(name, found, most, reloads, count, peer)
        notes.append(_note(found, peer) + (f" ({policies} distinct policies loaded)" if policies else ""))
    return figures, notes
