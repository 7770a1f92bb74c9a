"""What the tests of the data plane share: a real NGINX with the rendered configuration, and values of the model.

Beside it stand backends in this process, clients that send bytes as they are, certificates, and waiting.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from backends import Reply, Request, Server, echo, port_of, refusing, servers
from clients import Answer, Client, ClosedError, H2Client, Seen, Stream, shown, trusting_context
from selfsigned import self_signed, serial_of
from tidegate.apply.frames import Transaction, encode
from tidegate.apply.nginx import probe
from tidegate.apply.records import DEFAULT_BACKEND
from tidegate.model import Backend, Certificate, Endpoint, Globals, Host, Labels, Match, Policy, Route
from tidegate.render.configuration import Configuration
from tidegate.render.runtime import MIB, Capacity, MetricSettings, NginxFeatures, Runtime
from tidegate.render.template import render, template_folder
from waiting import LIMIT, until

# the one door for tests, whichever module a name comes from
__all__ = [
    "DEFAULT_POLICY",
    "LABELS",
    "LIMIT",
    "PROJECT",
    "Answer",
    "Client",
    "ClosedError",
    "H2Client",
    "Nginx",
    "NoTrixieError",
    "Plane",
    "Reply",
    "Request",
    "Seen",
    "Server",
    "Setup",
    "Stream",
    "backend",
    "basic",
    "echo",
    "h2_client",
    "host",
    "policy",
    "port_of",
    "refusing",
    "reserve_port",
    "route",
    "running",
    "self_signed",
    "serial_of",
    "servers",
    "shown",
    "system_nginx",
    "trixie_nginx",
    "trusting_context",
    "until",
    "values_of",
]

PROJECT = Path(__file__).parent.parent.parent

DEFAULT_POLICY = Policy(
    body_limit=100_000,
    buffering=False,
    request_buffering=True,
    buffers_number=4,
    buffer_size=4096,
    busy_buffers_size=0,
    max_temp_file_size=1024 * MIB,
    client_body_buffer_size=8192,
    http_version="1.1",
    next_upstream=("error", "timeout"),
    next_upstream_timeout=0,
)


def policy(**changes: Any) -> Policy:
    """The default policy with some fields changed."""
    return msgspec.structs.replace(DEFAULT_POLICY, **changes)


# -- model values ------------------------------------------------------------------------------------------------------


LABELS = Labels("ns", "the-ingress", "the-service", "http", "/")
"""Those of a route of which each says what it is."""


def route(path: str = "/", backend: str = "", match: Match = Match.PREFIX, **more: Any) -> Route:
    """A route with labels of its own path."""
    labels = more.pop("labels", Labels("ns", "ingress", "service", "80", path))
    return Route(match, path, labels, backend=backend, **more)


def host(name: str, *routes: Route, **more: Any) -> Host:
    """A host with its routes in the given order."""
    return Host(name, tuple(routes), **more)


def values_of(*items: Host | Backend | Certificate) -> dict[str, bytes | None]:
    """The records of model values, by key."""
    found: dict[str, bytes | None] = {}
    for item in items:
        kind, name = (
            ("b", item.id) if isinstance(item, Backend) else ("h" if isinstance(item, Host) else "c", item.name)
        )
        found[f"{kind}:{name}"] = msgspec.json.encode(item)
    return found


def backend(name: str, *endpoints: Server | Endpoint, **more: Any) -> Backend:
    """A backend of these endpoints."""
    found = tuple(one.endpoint if isinstance(one, Server) else one for one in endpoints)
    return Backend(name, found, **more)


def basic(text: str) -> dict[str, str]:
    """The header of a login, `user:password`."""
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


# -- NGINX -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Nginx:
    """One NGINX program."""

    binary: str
    features: NginxFeatures


class NoTrixieError(Exception):
    """The second NGINX cannot be had here."""


@functools.lru_cache
def system_nginx() -> Nginx:
    """The NGINX of this machine."""
    return Nginx("nginx", asyncio.run(probe("nginx")))


@functools.lru_cache
def trixie_nginx() -> Nginx:
    """The NGINX of Debian 13, from a root file system that is made when it is not there."""
    made = subprocess.run([PROJECT / "scripts/trixie-rootfs.sh"], capture_output=True, text=True)
    if made.returncode:
        raise NoTrixieError(made.stderr.strip()[-300:])
    binary = str(PROJECT / "scripts/nginx-trixie")
    return Nginx(binary, asyncio.run(probe(binary)))


def reserve_port() -> socket.socket:
    """A port held by a socket that does not listen; NGINX, which listens with `reuseport`, may use it."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    return held


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("dataplane", timeout=LIMIT)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT)
        self.sock.connect(self._path)


@dataclass
class Setup:
    """What a plane is started with."""

    policies: Sequence[Policy] = ()
    settings: Globals = field(default_factory=lambda: Globals(default_policy=DEFAULT_POLICY, workers=1))
    capacity: Capacity = field(default_factory=lambda: Capacity(data=8 * MIB, metrics=2 * MIB))
    metrics: MetricSettings = field(default_factory=MetricSettings)
    lua_dir: str = str(template_folder() / "lua")


class Plane:
    """One NGINX in a run directory of its own, and the pushes to it."""

    def __init__(self, nginx: Nginx, setup: Setup) -> None:
        self.nginx, self.setup = nginx, setup
        self.run = Path(tempfile.mkdtemp(dir="/tmp", prefix="tgd"))
        self._held = [reserve_port(), reserve_port()]
        self.port, self.tls_port = map(port_of, self._held)
        self.generation = 0
        self.version = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._prepare()

    def _prepare(self) -> None:
        for name in ("conf", "logs", "tmp", "tls", "state", "users"):
            (self.run / name).mkdir()
        certificate = self_signed("default.invalid")
        (self.run / "tls/default.pem").write_text(certificate.chain + certificate.key)
        if os.geteuid() == 0:
            owner = pwd.getpwnam("www-data")
            for path in (self.run, self.run / "tmp"):
                os.chown(path, owner.pw_uid, owner.pw_gid)

    def configure(self) -> None:
        """Writes nginx.conf for the next generation."""
        setup = self.setup
        self.generation += 1
        runtime = Runtime(
            run_dir=str(self.run),
            lua_dir=setup.lua_dir,
            features=self.nginx.features,
            http_addresses=(f"127.0.0.1:{self.port}",),
            https_addresses=(f"127.0.0.1:{self.tls_port}",),
            workers=1,
            user="www-data" if os.geteuid() == 0 else "",
            metrics=setup.metrics,
        )
        policies = {one.digest: one for one in setup.policies}
        configuration = Configuration(self.generation, setup.settings, policies, runtime, setup.capacity)
        (self.run / "conf/nginx.conf").write_text(render(configuration))

    def start(self) -> None:
        """Starts NGINX and returns when all of its workers are up."""
        self.configure()
        self.launch()

    def launch(self) -> None:
        """Starts NGINX with the configuration that is there."""
        for name in ("push.sock", "default.sock", "http2.sock"):
            (self.run / name).unlink(missing_ok=True)
        log = (self.run / "logs/start.log").open("wb")
        self._process = subprocess.Popen(
            [self.nginx.binary, "-c", self.run / "conf/nginx.conf", "-e", self.run / "logs/error.log"],
            stdout=log,
            stderr=log,
        )
        log.close()
        until(self._up)

    def _up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"NGINX ended: {(self.run / 'logs/start.log').read_text()} {self.errors()}")
        status = self.status()
        return (
            bool(status)
            and status["generation"] == self.generation
            and (len(status["workers"]) == status["worker_count"])
        )

    def signal(self, number: int) -> None:
        """Sends a signal to the master."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Ends NGINX at once."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.terminate()
            self._process.wait(LIMIT)
            self._process = None

    def close(self) -> None:
        self.stop()
        for held in self._held:
            held.close()
        shutil.rmtree(self.run, ignore_errors=True)

    def reload(self, **changes: Any) -> None:
        """Loads a changed set-up; returns when the new workers are up and the old ones take no new connections."""
        old = list((self.status() or {})["workers"].values())
        self.setup = replace(self.setup, **changes)
        self.configure()
        self.signal(signal.SIGHUP)
        until(self._up)
        until(lambda: all(_leaves(pid) for pid in old))

    def errors(self) -> str:
        """NGINX's error log."""
        try:
            return (self.run / "logs/error.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    # -- its own API -----------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = _UnixConnection(self.run / "push.sock")
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def status(self) -> dict[str, Any] | None:
        """What `/status` says, or None while nobody answers."""
        try:
            _, body = self.call("GET", "/status")
        except (OSError, http.client.HTTPException):
            return None
        return dict(json.loads(body))

    def try_push(self, operations: dict[str, bytes | None], version: int | None = None) -> tuple[int, dict[str, Any]]:
        """Pushes one transaction; status and answer."""
        number = self.version + 1 if version is None else version
        status, body = self.call("POST", "/push", encode(Transaction(number, operations)))
        if status == 200:
            self.version = number
        return status, json.loads(body)

    def push(self, operations: dict[str, bytes | None]) -> dict[str, Any]:
        """Pushes one transaction that must be accepted."""
        status, answer = self.try_push(operations)
        assert status == 200, answer
        return answer

    def put(self, *items: Host | Backend | Certificate) -> None:
        """Pushes model values in one transaction: backends first."""
        self.push(values_of(*sorted(items, key=lambda item: isinstance(item, Host))))

    def delete(self, *keys: str) -> None:
        self.push(dict.fromkeys(keys))

    def put_default(self) -> None:
        """The built-in default backend (404), which every real state has."""
        backend = Backend("_default", (Endpoint(f"unix:{self.run}/default.sock", 0),))
        self.push({DEFAULT_BACKEND: msgspec.json.encode(backend)})

    # -- requests --------------------------------------------------------------------------------------------------

    def client(self) -> Client:
        """A plain connection."""
        return Client(socket.create_connection(("127.0.0.1", self.port), LIMIT))

    def tls_client(self, name: str | None, context: ssl.SSLContext | None = None) -> Client:
        """A TLS connection that asks for a name."""
        context = context or trusting_context()
        raw = socket.create_connection(("127.0.0.1", self.tls_port), LIMIT)
        return Client(context.wrap_socket(raw, server_hostname=name))

    def ask(self, name: str, target: str = "/", method: str = "GET", **more: Any) -> Answer:
        """One request on a connection of its own."""
        with self.client() as client:
            return client.ask(name, target, method, **more)


def _leaves(pid: int) -> bool:
    """Whether a worker is gone or takes no new connections."""
    try:
        return b"shutting down" in Path(f"/proc/{pid}/cmdline").read_bytes() or not Path(f"/proc/{pid}/exe").exists()
    except (FileNotFoundError, ProcessLookupError):
        return True


@contextlib.contextmanager
def running(nginx: Nginx, *, default: bool = True, **setup: Any) -> Iterator[Plane]:
    """A started plane; its error log must have no alert and no Lua error at the end."""
    plane = Plane(nginx, Setup(**setup))
    try:
        plane.start()
        if default:
            plane.put_default()
        yield plane
        log = plane.errors()
        assert not re.search(r"\[(alert|emerg|crit)\]|lua entry thread aborted|runtime error|failed to run", log), log
    finally:
        plane.close()


def h2_client(plane: Plane, name: str) -> H2Client:
    context = trusting_context()
    context.set_alpn_protocols(["h2"])
    raw = socket.create_connection(("127.0.0.1", plane.tls_port), LIMIT)
    sock = context.wrap_socket(raw, server_hostname=name)
    assert sock.selected_alpn_protocol() == "h2"
    return H2Client(sock)
