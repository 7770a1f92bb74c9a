"""Handshakes with many certificates, beside static NGINX with one; their memory; and certificates that change."""

from __future__ import annotations

import base64
import json
import random
import socket
import ssl
import statistics
import sys
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import manifests
import procfs
from options import Options
from report import Figure, bounded, percentile
from subjects import Backends, StaticNginx, Subject, Tidegate, folder, stop, wait_for

sys.path.append(str(Path(__file__).resolve().parents[1] / "dataplane"))

from selfsigned import self_signed

LEAST_RATIO = 0.85
MOST_MEMORY = 150.0
MOST_ROTATION = 300.0
RESUMING = 50  # hosts whose sessions are resumed


def host(number: int) -> str:
    return f"c{number:05}.tls.test"


def _pair(name: str) -> tuple[bytes, bytes]:
    """A certificate and its key: ECDSA, as most are today."""
    pair = self_signed(name)
    return pair.chain.encode(), pair.key.encode()


def _secret(number: int, chain: bytes, key: bytes) -> dict[str, object]:
    data = {"tls.crt": base64.b64encode(chain).decode(), "tls.key": base64.b64encode(key).decode()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"c{number}", "namespace": "bench"},
        "data": data,
    }


def _ingress(number: int) -> dict[str, object]:
    backend = {"service": {"name": "app00000", "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": f"c{number}", "namespace": "bench"},
        "spec": {
            "rules": [{"host": host(number), "http": {"paths": paths}}],
            "tls": [{"hosts": [host(number)], "secretName": f"c{number}"}],
        },
    }


def _write(path: Path, items: list[dict[str, object]]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    temporary.rename(path)


def _context(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> ssl.SSLContext:
    """Of TLS 1.2 unless asked otherwise: Python can resume its sessions as often as it likes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = version
    return context


def shake(port: int, context: ssl.SSLContext, name: str, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", port), 10)
    return context.wrap_socket(raw, server_hostname=name, session=session)


def _full(port: int, names: list[str], seconds: float, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> int:
    """Full handshakes for names drawn from all, for so long; their number."""
    context, count, end = _context(version), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        shake(port, context, random.choice(names)).close()
        count += 1
    return count


def _full_of_one(port: int, names: list[str], seconds: float) -> int:
    return _full(port, names[:1], seconds)


def _full_newer(port: int, names: list[str], seconds: float) -> int:
    return _full(port, names, seconds, ssl.TLSVersion.TLSv1_3)


@lru_cache(maxsize=4)
def _begun(port: int, names: tuple[str, ...]) -> tuple[ssl.SSLContext, dict[str, ssl.SSLSession | None]]:
    context = _context()
    sessions = {}
    for name in names:
        with shake(port, context, name) as first:
            sessions[name] = first.session
    return context, sessions


def _resumed(port: int, names: list[str], seconds: float) -> int:
    """The sessions are those that the round before began, the one that warms: full handshakes are not counted here."""
    context, sessions = _begun(port, tuple(names[:RESUMING]))
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        name = random.choice(names[:RESUMING])
        with shake(port, context, name, sessions[name]) as again:
            assert again.session_reused
        count += 1
    return count


KINDS = {"full": _full, "full-one": _full_of_one, "full-1.3": _full_newer, "resumed": _resumed}


def _measure(subjects: list[Subject], names: list[str], options: Options) -> list[Figure]:
    """Handshakes per second of the workers' CPU time, in rounds in which the subjects take turns."""
    return [_compare(name, _rates(subjects, names, kind, options)) for name, kind in KINDS.items()]


def _rates(
    subjects: list[Subject], names: list[str], kind: Callable[[int, list[str], float], int], options: Options
) -> list[list[float]]:
    """By subject, one for each round."""
    rates: list[list[float]] = [[] for _ in subjects]
    for number in range(options.rounds + 1):
        for place, subject in enumerate(subjects):
            workers = subject.workers()
            before = procfs.cpu_seconds(workers)
            count = kind(subject.tls_port, names, options.round_seconds)
            if number:  # the first one warms
                rates[place].append(count / max(0.01, procfs.cpu_seconds(workers) - before))
    return rates


def _compare(name: str, rates: list[list[float]]) -> Figure:
    mine, other = rates
    ratio = statistics.median(a / b for a, b in zip(mine, other, strict=True))
    return Figure(
        f"tls-{name}-handshakes",
        round(statistics.median(mine)),
        "per CPU second",
        "static NGINX with one certificate",
        round(statistics.median(other)),
        round(ratio, 3),
        f"≥ {LEAST_RATIO:g} × static NGINX",
        ratio >= LEAST_RATIO,
    )


def _first(tidegate: Tidegate, names: list[str]) -> Figure:
    """One handshake for each certificate, none of which the worker has seen before."""
    context, workers = _context(), tidegate.workers()
    before = procfs.cpu_seconds(workers)
    for name in names:
        shake(tidegate.tls_port, context, name).close()
    rate = len(names) / max(0.01, procfs.cpu_seconds(workers) - before)
    return Figure("tls-first-handshakes", round(rate), "per CPU second")


def _memory(tidegate: Tidegate) -> float:
    """MB of NGINX's processes, what they share counted once."""
    workers = tidegate.workers()
    master = int((tidegate.run_dir / "nginx.pid").read_text())
    return sum(procfs.pss(pid) for pid in [master, *workers])


class Rotations(NamedTuple):
    """Milliseconds from a changed file to its certificate being shown; handshakes and failures of a load meanwhile;
    MB that memory grew by in the second half (in the first one the cache of sessions fills)."""

    took: list[float]
    handshakes: int
    failures: int
    growth: float


def _rotate(tidegate: Tidegate, names: list[str], count: int) -> Rotations:
    end, tally = threading.Event(), [0, 0]

    def load() -> None:
        context = _context()
        while not end.is_set():
            try:
                shake(tidegate.tls_port, context, random.choice(names)).close()
                tally[0] += 1
            except OSError:
                tally[1] += 1

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    took, context, halfway = [], _context(), 0.0
    for number in range(count):
        if number == count // 2:
            halfway = _memory(tidegate)
        chain, key = _pair(host(number))
        wanted = ssl.PEM_cert_to_DER_cert(chain.decode())
        began = time.monotonic()
        _write(tidegate.folder / f"secret-{number}.json", [_secret(number, chain, key)])
        while True:
            with shake(tidegate.tls_port, context, host(number)) as connection:
                if connection.getpeercert(binary_form=True) == wanted:
                    break
            if time.monotonic() > began + 30:
                raise AssertionError(f"{host(number)} still shows its former certificate")
        took.append((time.monotonic() - began) * 1000)
    end.set()
    thread.join(30)
    return Rotations(took, tally[0], tally[1], _memory(tidegate) - halfway)


def handshakes(options: Options) -> tuple[list[Figure], list[str]]:
    count, rotations = options.certificates, min(options.rotations, options.certificates)
    names = [host(number) for number in range(count)]
    with folder() as place:
        backends = Backends(place / "backends")
        apps = manifests.apps(1, backends.ports)
        pair = place / "one.pem"
        pair.write_bytes(b"".join(_pair("static.tls.test")))
        pair.chmod(0o644)
        tidegate = Tidegate(place / "tidegate", apps)
        static = StaticNginx(place / "static", apps, certificate=pair)
        subjects: list[Subject] = [tidegate, static]
        try:
            for subject in subjects:
                subject.start()
            alone = _memory(tidegate)
            for number in range(rotations):
                _write(tidegate.folder / f"secret-{number}.json", [_secret(number, *_pair(host(number)))])
            rest = [_secret(number, *_pair(host(number))) for number in range(rotations, count)]
            _write(tidegate.folder / "rest.json", rest + [_ingress(number) for number in range(count)])

            def shown() -> bool:
                with shake(tidegate.tls_port, _context(), names[-1]) as connection:
                    shown = connection.getpeercert(binary_form=True)
                return shown is not None and names[-1].encode() in shown

            wait_for("the certificates", shown, 300)
            figures = [_first(tidegate, names), *_measure(subjects, names, options)]
            figures.append(bounded(f"tls-memory-{count}", round(_memory(tidegate) - alone, 1), "MB more", MOST_MEMORY))
            rotated = _rotate(tidegate, names, rotations)
            median = round(statistics.median(rotated.took), 1)
            figures.append(Figure("tls-rotation-median", median, "ms"))
            figures.append(bounded("tls-rotation-p99", round(percentile(rotated.took, 0.99), 1), "ms", MOST_ROTATION))
            figures.append(bounded("tls-rotation-failures", rotated.failures, "handshakes", 0))
            figures.append(bounded("tls-rotation-memory", round(rotated.growth, 1), "MB more", MOST_MEMORY / 10))
        finally:
            for subject in subjects:
                subject.stop()
            stop(backends.process)
    notes = [
        f"{count} ECDSA certificates of as many hosts, names drawn from all; TLS 1.2; {options.rounds} rounds of"
        f" {options.round_seconds:g} s in which the subjects take turns, one worker each",
        f"{rotations} certificates rotated one after the other under {rotated.handshakes} other handshakes",
    ]
    return figures, notes
