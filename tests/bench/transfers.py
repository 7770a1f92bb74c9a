"""Bytes through NGINX: a TCP service, and uploads and downloads over HTTP, beside static NGINX doing the same.

What is compared is the work of NGINX's worker for a GiB, which does not depend on how fast client and backend are.
"""

from __future__ import annotations

import multiprocessing
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import procfs
from manifests import App
from options import Options
from report import Figure, at_least, bounded
from subjects import WORKER_CONNECTIONS, BenchError, Subject, Tidegate, folder, free_ports, get, wait_for

MIB = 1024 * 1024
HOST = "h00001.bench.test"
SESSIONS = 400
MOST_GROWTH = 16.0  # MB of a worker while a transfer goes on


# -- backend and client ------------------------------------------------------------------------------------------------


def _head(sock: socket.socket) -> bytes:
    found = b""
    while b"\r\n\r\n" not in found:
        data = sock.recv(4096)
        if not data:
            return b""
        found += data
    return found


def _take(sock: socket.socket, size: int) -> None:
    buffer = bytearray(MIB)
    while size:
        count = sock.recv_into(buffer, min(size, MIB))
        if not count:
            raise BenchError("the connection ended in the midst of a transfer")
        size -= count


def _give(sock: socket.socket, size: int) -> None:
    part = bytes(MIB)
    while size:
        size -= sock.send(part[: min(size, MIB)])


def _serve_one(sock: socket.socket) -> None:
    with sock:
        while head := _head(sock):
            line, _, _ = head.partition(b"\r\n")
            size = int(line.split(b" ")[1].rpartition(b"/")[2] or 0)
            if line.startswith(b"GET"):
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                _give(sock, size)
            else:
                _take(sock, size - len(head.partition(b"\r\n\r\n")[2]))
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def _serve(listener: socket.socket) -> None:
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=_serve_one, args=(sock,), daemon=True).start()


class Backend:
    """A process that gives `GET /bytes` so many bytes and takes as many from `POST /bytes`."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = int(self._listener.getsockname()[1])
        self._process = multiprocessing.get_context("fork").Process(target=_serve, args=(self._listener,), daemon=True)
        self._process.start()
        self._listener.close()

    def stop(self) -> None:
        self._process.terminate()
        self._process.join()


def transfer(port: int, method: str, size: int) -> None:
    """One request with a body, or an answer, of so many bytes. Raises BenchError."""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.settimeout(120)
        length = f"Content-Length: {size}\r\n" if method == "POST" else ""
        sock.sendall(f"{method} /{size} HTTP/1.1\r\nHost: {HOST}\r\n{length}\r\n".encode())
        if method == "POST":
            _give(sock, size)
        head = _head(sock)
        if not head.startswith(b"HTTP/1.1 200"):
            raise BenchError(f"{method} was answered {head[:80]!r}")
        if method == "GET":
            _take(sock, size - len(head.partition(b"\r\n\r\n")[2]))


# -- what is measured --------------------------------------------------------------------------------------------------


class TidegateTransfers(Tidegate):
    """One application, over HTTP and as a TCP service."""

    def __init__(self, place: Path, backend: Backend) -> None:
        settings = {"proxy-body-size": "0", "proxy-request-buffering": "off"}
        app = App(1, (backend.port,), paths=(("/", "Prefix"),), settings=settings)
        super().__init__(place, [app], arguments=("--tcp-services-configmap", "bench/tcp"))
        (self.tcp_port,) = free_ports(1)
        (self.folder / "tcp.yaml").write_text(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: tcp, namespace: bench}\n"
            f'data: {{"{self.tcp_port}": "bench/app00001:80"}}\n'
        )


class StaticTransfers(Subject):
    """The same in a configuration written by hand."""

    label = "static NGINX"

    def __init__(self, place: Path, backend: Backend) -> None:
        super().__init__(place)
        place.mkdir()
        (self.tcp_port,) = free_ports(1)
        modules = "/usr/lib/nginx/modules"
        self.conf = place / "nginx.conf"
        self.conf.write_text(f"""
daemon off; worker_processes 1; pid {place}/nginx.pid; error_log {place}/error.log; worker_rlimit_nofile 65536;
load_module {modules}/ngx_stream_module.so;
events {{ worker_connections {WORKER_CONNECTIONS}; multi_accept on; }}
http {{
    client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
    access_log off; server_tokens off; sendfile on; tcp_nopush on;
    upstream backend {{ server 127.0.0.1:{backend.port}; keepalive 320; }}
    server {{
        listen 127.0.0.1:{self.port};
        location / {{
            proxy_pass http://backend; proxy_http_version 1.1;
            proxy_set_header Connection ""; proxy_set_header Host $http_host;
            client_max_body_size 0; client_body_buffer_size 8k; proxy_request_buffering off;
            proxy_buffering off; proxy_buffer_size 4k; proxy_buffers 4 4k;
        }}
    }}
}}
stream {{
    access_log off;
    server {{ listen 127.0.0.1:{self.tcp_port} reuseport; proxy_pass 127.0.0.1:{backend.port}; }}
}}
""")

    def start(self, seconds: float = 120) -> float:
        started = time.monotonic()
        self.process = subprocess.Popen(["nginx", "-c", str(self.conf), "-e", str(self.place / "error.log")])
        wait_for("static NGINX", lambda: get(self.port, HOST, "/0")[0] == 200, seconds)
        return time.monotonic() - started

    def workers(self) -> list[int]:
        assert self.process is not None
        return procfs.nginx_workers(self.process.pid)


Transfers = TidegateTransfers | StaticTransfers


def _cost(subject: Transfers, work: Callable[[Transfers], None]) -> tuple[float, float]:
    """CPU seconds of the workers for this work, and the most MB that their memory grew by meanwhile."""
    workers = subject.workers()
    before, memory = procfs.cpu_seconds(workers), sum(map(procfs.rss, workers))
    most, stop = [memory], threading.Event()

    def look() -> None:
        while not stop.wait(0.05):
            most[0] = max(most[0], sum(map(procfs.rss, workers)))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        work(subject)
    finally:
        stop.set()
        watcher.join()
    return procfs.cpu_seconds(workers) - before, most[0] - memory


def _compare(
    name: str, subjects: tuple[Transfers, Transfers], options: Options, work: Callable[[Transfers], None]
) -> list[Figure]:
    costs: dict[str, list[float]] = {subject.label: [] for subject in subjects}
    growth = 0.0
    for number in range(options.transfer_rounds + 1):
        for subject in subjects if number % 2 else subjects[::-1]:
            seconds, grown = _cost(subject, work)
            if number:  # the first round warms up
                costs[subject.label].append(seconds)
                growth = max(growth, grown) if isinstance(subject, Tidegate) else growth
    mine, other = (statistics.median(costs[subject.label]) for subject in subjects)
    gib = options.transfer_mib / 1024
    return [
        at_least(name, gib / max(mine, 0.01), "GiB/CPU s", subjects[1].label, gib / max(other, 0.01), least_ratio=0.95),
        bounded(f"{name}-memory", round(growth, 1), "MB", MOST_GROWTH),
    ]


def transfers(options: Options) -> tuple[list[Figure], list[str]]:
    size = options.transfer_mib * MIB
    figures: list[Figure] = []
    with folder() as place:
        backend = Backend()
        subjects = (TidegateTransfers(place / "tidegate", backend), StaticTransfers(place / "static", backend))
        try:
            for subject in subjects:
                subject.start()
                wait_for("the TCP service", lambda port=subject.tcp_port: get(port, HOST, "/0")[0] == 200)  # type: ignore[misc]
            for name, method in (("upload", "POST"), ("download", "GET")):
                figures += _compare(f"http-{name}", subjects, options, lambda it, m=method: transfer(it.port, m, size))  # type: ignore[misc]
                figures += _compare(
                    f"tcp-{name}", subjects, options, lambda it, m=method: transfer(it.tcp_port, m, size)
                )  # type: ignore[misc]
            figures.append(_sessions(subjects, options.transfer_rounds))
        finally:
            for subject in subjects:
                subject.stop()
            backend.stop()
    return figures, [
        f"{options.transfer_mib} MiB on one connection, medians of {options.transfer_rounds} rounds; memory: the most"
        " that the worker grew by while it went on",
        f"tcp-session: CPU of the worker for a TCP session of its own with one small request, {SESSIONS} of them;"
        " njs reads a file for each",
    ]


def _sessions(subjects: tuple[Transfers, Transfers], rounds: int) -> Figure:
    """What a session costs before its first byte."""
    costs: dict[str, list[float]] = {subject.label: [] for subject in subjects}

    def work(subject: Transfers) -> None:
        for _ in range(SESSIONS):
            transfer(subject.tcp_port, "GET", 0)

    for number in range(rounds + 1):
        for subject in subjects:
            seconds, _ = _cost(subject, work)
            if number:
                costs[subject.label].append(seconds / SESSIONS * 1e6)
    mine, other = (statistics.median(costs[subject.label]) for subject in subjects)
    return Figure(
        "tcp-session", round(mine), "µs CPU", subjects[1].label, round(other), mine / other if other else None
    )
