"""What the tests of `tidegate up` share: the command on a folder of its own, manifests, requests.

Nothing here sleeps for a fixed time: changes are awaited by revision, everything else is asked for again.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from claims import free_ports
from dataplane import Server, until
from tidegate.agent.orphans import Finder, NginxProcess, Role, is_alive
from tidegate.model import KeyPair

TIDEGATE = Path(sys.executable).with_name("tidegate")
START = 60.0
PREFIX = "nginx.ingress.kubernetes.io/"
Manifest = dict[str, Any]


def tidegate(
    *arguments: str | Path, stdin: str = "", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command, to its end."""
    return subprocess.run(
        [TIDEGATE, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=START,
        env={**os.environ, **(env or {})},
    )


# -- manifests ---------------------------------------------------------------------------------------------------------


def service(name: str, *ports: int, namespace: str = "default") -> list[Manifest]:
    """A Service with port 80 and, one slice for each, endpoints on this machine."""
    meta = {"name": name, "namespace": namespace}
    found: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"name": "http", "port": 80}]}}
    ]
    for port in ports:
        labels = {"kubernetes.io/service-name": name}
        found.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": f"{name}-{port}", "namespace": namespace, "labels": labels},
                "addressType": "IPv4",
                "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
                "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
            }
        )
    return found


def ingress(
    name: str,
    host: str,
    path: str = "/",
    backend: str = "echo",
    namespace: str = "default",
    tls: str | None = None,
    **annotations: str,
) -> Manifest:
    """An Ingress with one path; `limit_rps="5"` becomes the annotation `nginx.ingress.kubernetes.io/limit-rps`."""
    rows = {PREFIX + key.replace("_", "-"): value for key, value in annotations.items()}
    rule = {"path": path, "pathType": "Prefix", "backend": {"service": {"name": backend, "port": {"number": 80}}}}
    spec: dict[str, Any] = {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": [rule]}}]}
    if tls is not None:
        spec["tls"] = [{"hosts": [host], "secretName": tls}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace, "annotations": rows},
        "spec": spec,
    }


def tls_secret(name: str, pair: KeyPair) -> Manifest:
    """A Secret with a certificate and its key."""
    data = {"tls.crt": pair.chain, "tls.key": pair.key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": "default"},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def configmap(**data: str) -> Manifest:
    """The global settings; pass `--configmap default/settings`."""
    values = {key.replace("_", "-"): value for key, value in data.items()}
    meta = {"name": "settings", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": values}


def flat(*manifests: Manifest | list[Manifest]) -> list[Manifest]:
    return [one for item in manifests for one in (item if isinstance(item, list) else [item])]


# -- the command -------------------------------------------------------------------------------------------------------


class Up:
    """`tidegate up` on a folder of its own; started and stopped as often as a test likes."""

    address = "127.0.0.1"

    def __init__(self, *flags: str, workers: int = 2, binary: str | Path = "nginx") -> None:
        self.base = Path(tempfile.mkdtemp(prefix="tgu", dir="/tmp"))
        self.base.chmod(0o755)
        self.folder, self.run, self.log = self.base / "m", self.base / "r", self.base / "log"
        self.folder.mkdir()
        self.http, self.https, self.admin = free_ports(3)
        self.flags = flags
        self.workers, self.binary = workers, binary
        self.process: subprocess.Popen[bytes] | None = None
        self.before: list[str] = []  # such as setpriv
        self.program = [str(TIDEGATE)]
        self.env: dict[str, str] = {}

    def command(self, *more: str) -> list[str]:
        ports = {"--http-port": self.http, "--https-port": self.https, "--healthz-port": self.admin}
        flags = [str(item) for row in ports.items() for item in row]
        flags += ["--run-dir", str(self.run), "--nginx-binary", str(self.binary), "--workers", str(self.workers)]
        return [*self.before, *self.program, "up", str(self.folder), *flags, *self.flags, *more]

    def spawn(self, *more: str) -> None:
        """Starts it and returns at once."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command(*more),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.env},
            )

    def start(self, *manifests: Manifest | list[Manifest]) -> Up:
        """Starts it with these manifests and returns when it is ready."""
        if manifests:
            self.write("start", *manifests)
        self.spawn()
        self.wait_ready()
        return self

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.said()}"
            try:
                return self.ask_admin("/readyz")[0] == 200
            except OSError:
                return False

        until(ready, START, self.said())

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill(self) -> None:
        """SIGKILL of the control plane: agent and NGINX go on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(START)

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.run.exists() and (self.nginx() or (self.run / "agent.sock").exists()):
            tidegate("up", "--stop", "--run-dir", self.run)
        for one in self.nginx():
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)
        shutil.rmtree(self.base, ignore_errors=True)

    def __enter__(self) -> Up:
        return self

    def __exit__(self, *_: object) -> None:
        print(self.said()[-4000:])  # pytest shows it where a test fails
        for name in ("agent.log", "error.log"):
            path = self.run / "logs" / name
            print(name, path.read_text(errors="replace")[-2000:] if path.exists() else "is not there")
        self.close()

    # -- manifests -----------------------------------------------------------------------------------------------------

    def write(self, name: str, *manifests: Manifest | list[Manifest] | str) -> None:
        """Writes a file at once; a text is written as it is."""
        text = "---\n".join(
            item if isinstance(item, str) else "---\n".join(yaml.safe_dump(one) for one in flat(item))
            for item in manifests
        )
        new = self.folder / f".{name}.new"
        new.write_text(text)
        new.rename(self.folder / f"{name}.yaml")

    def write_json(self, name: str, manifests: list[Manifest]) -> None:
        """Writes many objects, which are read faster so."""
        new = self.folder / f".{name}.new"
        new.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))
        new.rename(self.folder / f"{name}.json")

    def apply(self, name: str, *manifests: Manifest | list[Manifest] | str) -> dict[str, Any]:
        """Writes a file that changes something, and returns the status when that is in force."""
        wanted = self.status()["revision"]["wanted"]
        self.write(name, *manifests)
        return self.wait(wanted + 1)

    def delete(self, name: str) -> dict[str, Any]:
        wanted = self.status()["revision"]["wanted"]
        (self.folder / f"{name}.yaml").unlink()
        return self.wait(wanted + 1)

    # -- the admin port ------------------------------------------------------------------------------------------------

    def ask_admin(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=70)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def api(self, path: str) -> Any:
        status, body = self.ask_admin(f"/api/v1/{path}")
        assert status == 200, (status, body)
        return json.loads(body)

    def status(self) -> dict[str, Any]:
        return dict(self.api("status"))

    def wait(self, revision: int, timeout: float = 30) -> dict[str, Any]:
        return dict(self.api(f"status?wait={revision}&timeout={timeout}"))

    def ingress(self, name: str) -> dict[str, Any]:
        """What the API says about one Ingress."""
        return dict(next(row for row in self.api("ingresses") if row["name"] == name))

    def samples(self) -> list[tuple[str, dict[str, str], float]]:
        """What `/metrics` says: name, labels, value."""
        from prometheus_client.parser import text_string_to_metric_families

        status, body = self.ask_admin("/metrics")
        assert status == 200, body
        text = body.decode()
        bare = set(re.findall(r"^# TYPE (\w+(?<!_total)) counter$", text, re.MULTILINE))
        found = [one for family in text_string_to_metric_families(text) for one in family.samples]
        # the parser gives every counter the suffix, also those that have none in the text
        names = [one.name.removesuffix("_total") for one in found]
        return [
            (name if name in bare else one.name, one.labels, one.value) for name, one in zip(names, found, strict=True)
        ]

    # -- requests ------------------------------------------------------------------------------------------------------

    def get(
        self, host: str, path: str = "/", headers: dict[str, str] | None = None, method: str = "GET"
    ) -> tuple[int, str]:
        """Status and body, on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=20)
        try:
            connection.request(method, path, headers={"Host": host, "Connection": "close", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def backend_of(self, host: str, path: str = "/") -> str:
        """Which echo backend answers; the status where none does."""
        status, body = self.get(host, path)
        return str(json.loads(body)["backend"]) if status == 200 else str(status)

    def configuration(self) -> str:
        """What NGINX reads, as it understands it (`nginx -T`)."""
        command = [self.binary, "-T", "-e", "stderr", "-c", self.run / "conf" / "nginx.conf"]
        env = {**os.environ, "TIDEGATE_RUN_DIR": str(self.run)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=START, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    # -- processes -----------------------------------------------------------------------------------------------------

    def nginx(self) -> list[NginxProcess]:
        """Its NGINX processes."""
        run = Path(os.path.realpath(self.run))
        return Finder(run, run / "conf" / "nginx.conf", "nginx").ours()

    def master(self) -> int:
        """The first of those with its title: a worker that has just been forked has it, too."""
        found = {one.pid: one.ppid for one in self.nginx() if one.role is Role.MASTER}
        return next(pid for pid, parent in found.items() if parent not in found)

    def worker_pids(self) -> set[int]:
        """Those that have their title and are not about to end."""
        return {one.pid for one in self.nginx() if one.role is Role.WORKER and not one.shutting_down}

    def all_workers(self) -> set[int]:
        """`worker_pids`, once there are as many as there should be."""
        found: set[int] = set()
        until(lambda: found.clear() or found.update(self.worker_pids()) or len(found) == self.workers)
        return found

    def agent(self) -> int:
        return int(until(lambda: (self.run / "agent.lock").read_text().strip()))

    def nothing_left(self) -> bool:
        """No process and no socket."""
        lock = (self.run / "agent.lock").read_text().strip()
        alive = bool(lock) and is_alive(int(lock))
        return not self.nginx() and not alive and not [path for path in self.run.iterdir() if path.is_socket()]


@contextlib.contextmanager
def running(
    *flags: str, manifests: Callable[[int], list[Manifest]] | None = None, **more: Any
) -> Iterator[tuple[Up, Server]]:
    """A started `up` with an echo backend, which is the Service `echo`."""
    with Server("echo") as server, Up(*flags, **more) as up:
        found = manifests(server.port) if manifests else []
        yield up.start(service("echo", server.port), found), server
