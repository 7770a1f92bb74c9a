"""Changes of what typical manifests set, with thousands of Ingresses that set it: none of them may reload."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable

import manifests
from changes import loaded, put
from manifests import App
from options import Options
from report import Figure, percentile
from subjects import BenchError, Tidegate, folder

MOST = 300  # milliseconds, as for a new Ingress with a known policy
SIZES = ("1m", "8m", "20m", "50m")
BACKEND = "http://127.0.0.1:1"

Family = Callable[[int], dict[str, str]]

# Each is given a number and makes of it settings that no other number has, but for the small sets.
FAMILIES: dict[str, Family] = {
    "plain": lambda _: {},
    "redirect": lambda number: {"permanent-redirect": f"https://else.test/{number}"},
    "temporal redirect": lambda number: {"temporal-redirect": f"https://else.test/{number}"},
    "rewrite": lambda number: {"rewrite-target": f"/v{number}/$1", "x-forwarded-prefix": f"/p{number}"},
    "headers": lambda number: {"upstream-vhost": f"vhost{number}.test"},
    "other origins": lambda number: {"enable-cors": "true", "cors-allow-origin": f"https://app{number}.test"},
    "auth URL": lambda number: {"auth-url": f"{BACKEND}/check/{number}", "auth-signin": f"https://login.test/{number}"},
    "allow list": lambda number: {"whitelist-source-range": f"10.{number % 250}.{number // 250 % 250}.0/24,127.0.0.1"},
    "canary": lambda number: {"canary": "true", "canary-weight": str(number % 100), "canary-by-header": f"X-{number}"},
    "affinity": lambda number: {"affinity": "cookie", "session-cookie-name": f"route{number}"},
    "time-outs": lambda number: {"proxy-read-timeout": str(60 + number), "proxy-connect-timeout": str(5 + number % 60)},
    "body size": lambda number: {"proxy-body-size": SIZES[number // len(FAMILIES) % len(SIZES)]},
}


def typical(app: App, number: int) -> App:
    """The application with settings of its family; its own number chooses the family."""
    names = tuple(FAMILIES)
    return dataclasses.replace(app, settings=FAMILIES[names[app.number % len(names)]](number))


def different(app: App, number: int) -> App:
    """The application with other settings than it has: those of a small set may be the same again."""
    while (found := typical(app, number)).settings == app.settings:
        number += len(FAMILIES)
    return found


def change_all(subject: Tidegate, apps: list[App], count: int) -> list[float]:
    """Seconds from each written file to the revision in force that it became."""
    found = []
    for number in range(count):
        index = random.randrange(len(apps))
        app = apps[index] = different(apps[index], 100_000 + number)
        wanted = subject.status()["revision"]["wanted"]
        written = put(subject, app)
        status = subject.api(f"/api/v1/status?wait={wanted + 1}&timeout=60")
        found.append(time.perf_counter() - written)
        if status["revision"]["running"] <= wanted:
            raise BenchError(f"{app.name} with {app.settings} was not in force within a minute")
    return found


def settings_mix(options: Options) -> tuple[list[Figure], list[str]]:
    """Canaries stand beside no other Ingress here: theirs are read and change nothing that is served."""

    def apps_of(ports: tuple[int, ...]) -> list[App]:
        return [typical(app, app.number) for app in manifests.apps(options.hosts, ports)]

    with folder() as place, loaded(place, apps_of, verified=lambda app: not app.settings) as (subject, apps, _):
        before = subject.status()["reloads"]
        found = change_all(subject, [app for app in apps if app.settings], options.changes)
        reloads = subject.status()["reloads"] - before
    value = round(percentile(found, 0.99) * 1000, 1)
    figures = [
        Figure("settings-mix p99", value, "ms", target=f"≤ {MOST} ms", met=value <= MOST),
        Figure("settings-mix reloads", reloads, "reloads", target="= 0", met=reloads == 0),
    ]
    note = f"{len(found)} changes in {len(FAMILIES)} families: median {percentile(found, 0.5) * 1000:.0f} ms"
    return figures, [note]
