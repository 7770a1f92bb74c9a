"""One real `tidegate up` on a folder, with a backend in this process and a client that asks and asks."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from claims import free_ports

TIDEGATE = Path(sys.executable).with_name("tidegate")
LIMIT = 60.0  # seconds after which something that is waited for will not come

BASE = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: innocent, namespace: innocent}
spec:
  rules:
    - host: innocent.test
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: echo, port: {number: 80}}}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: login
  namespace: innocent
  annotations:
    nginx.ingress.kubernetes.io/auth-type: basic
    nginx.ingress.kubernetes.io/auth-secret: users
spec:
  rules:
    - host: innocent.test
      http: {paths: [{path: /login, pathType: Prefix, backend: {service: {name: echo, port: {number: 80}}}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: list
  namespace: innocent
  annotations: {nginx.ingress.kubernetes.io/whitelist-source-range: 192.0.2.1}
spec:
  rules:
    - host: innocent.test
      http: {paths: [{path: /list, pathType: Prefix, backend: {service: {name: echo, port: {number: 80}}}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: users, namespace: innocent}
stringData: {auth: "joe:{PLAIN}secret\\n"}
"""
BACKEND = """\
---
apiVersion: v1
kind: Secret
metadata: {{name: users, namespace: {namespace}}}
stringData: {{auth: "joe:{{PLAIN}}secret\\n"}}
---
apiVersion: v1
kind: Service
metadata: {{name: echo, namespace: {namespace}}}
spec: {{ports: [{{port: 80, targetPort: {port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: echo-good, namespace: {namespace}, labels: {{kubernetes.io/service-name: echo}}}}
addressType: IPv4
ports: [{{port: {port}}}]
endpoints: [{{addresses: [127.0.0.1]}}]
"""


def until(what: Callable[[], Any], why: str, limit: float = LIMIT) -> Any:
    """Asks again until the answer is true."""
    deadline = time.monotonic() + limit
    while not (answer := what()):
        assert time.monotonic() < deadline, f"{why}: not within {limit} s"
        time.sleep(0.01)
    return answer


@dataclass(frozen=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float


class _Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps(self.headers.items()).encode()
        self.send_response(404 if self.path.startswith("/missing") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Up:
    """`tidegate up` and what it serves."""

    def __init__(self, *, configmap: str = "") -> None:
        self.root = Path(tempfile.mkdtemp(dir="/tmp", prefix="tgh"))
        self.root.chmod(0o755)
        self.folder, self.run = self.root / "m", self.root / "r"
        self.folder.mkdir()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Backend)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.port, self.tls_port, self.admin_port = free_ports(3)
        backends = "".join(
            BACKEND.format(namespace=namespace, port=self._server.server_port) for namespace in ("hostile", "calm")
        )
        innocent = BACKEND.format(namespace="innocent", port=self._server.server_port).split("---\n", 2)[2]
        self.put("0-base.yaml", f"{BASE}---\n{innocent}{backends}")
        if configmap:
            self.put("0-config.yaml", configmap)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.root / "out").open("wb") as out:
            self._process = subprocess.Popen(
                [
                    *(TIDEGATE, "up", self.folder, "--run-dir", self.run, "--configmap", "hostile/config"),
                    *("--http-port", str(self.port), "--https-port", str(self.tls_port)),
                    *("--healthz-port", str(self.admin_port), "--workers", "2"),
                ],
                stdout=out,
                stderr=out,
            )
        until(self._is_ready, "tidegate up is ready")

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.output()
        try:
            return bool(self.admin("/readyz", raw=True).strip() == b"ok")
        except OSError:
            return False

    def close(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        subprocess.run([TIDEGATE, "up", "--stop", "--run-dir", self.run], capture_output=True, timeout=30, check=False)
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self.root, ignore_errors=True)

    def output(self) -> str:
        return (self.root / "out").read_text(errors="replace")

    def errors(self) -> str:
        return (self.run / "logs/error.log").read_text(errors="replace")

    # -- the folder ------------------------------------------------------------------------------------------------

    def put(self, name: str, text: str | bytes) -> None:
        """A file, whole at once."""
        new = self.folder / f"{name}.new"
        new.write_bytes(text.encode() if isinstance(text, str) else text)
        new.rename(self.folder / name)

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()

    # -- the admin port ----------------------------------------------------------------------------------------------

    def admin(self, path: str, *, raw: bool = False) -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=LIMIT) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            body = error.read()
        return body if raw else json.loads(body)

    def findings(self) -> list[dict[str, Any]]:
        return list(self.admin("/api/v1/findings"))

    def settle(self) -> None:
        """Returns when all that is wanted runs, and the folder has been looked at in vain."""

        def settled() -> bool:
            before = self.admin("/api/v1/status")
            time.sleep(0.3)
            after = self.admin("/api/v1/status")
            same = before["revision"] == after["revision"]
            return bool(same and after["revision"]["wanted"] == after["revision"]["running"])

        until(settled, "everything that is wanted runs")

    # -- requests ----------------------------------------------------------------------------------------------------

    def ask(self, host: str, path: str, headers: dict[str, str] | None = None, limit: float = 20.0) -> Answer:
        started = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit)
        try:
            connection.request("GET", path, headers={"Host": host, **(headers or {})})
            answer = connection.getresponse()
            body = answer.read()
            return Answer(answer.status, tuple(answer.getheaders()), body, time.monotonic() - started)
        finally:
            connection.close()


@dataclass
class Visitor:
    """Somebody who uses the innocent routes all the time, on new connections."""

    up: Up
    requests: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def _visit(self, stop: threading.Event) -> None:
        routes = (("/", 200), ("/login", 401), ("/list", 403))
        while not stop.wait(0.003):
            path, wanted = routes[self.requests % len(routes)]
            try:
                answer = self.up.ask("innocent.test", path)
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(f"{path}: {error!r} at {time.strftime('%H:%M:%S')}")
            else:
                self.slowest = max(self.slowest, answer.seconds)
                if answer.status != wanted:
                    self.wrong.append(f"{path}: {answer.status}")
            self.requests += 1

    @contextlib.contextmanager
    def visiting(self) -> Iterator[Visitor]:
        stop = threading.Event()
        thread = threading.Thread(target=self._visit, args=(stop,))
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()


@contextlib.contextmanager
def up(**more: str) -> Iterator[Up]:
    one = Up(**more)
    try:
        one.start()
        yield one
    except AssertionError:
        sys.stderr.write(one.output()[-3000:])
        raise
    finally:
        one.close()


def is_root() -> bool:
    return os.geteuid() == 0
