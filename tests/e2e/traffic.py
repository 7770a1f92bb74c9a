"""The zero-failure load of the benchmarks, sent to the node's ports: many clients on kept and on new connections, of
HTTP/1.1 and HTTP/2, some of whose answers are streams of several seconds.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from cluster import SHOP, Outside, admin, apply, eventually, ingress, kubectl, ready_pods, workload
from up import Manifest
from zeroclients import STREAM_SIZE, Account, account_of, await_answers, backend_conf, describe, end_loads, start_loads
from zeroload import SHARES

FULL = 1000  # requests a second
# Clients, NGINX, backends and the whole cluster share this machine: more than it carries is no test but a queue.
RATE = int(os.environ.get("E2E_RATE") or min(FULL, 150 * (os.cpu_count() or 1)))
MOST = 1200.0  # seconds of load, should nobody end it
NAME = "crowd"
HOSTS = [f"h{number}.crowd.test" for number in range(20)]
BACKENDS = 2
START = f"head -c {STREAM_SIZE} /dev/zero | tr '\\0' s >/tmp/stream && exec nginx -c /conf/nginx.conf -e /tmp/error.log"
# endpoints are withdrawn at the same moment: serve on until everybody knows, then finish what there is
END = "sleep 5; kill -QUIT 1; while kill -0 1 2>/dev/null; do sleep 1; done"


def prepare() -> None:
    """The backends and their Ingresses, on every pod of the release."""
    apply(*_backend(), *(_ingress(number, host) for number, host in enumerate(HOSTS)))
    kubectl("-n", SHOP, "rollout", "status", f"deployment/{NAME}", "--timeout=120s")
    for pod in ready_pods(2):
        eventually(lambda pod=pod: set(HOSTS) <= {row["host"] for row in admin(pod, "/api/v1/routes")})
        eventually(lambda pod=pod: _endpoints(pod) == BACKENDS)


def _endpoints(pod: Manifest) -> int:
    wanted = f"{SHOP}/{NAME}:80"
    return next((len(row["endpoints"]) for row in admin(pod, "/api/v1/backends") if row["name"] == wanted), 0)


@contextlib.contextmanager
def traffic(outside: Outside) -> Iterator[Account]:
    """The load, from its first answers on; the account is filled in at the end."""
    loads = start_loads(outside.http, outside.https, HOSTS, MOST, RATE, outside.address)
    account: Account = {}
    try:
        await_answers(loads)
        yield account
        end_loads(loads)
        account |= account_of(loads)
    finally:
        for load in loads:
            load.kill()
            load.wait()


def said_of(what: str, account: Account) -> str:
    rate = account["counts"]["requests"] / account["seconds"]
    return describe(what, account, f" at {rate:.0f} of {RATE} requests/s")


def nothing_failed(account: Account) -> bool:
    """None of the requests, of which there were some of each kind."""
    counts = account["counts"]
    return not counts["failed"] and all(counts[kind] for kind in (*SHARES, "streams"))


def _ingress(number: int, host: str) -> Manifest:
    one = ingress(f"{NAME}-{number}", host)
    one["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = NAME
    return one


def _backend() -> list[Manifest]:
    container = {
        "name": "nginx",
        "command": ["/bin/sh", "-c", START],
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", END]}}},
        "volumeMounts": [{"name": "conf", "mountPath": "/conf"}],
    }
    files = {"nginx.conf": backend_conf("/tmp", "8080")}
    return workload(NAME, container, files, BACKENDS, NAME, terminationGracePeriodSeconds=60)
