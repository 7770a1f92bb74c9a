"""The clients of the zero-failure load, several processes of zeroload.py, and the backend that they expect: for every
figure and test that is about requests which must not fail.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import manifests
from zeroload import SHARES, UNDER_WAY

LOAD = Path(__file__).with_name("zeroload.py")
LOADS = 2  # processes that share the rate
STREAM = "/stream"
STREAM_EVERY = 100  # one request in so many of each kind
STREAM_SIZE, STREAM_RATE = 50_000, 10_000  # bytes, and bytes a second

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

Account = dict[str, Any]


def backend_conf(place: str, listen: str, name: str = "$hostname") -> str:
    """An NGINX that answers with its name, the host and the URI; `place` has a file `stream` of STREAM_SIZE."""
    paths = "".join(f"    {kind}_temp_path {place}/{kind};\n" for kind in TEMPORARY)
    return f"""
daemon off; worker_processes 1; pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000; keepalive_timeout 60s; default_type text/plain; root {place};
    limit_rate_after 1k;
{paths}    server {{
        listen {listen} backlog=4096;
        location / {{ return 200 "{name} $host $request_uri\\n"; }}
        location = {STREAM} {{ limit_rate {STREAM_RATE}; try_files {STREAM} =404; }}
    }}
}}
"""


def start_loads(
    port: int, tls_port: int, hosts: list[str], seconds: float, rate: int, address: str = "127.0.0.1"
) -> list[subprocess.Popen[str]]:
    """The load, for so long or until `end_loads`; `rate` requests a second."""
    plan = {
        "address": address, "port": port, "tls_port": tls_port, "hosts": hosts, "paths": list(manifests.REQUESTS),
        "rate": rate // LOADS, "seconds": seconds, "stream_every": STREAM_EVERY, "stream_path": STREAM,
        "stream_size": STREAM_SIZE,
    }  # fmt: skip
    loads = []
    for _ in range(LOADS):
        load = subprocess.Popen([sys.executable, str(LOAD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert load.stdin is not None
        load.stdin.write(json.dumps(plan))
        load.stdin.close()
        load.stdin = None
        loads.append(load)
    return loads


def await_answers(loads: list[subprocess.Popen[str]]) -> None:
    """Returns when each of them has had an answer."""
    for load in loads:
        assert load.stdout is not None
        line = load.stdout.readline()
        assert line == f"{UNDER_WAY}\n", line


def end_loads(loads: list[subprocess.Popen[str]]) -> None:
    """No more requests; those that are under way are finished."""
    for load in loads:
        load.send_signal(signal.SIGTERM)


def account_of(loads: list[subprocess.Popen[str]]) -> Account:
    """What they counted, when they have ended."""
    return _sum([json.loads(load.communicate(timeout=180)[0].splitlines()[-1]) for load in loads])


def _sum(accounts: list[Account]) -> Account:
    counts: Counter[str] = Counter()
    for account in accounts:
        counts.update(account["counts"])
    return {
        "counts": counts,
        "failures": [line for account in accounts for line in account["failures"]],
        "marked": sum(account["marked"] for account in accounts),
        **{name: max(account[name] for account in accounts) for name in ("longest", "late", "seconds")},
    }


def describe(label: str, account: Account, what: str = "") -> str:
    """An account in words; `what` is what happened meanwhile."""
    counts = account["counts"]
    kinds = ", ".join(f"{counts[kind]} {kind}" for kind in SHARES)
    again = ", ".join(f"{counts[f'retried-{kind}']} {kind}" for kind in SHARES if counts[f"retried-{kind}"])
    text = (
        f"{label}: {counts['requests']} requests in {account['seconds']:.0f} s ({kinds}; {counts['streams']} streams of"
        f" {STREAM_SIZE / STREAM_RATE:.0f} s){what}:"
        f" {counts['failed']} failed, {counts['retried']} asked once more ({again or 'none'});"
        f" slowest answer {account['longest'][0] * 1000:.0f} ms ({account['longest'][1]});"
        f" the load was up to {account['late'] * 1000:.0f} ms late"
    )
    failures = account["failures"]
    return text + ("; first failures: " + "; ".join(failures[:3]) if failures else "")
