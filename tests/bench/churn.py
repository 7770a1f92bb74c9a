"""Memory of a worker while patterns come and go."""

from __future__ import annotations

import time

import manifests
import procfs
from changes import settle
from options import Options
from probe import sweep
from report import Figure
from subjects import Backends, BenchError, Tidegate, folder

HOSTS = 200
WARM = 0.2  # the share of the changes after which memory is looked at first
MOST_GROWTH = 5.0


def regex_churn(options: Options) -> tuple[list[Figure], list[str]]:
    """All hosts get other patterns, each of which is requested once; again and again."""
    steps = max(5, -(-options.patterns // (HOSTS * manifests.PATTERNS_PER_HOST)))
    sizes: list[tuple[float, float]] = []
    with folder() as place:
        backends = Backends(place / "backends")
        subject = Tidegate(place / "tidegate", manifests.pattern_apps(HOSTS, backends.ports, "first"))
        started = time.monotonic()
        try:
            subject.start()
            reloads = subject.status()["reloads"]
            for step in range(steps):
                apps = manifests.pattern_apps(HOSTS, backends.ports, f"word{step}")
                revision = subject.status()["revision"]["wanted"]
                for app in apps:
                    manifests.put(subject.folder, f"{app.name}.yaml", manifests.document(app))
                _wait_until_served(subject, apps, revision)
                (worker,) = subject.workers()
                sizes.append((procfs.pss(worker), procfs.rss(worker)))
            reloads = subject.status()["reloads"] - reloads
            seconds = time.monotonic() - started
        finally:
            subject.stop()
            backends.stop()
    warm = int(steps * WARM)
    growth = sizes[-1][0] - sizes[warm][0]
    count = steps * HOSTS * manifests.PATTERNS_PER_HOST
    shown = [sizes[index * (steps - 1) // 8] for index in range(9)]
    return [
        Figure(
            "regex-churn",
            round(growth, 2),
            "MB of growth",
            target=f"≤ {MOST_GROWTH:g} MB (flat)",
            met=growth <= MOST_GROWTH,
        ),
        Figure("regex-churn reloads", reloads, "reloads", target="= 0", met=reloads == 0),
    ], [
        f"{count} patterns, {HOSTS * manifests.PATTERNS_PER_HOST} at a time, each requested once, in {seconds:.0f} s;"
        f" growth is from {WARM:.0%} of the changes to the end; PSS of the worker along the way:"
        f" {', '.join(f'{size:.1f}' for size, _ in shown)} MB (RSS at the end {sizes[-1][1]:.1f} MB)",
    ]


def _wait_until_served(subject: Tidegate, apps: list[manifests.App], before: int) -> None:
    """Each new pattern answers; the last change of many may still be on its way."""
    end = time.monotonic() + 30
    while subject.status()["revision"]["wanted"] == before:
        time.sleep(0.01)
    while True:
        settle(subject)
        wrong = sum(sweep(subject.port, [app.host], app.requests) for app in apps)
        if not wrong:
            return
        if time.monotonic() > end:
            raise BenchError(f"{wrong} new patterns are not served")
        time.sleep(0.05)
