"""No request fails while endpoints, routes and policies change under load."""

from __future__ import annotations

import dataclasses
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import changes
import manifests
from manifests import App
from options import Options
from report import Figure
from subjects import StaticNginx, Tidegate, certificate, folder, free_ports, get, stop, wait_for
from zeroclients import STREAM_SIZE, Account, account_of, backend_conf, describe, start_loads

APPS = 50
GRACE = 5.0  # seconds that a removed backend serves on; what it then still answers, it finishes
PACE = 1.0  # seconds between changes
BACKENDS = 3


class Backend:
    """One NGINX process on one port, which can be ended as a pod is."""

    def __init__(self, place: Path, address: str = "127.0.0.1") -> None:
        (self.port,) = free_ports(1)
        here = place / f"backend{self.port}"
        here.mkdir()
        (here / "stream").write_bytes(b"s" * STREAM_SIZE)
        (here / "nginx.conf").write_text(backend_conf(str(here), f"{address}:{self.port}", str(self.port)))
        here.chmod(0o755)
        self.process = subprocess.Popen(["nginx", "-c", str(here / "nginx.conf"), "-e", str(here / "error.log")])
        wait_for("a backend", lambda: get(self.port, "x", "/", address)[0] == 200)

    def retire(self) -> None:
        """Serve for a while, then take no more connections and end what is under way."""
        threading.Timer(GRACE, lambda: self.process.send_signal(signal.SIGQUIT)).start()

    def stop(self) -> None:
        stop(self.process)


@dataclass
class World:
    """The applications, all of them on all of the backends, and the changes that go round."""

    place: Path
    subject: Tidegate | StaticNginx
    apps: list[App]
    backends: list[Backend]
    all_backends: list[Backend]

    def endpoints(self) -> None:
        """One backend is replaced by another, for every application."""
        old = self.backends.pop(0)
        new = Backend(self.place)
        self.backends.append(new)
        self.all_backends.append(new)
        ports = tuple(backend.port for backend in self.backends)
        self._set([dataclasses.replace(app, endpoints=ports) for app in self.apps])
        old.retire()

    def routes(self) -> None:
        """Ten applications get another path, or lose it."""
        chosen = set(random.sample(range(len(self.apps)), 10))
        extra = (("/more/", "Prefix"),)
        self._set(
            [
                dataclasses.replace(
                    app, paths=manifests.PATHS if app.paths != manifests.PATHS else manifests.PATHS + extra
                )
                if index in chosen
                else app
                for index, app in enumerate(self.apps)
            ]
        )

    def policies(self) -> None:
        """Ten applications get a policy that was never there before: Tidegate reloads."""
        settings = changes.own_policy(random.randrange(1_000_000))
        chosen = set(random.sample(range(len(self.apps)), 10))
        self._set(
            [dataclasses.replace(app, settings=settings) if i in chosen else app for i, app in enumerate(self.apps)]
        )

    def _set(self, apps: list[App]) -> None:
        former, self.apps = self.apps, apps
        if isinstance(self.subject, Tidegate):
            for before, app in zip(former, apps, strict=True):
                if before != app:
                    manifests.put(self.subject.folder, f"{app.name}.yaml", manifests.document(app))
        else:
            self.subject.write(apps)
            self.subject.reload()


def _under_load(world: World, seconds: float, rate: int) -> tuple[Account, int]:
    """The load's account, and how many changes were made meanwhile."""
    subject = world.subject
    loads = start_loads(subject.port, subject.tls_port, [app.host for app in world.apps], seconds, rate)
    count, started = 0, time.monotonic()
    steps: list[Callable[[], None]] = [world.endpoints, world.routes, world.policies]
    while time.monotonic() - started < seconds - PACE:
        time.sleep(PACE)
        steps[count % len(steps)]()
        count += 1
    return account_of(loads), count


def _run(kind: str, options: Options) -> tuple[Account, int, int | None]:
    with folder() as place:
        backends = [Backend(place) for _ in range(BACKENDS)]
        world_backends = list(backends)
        ports = tuple(backend.port for backend in backends)
        apps = [App(number, ports) for number in range(1, APPS + 1)]
        subject: Tidegate | StaticNginx = (
            Tidegate(place / "subject", apps)
            if kind == Tidegate.label
            else StaticNginx(place / "subject", apps, certificate=certificate(place))
        )
        try:
            subject.start()
            subject.verify(apps[::10])
            before = subject.status()["reloads"] if isinstance(subject, Tidegate) else None
            account, count = _under_load(
                World(place, subject, apps, backends, world_backends),
                options.zero_failure_seconds,
                options.zero_failure_rate,
            )
            reloads = subject.status()["reloads"] - before if isinstance(subject, Tidegate) else None
        finally:
            subject.stop()
            for backend in world_backends:
                backend.stop()
    return account, count, reloads


def zero_failure(options: Options) -> tuple[list[Figure], list[str]]:
    mine, count, reloads = _run(Tidegate.label, options)
    other, other_count, _ = _run(StaticNginx.label, options)
    failed, peer = (account["counts"]["failed"] for account in (mine, other))
    retried, peer_retried = (account["counts"]["retried"] for account in (mine, other))
    label = StaticNginx.label
    return [
        Figure("zero-failure", failed, "failed requests", label, peer, target="= 0", met=failed == 0),
        Figure("zero-failure asked once more", retried, "requests", label, peer_retried),
    ], [
        describe(Tidegate.label, mine, f" over {count} changes, {reloads} reloads"),
        describe(label, other, f" over {other_count} changes, {other_count} reloads"),
    ]
