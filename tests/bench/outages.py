"""No request fails while a part of an operator's world is away: API server, operator, agent, NGINX's master."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cluster as _folders  # noqa: F401 - makes the folders of other tests known
import zero
import zeroclients
from options import Options
from report import Figure
from subjects import folder

import manyobjects as loaded  # isort: skip - `cluster` makes these known
from apiserver import ApiServer, Manifest, until  # isort: skip
from network import Network  # isort: skip
from running import NAMESPACE, Run, ingress_class, namespace  # isort: skip

QUIET = 5.0  # seconds of load before it happens
RETURN = 45.0  # seconds of load for the return, which a busy machine takes its time for
AWAY = 3.0  # seconds until what was killed is started again, as kubelet would
PATIENCE = 120.0
Outage = Callable[[ApiServer, Run, float], None]


def _api_server(cluster: ApiServer, run: Run, seconds: float) -> None:
    """Away for a minute; afterwards a change is served again."""
    cluster.stop()
    time.sleep(seconds)
    assert run.ask_admin("/readyz")[0] == 200
    cluster.start()
    cluster.apply(_ingress(0, "after"))
    until(lambda: run.get("after.bench.test")[0] == 200, PATIENCE, "no change is served any more")
    cluster.delete("ingress", "app00000", loaded.SPACE)


def _operator(cluster: ApiServer, run: Run, seconds: float) -> None:
    run.kill()
    time.sleep(AWAY)
    run.spawn()
    run.wait_ready()


def _agent(cluster: ApiServer, run: Run, seconds: float) -> None:
    """Where it is process 1 of a container this ends NGINX, too: that is the next figure."""
    former = run.agent()
    os.kill(former, signal.SIGKILL)
    until(lambda: _number(run.run / "agent.lock") not in (0, former), PATIENCE, "the agent does not come back")


def _master(cluster: ApiServer, run: Run, seconds: float) -> None:
    former = run.master()
    os.kill(former, signal.SIGKILL)
    until(lambda: _number(run.run / "nginx.pid") not in (0, former), PATIENCE, "NGINX does not come back")


def _number(path: Path) -> int:
    """A process identifier from a file; 0 while there is none."""
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return 0


OUTAGES: dict[str, Outage] = {
    "API server away": _api_server,
    "operator killed": _operator,
    "agent killed": _agent,
    "master killed": _master,
}


def _ingress(number: int, host: str) -> Manifest:
    found = loaded.ingress(number, f"{host}.bench.test")
    found["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = loaded.service(1)["metadata"]["name"]
    return found


@contextlib.contextmanager
def _world() -> Iterator[tuple[ApiServer, Run, list[str]]]:
    """Fifty applications with three backends on an address of this machine that is no loopback address."""
    cluster, network = ApiServer(), Network()
    address = f"{network.base}.1"
    backends: list[zero.Backend] = []
    try:
        with folder() as place:
            backends += [zero.Backend(place, address) for _ in range(zero.BACKENDS)]
            cluster.start()
            cluster.apply(namespace(NAMESPACE), namespace(loaded.SPACE), ingress_class())
            numbers = range(1, zero.APPS + 1)
            cluster.apply(*(_application(number, address, backends) for number in numbers))
            with Run(cluster, "--publish-status-address", "192.0.2.7") as run:
                run.start()
                hosts = [loaded.host(number) for number in numbers]
                for host in hosts:
                    until(lambda host=host: run.get(host)[0] == 200, PATIENCE, host)
                yield cluster, run, hosts
    finally:
        for backend in backends:
            backend.stop()
        cluster.close()
        network.close()


def _application(number: int, address: str, backends: list[zero.Backend]) -> list[Manifest]:
    found = [loaded.service(number), loaded.ingress(number)]
    for backend in backends:
        one = loaded.endpoints(number, address, backend.port)
        one["metadata"]["name"] += f"-{backend.port}"
        found.append(one)
    return found


def zero_failure(options: Options) -> tuple[list[Figure], list[str]]:
    """Failed requests of the zero-failure load, for each outage by itself."""
    figures, notes = [], []
    with _world() as (cluster, run, hosts):
        for name, outage in OUTAGES.items():
            away = options.zero_failure_seconds if outage is _api_server else AWAY
            loads = zeroclients.start_loads(
                run.http, run.https, hosts, QUIET + away + RETURN, options.zero_failure_rate
            )
            time.sleep(QUIET)
            for load in loads:
                load.send_signal(signal.SIGUSR1)
            started = time.monotonic()
            outage(cluster, run, away)
            took = time.monotonic() - started
            account = zeroclients.account_of(loads)
            failed = account["counts"]["failed"]
            most = account["marked"] if outage is _master else 0
            target = f"≤ {most}, those under way" if outage is _master else "= 0"
            met = failed <= most
            figures.append(Figure(f"cluster-outage {name}", failed, "failed requests", target=target, met=met))
            text = zeroclients.describe(f"{name}, back after {took:.1f} s", account)
            notes.append(f"{text}; {account['marked']} were under way")
    return figures, notes
