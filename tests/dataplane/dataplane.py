"""What the tests of the data plane share: a real NGINX with the rendered configuration, backends in this process, and
clients that send bytes as they are. Nothing here sleeps for a fixed time: what is waited for is asked for again.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
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
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from h2.connection import ConnectionInputs, ConnectionState
from tidegate.apply.frames import Transaction, encode
from tidegate.apply.nginx import probe
from tidegate.apply.records import DEFAULT_BACKEND
from tidegate.model import Backend, Certificate, Endpoint, Globals, Host, KeyPair, Labels, Match, Policy, Route
from tidegate.render.configuration import Configuration
from tidegate.render.runtime import MIB, Capacity, MetricSettings, NginxFeatures, Runtime
from tidegate.render.template import render, template_folder

PROJECT = Path(__file__).parent.parent.parent
LIMIT = 20.0  # seconds after which something that is waited for will not come

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


def until(what: Callable[[], Any], limit: float = LIMIT, why: str = "") -> Any:
    """Asks again until the answer is true."""
    deadline = time.monotonic() + limit
    while True:
        answer = what()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"still {answer!r} after {limit} s {why}")
        time.sleep(0.004)


# -- model values ------------------------------------------------------------------------------------------------------


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


def port_of(held: socket.socket) -> int:
    return int(held.getsockname()[1])


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


# -- clients -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """One response; header names as they came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of that name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def seen(self) -> Seen:
        """What the echo backend that answered has seen."""
        return Seen(**self.json)


@dataclass(frozen=True)
class Seen:
    """A request as an echo backend saw it."""

    backend: str
    connection: int
    method: str
    target: str
    version: str
    headers: list[list[str]]
    body: str
    length: int

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        found = self.all(name)
        assert len(found) < 2, f"{name} came {len(found)} times: {found}"
        return found[0] if found else None


class ClosedError(EOFError):
    """The other side closed the connection in the midst of something."""


class Stream:
    """A socket with a buffer for reading."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ClosedError
        self._buffer += data

    def line(self) -> bytes:
        while b"\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def rest(self) -> bytes:
        with contextlib.suppress(ClosedError):
            while True:
                self._more()
        data, self._buffer = self._buffer, b""
        return data

    def fields(self) -> tuple[tuple[str, str], ...]:
        found = []
        while line := self.line():
            name, _, value = line.partition(b":")
            found.append((name.decode("latin-1"), value.strip().decode("latin-1")))
        return tuple(found)

    def chunk(self) -> bytes:
        """One chunk of a chunked body; empty at its end."""
        size = int(self.line().split(b";")[0], 16)
        data = self.exactly(size)
        if size:
            self.line()
        else:
            self.fields()
        return data

    def chunks(self) -> bytes:
        found = b""
        while data := self.chunk():
            found += data
        return found


class Client(Stream):
    """A connection to NGINX."""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def head(self) -> Answer:
        """The status and headers of the next response; its body is still to be read."""
        status = int(self.line().split()[1])
        return Answer(status, self.fields(), b"")

    def answer(self, method: str = "GET") -> Answer:
        """The next response."""
        head = self.head()
        if method == "HEAD" or head.status in (204, 304):
            return head
        length = head.header("Content-Length")
        if head.header("Transfer-Encoding") == "chunked":
            body = self.chunks()
        elif length is not None:
            body = self.exactly(int(length))
        else:
            body = self.rest()
        return replace(head, body=body)

    def ask(
        self,
        name: str,
        target: str = "/",
        method: str = "GET",
        headers: dict[str, str] | Sequence[tuple[str, str]] = (),
        body: bytes | Iterable[bytes] | None = None,
    ) -> Answer:
        """One request; an iterable body is sent chunked. A server that answers early is listened to."""
        rows = [("Host", name), *(headers.items() if isinstance(headers, dict) else headers)]
        if isinstance(body, bytes):
            rows.append(("Content-Length", str(len(body))))
        elif body is not None:
            rows.append(("Transfer-Encoding", "chunked"))
        text = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{key}: {value}\r\n" for key, value in rows) + "\r\n"
        self.send(text.encode("latin-1"))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if isinstance(body, bytes):
                self.send(body)
            elif body is not None:
                for part in body:
                    self.send(b"%x\r\n%b\r\n" % (len(part), part))
                self.send(b"0\r\n\r\n")
        return self.answer(method)


class H2Client:
    """A small HTTP/2 client."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        # a server that leaves says so and still answers what it was asked; the library would hear no more of it
        machine = self.connection.state_machine
        stays = {(ConnectionState.CLIENT_OPEN, ConnectionInputs.RECV_GOAWAY): (None, ConnectionState.CLIENT_OPEN)}
        machine._transitions = {**machine._transitions, **stays}
        self.connection.initiate_connection()
        self.answers: dict[int, Answer] = {}
        self.ended: set[int] = set()
        self.goaway = False
        self._flush()

    def __enter__(self) -> H2Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def _flush(self) -> None:
        self.sock.sendall(self.connection.data_to_send())

    def request(self, name: str, path: str, method: str = "GET", *, end: bool = True, scheme: str = "https") -> int:
        """Begins a stream; its number."""
        stream = self.connection.get_next_available_stream_id()
        rows = [(":method", method), (":scheme", scheme), (":authority", name), (":path", path)]
        self.connection.send_headers(stream, rows, end_stream=end)
        self._flush()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool) -> None:
        self.connection.send_data(stream, data, end_stream=end)
        self._flush()

    def pump(self) -> None:
        """Takes in what the server has sent."""
        data = self.sock.recv(65536)
        if not data:
            raise ClosedError
        for event in self.connection.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                rows = tuple((str(name), str(value)) for name, value in event.headers)
                self.answers[event.stream_id] = Answer(int(dict(rows)[":status"]), rows, b"")
            elif isinstance(event, h2.events.DataReceived):
                former = self.answers[event.stream_id]
                self.answers[event.stream_id] = replace(former, body=former.body + event.data)
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                self.ended.add(event.stream_id)
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.goaway = True
        self._flush()

    def answer(self, stream: int) -> Answer:
        while stream not in self.ended:
            self.pump()
        return self.answers[stream]

    def ask(self, name: str, path: str = "/", method: str = "GET", body: bytes | None = None) -> Answer:
        stream = self.request(name, path, method, end=body is None)
        if body is not None:
            self.send(stream, body, end=True)
        return self.answer(stream)


def h2_client(plane: Plane, name: str) -> H2Client:
    context = trusting_context()
    context.set_alpn_protocols(["h2"])
    raw = socket.create_connection(("127.0.0.1", plane.tls_port), LIMIT)
    sock = context.wrap_socket(raw, server_hostname=name)
    assert sock.selected_alpn_protocol() == "h2"
    return H2Client(sock)


# -- backends ----------------------------------------------------------------------------------------------------------


@dataclass
class Reply:
    """What a backend answers; a body that is no bytes is sent chunk by chunk as it comes."""

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | Iterable[bytes] = b""


@dataclass
class Request:
    """A request that a backend is asked."""

    backend: str
    connection: int
    stream: Stream
    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    _body: bytes | None = field(default=None, repr=False)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def body(self) -> bytes:
        """All of the body; read when first asked for."""
        if self._body is None:
            if self.header("Transfer-Encoding") == "chunked":
                self._body = self.stream.chunks()
            else:
                self._body = self.stream.exactly(int(self.header("Content-Length") or 0))
        return self._body


def echo(request: Request) -> Reply:
    """Answers with what was asked."""
    seen = {
        "backend": request.backend,
        "connection": request.connection,
        "method": request.method,
        "target": request.target,
        "version": request.version,
        "headers": [list(row) for row in request.headers],
        "body": request.body[:1000].decode("latin-1"),
        "length": len(request.body),
    }
    return Reply(body=json.dumps(seen).encode())


class Server:
    """A backend on a port of its own; each connection has a thread."""

    def __init__(
        self,
        name: str = "echo",
        handler: Callable[[Request], Reply | None] = echo,
        context: ssl.SSLContext | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self.name, self.handler = name, handler
        self.requests: list[Request] = []
        self.connections = 0
        self._context = context
        self._listener = listener or socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = port_of(self._listener)
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self._listener.getsockname()[0], self.port)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        self._open.add(sock)
        with contextlib.suppress(ClosedError, OSError, ValueError):
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            stream = Stream(sock)
            while self._one(stream, number):
                pass
        sock.close()
        self._open.discard(sock)

    def _one(self, stream: Stream, number: int) -> bool:
        method, target, version = stream.line().decode("latin-1").split(" ")
        request = Request(self.name, number, stream, method, target, version, stream.fields())
        self.requests.append(request)
        reply = self.handler(request)
        if reply is None:  # the handler has done everything itself
            return False
        rows = list(reply.headers)
        whole = reply.body if isinstance(reply.body, bytes) else None
        rows.append(("Transfer-Encoding", "chunked") if whole is None else ("Content-Length", str(len(whole))))
        text = f"HTTP/1.1 {reply.status} Some\r\n" + "".join(f"{key}: {value}\r\n" for key, value in rows) + "\r\n"
        if whole is not None:
            stream.sock.sendall(text.encode("latin-1") + whole)
        else:
            stream.sock.sendall(text.encode("latin-1"))
            for part in reply.body:
                assert isinstance(part, bytes)
                stream.sock.sendall(b"%x\r\n%b\r\n" % (len(part), part))
            stream.sock.sendall(b"0\r\n\r\n")
        _ = request.body
        return True

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def servers(*names: str, handler: Callable[[Request], Reply | None] = echo) -> Iterator[list[Server]]:
    """Several backends."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Server(name, handler)) for name in names]


@contextlib.contextmanager
def refusing() -> Iterator[Endpoint]:
    """An endpoint that refuses connections."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield Endpoint("127.0.0.1", port_of(held))


def backend(name: str, *endpoints: Server | Endpoint, **more: Any) -> Backend:
    """A backend of these endpoints."""
    found = tuple(one.endpoint if isinstance(one, Server) else one for one in endpoints)
    return Backend(name, found, **more)


# -- certificates ------------------------------------------------------------------------------------------------------


def trusting_context() -> ssl.SSLContext:
    """A client that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_RSA_KEY = functools.lru_cache(lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048))


def self_signed(name: str, kind: str = "ec") -> KeyPair:
    """A certificate for one name; RSA ones share a key, which takes long to make."""
    key = _RSA_KEY() if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return KeyPair(certificate.public_bytes(pem).decode(), private.decode())


def serial_of(pair: KeyPair) -> int:
    return x509.load_pem_x509_certificate(pair.chain.encode()).serial_number


def shown(client: Client | H2Client) -> x509.Certificate:
    """The certificate that the server showed."""
    assert isinstance(client.sock, ssl.SSLSocket)
    raw = client.sock.getpeercert(binary_form=True)
    assert raw is not None
    return x509.load_der_x509_certificate(raw)
