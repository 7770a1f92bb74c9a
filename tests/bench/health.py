"""Health checks of an EndpointPool: CPU of the process that makes them, and how long they hold its event loop."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from options import Options
from procfs import cpu_seconds
from report import Figure, bounded
from subjects import certificate, folder, free_ports, get, stop, wait_for

TESTS = Path(__file__).resolve().parents[1]
sys.path.append(str(TESTS / "dataplane"))

from up import Manifest, Up  # noqa: E402

KINDS = ("HTTP", "HTTPS", "TCP", "GRPC")
INTERVAL = 5  # seconds
WINDOW = 30.0
LONG = 0.1  # seconds: no hold of the loop may be longer
PATIENCE = 120.0


@contextlib.contextmanager
def _servers(place: Path) -> Iterator[dict[str, int]]:
    """What answers on every address of 127.0.0.0/8, by the kind of check: ports."""
    plain, secure, grpc = free_ports(3)
    pair = certificate(place)
    (place / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections 8192; }}
worker_rlimit_nofile 16384;
http {{
    access_log off; keepalive_requests 1000000; keepalive_timeout 3600s;
    server {{
        listen 0.0.0.0:{plain} backlog=4096; listen 0.0.0.0:{secure} ssl backlog=4096;
        ssl_certificate {pair}; ssl_certificate_key {pair};
        location / {{ return 204; }}
    }}
}}
""")
    commands = [
        ["nginx", "-c", str(place / "nginx.conf"), "-e", str(place / "error.log")],
        [sys.executable, str(Path(__file__).with_name("grpchealth.py")), str(grpc)],
    ]
    processes = [subprocess.Popen(command) for command in commands]
    try:
        wait_for("what is checked", lambda: get(plain, "x", "/")[0] == 204)
        yield {"HTTP": plain, "HTTPS": secure, "TCP": plain, "GRPC": grpc}
    finally:
        for process in processes:
            stop(process)


def _manifests(kind: str, port: int, count: int) -> list[Manifest]:
    meta = {"name": "many", "namespace": "default"}
    ports = [{"name": "http", "port": 80, "targetPort": port}]
    check = {"type": kind, "interval": f"{INTERVAL}s", "timeout": "4s"}
    endpoints = [{"address": f"127.1.{number // 250}.{number % 250 + 1}"} for number in range(count)]
    pool = {"serviceName": "many", "endpoints": endpoints, "healthCheck": check}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": ports}},
        {"apiVersion": "tidegate.dev/v1alpha1", "kind": "EndpointPool", "metadata": meta, "spec": pool},
    ]


def _ready(up: Up) -> int:
    rows = up.api("endpointpools")
    return int(rows[0]["status"].get("readyEndpoints", 0)) if rows else 0


def _long_holds(up: Up) -> float:
    """How often the event loop was held for longer than it may be."""
    counts = {labels["le"]: value for name, labels, value in up.samples() if name == "tidegate_loop_lag_seconds_bucket"}
    return counts["+Inf"] - counts[f"{LONG:g}"]


def _measure(kind: str, port: int, count: int) -> tuple[float, float, float]:
    """Share of a core in percent, the same without the pool, and long holds since the pool came."""
    with Up("--endpoint-pool-allowed-cidrs", "127.0.0.0/8", workers=1) as up:
        up.start()
        assert up.process is not None
        pids = [up.process.pid]
        idle = _share(pids, WINDOW / 3)
        before = _long_holds(up)
        up.write_json("pool", _manifests(kind, port, count))
        wait_for("all endpoints are ready", lambda: _ready(up) == count, PATIENCE)
        share = _share(pids, WINDOW)
        assert _ready(up) == count
        return share, idle, _long_holds(up) - before


def _share(pids: list[int], seconds: float) -> float:
    started, before = time.monotonic(), cpu_seconds(pids)
    time.sleep(seconds)
    return (cpu_seconds(pids) - before) / (time.monotonic() - started) * 100


def health_checks(options: Options) -> tuple[list[Figure], list[str]]:
    figures, idles = [], []
    with folder() as place, _servers(place) as ports:
        for kind in KINDS:
            share, idle, holds = _measure(kind, ports[kind], options.endpoints)
            idles.append(f"{kind} {idle:.1f} %")
            figures.append(bounded(f"health-checks {kind}", share, "% of a core", 15))
            figures.append(Figure(f"health-checks {kind} long holds", holds, "holds", target="= 0", met=holds == 0))
    return figures, [
        f"health-checks: {options.endpoints} endpoints, each every {INTERVAL} s, for {WINDOW:.0f} s after all "
        f"were ready; the same process without a pool: {', '.join(idles)}; long holds are of more than {LONG:g} s, "
        "the first checks included"
    ]
