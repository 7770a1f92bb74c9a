"""What is measured: Tidegate, a static NGINX written for the same routes, HAProxy doing the same routing; and the
backends behind all of them. Each runs on 127.0.0.1 with one worker, in a folder of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import manifests
import procfs
from manifests import App

TIDEGATE = Path(sys.executable).with_name("tidegate")
OPEN = 0o755
WORKER_CONNECTIONS = 8192
KEPT = 320  # idle connections to backends, as in Tidegate's defaults


class BenchError(Exception):
    """Something answers wrongly or not at all: nothing can be measured."""


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder that NGINX's workers can reach."""
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as name:
        path = Path(name)
        path.chmod(OPEN)
        yield path


def get(
    port: int, host: str, path: str, address: str = "127.0.0.1", *, tls: bool = False, timeout: float = 10
) -> tuple[int, str]:
    """Status and body of one request on a connection of its own."""
    if tls:
        context = ssl._create_unverified_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            address, port, timeout=timeout, context=context
        )
    else:
        connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def wait_for(what: str, check: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if check():
                return
        if time.monotonic() > end:
            raise BenchError(f"{what} did not come up within {seconds:g} s")
        time.sleep(0.01)


def stop(process: subprocess.Popen[Any], seconds: float = 20) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Subject:
    """Something that serves the applications on `port` and, with TLS and HTTP/2, on `tls_port`."""

    label = ""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.port, self.tls_port = free_ports(2)
        self.process: subprocess.Popen[Any] | None = None

    def start(self, seconds: float = 120) -> float:
        """Seconds from the start of the process until it serves."""
        raise NotImplementedError

    def workers(self) -> list[int]:
        raise NotImplementedError

    def verify(self, apps: Sequence[App]) -> None:
        """Each path of these applications answers 200 from the right backend, and a wrong host does not."""
        for app in apps:
            for path in app.requests:
                for port, tls in ((self.port, False), (self.tls_port, True)):
                    status, body = get(port, app.host, path, tls=tls)
                    right = {f"{endpoint} {app.host} {path}\n" for endpoint in app.endpoints}
                    if status != 200 or body not in right:
                        raise BenchError(f"{self.label}: {app.host}{path} gave {status} {body!r}, expected {right}")
        status, _ = get(self.port, "nobody.bench.test", "/")
        if status != 404:
            raise BenchError(f"{self.label}: an unknown host gave {status}")

    def stop(self) -> None:
        if self.process is not None:
            stop(self.process)


# -- backends ---------------------------------------------------------------------------------------------------------


class Backends:
    """One NGINX process that answers on several ports: its port, the host and the URI that it was asked for.

    On `call_ports` it takes gRPC calls: HTTP/2 in clear text, the same answer with trailers.
    """

    def __init__(self, place: Path, count: int = 4) -> None:
        ports = free_ports(2 * count)
        self.ports, self.call_ports = tuple(ports[:count]), tuple(ports[count:])
        place.mkdir()
        text = f"""
daemon off; worker_processes 1; pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections {WORKER_CONNECTIONS}; }}
http {{
    access_log off; keepalive_requests 100000000; keepalive_timeout 3600s; server_tokens off; default_type text/plain;
    upstream answers {{ server 127.0.0.1:{self.ports[0]}; keepalive 64; keepalive_requests 100000000; }}
    server {{
        {" ".join(f"listen 127.0.0.1:{port};" for port in self.ports)}
        location / {{ return 200 "$server_port $host $request_uri\\n"; }}
    }}
    server {{
        {" ".join(f"listen 127.0.0.1:{port} http2;" for port in self.call_ports)}
        location / {{
            proxy_pass http://answers; # which waits for the message: `return` would not, and reset the stream
            proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
            proxy_hide_header Content-Type; add_header Content-Type application/grpc;
            add_trailer grpc-status 0;
        }}
    }}
}}
"""
        (place / "nginx.conf").write_text(text)
        self.process = subprocess.Popen(["nginx", "-c", str(place / "nginx.conf"), "-e", str(place / "error.log")])
        wait_for("the backends", lambda: get(self.ports[-1], "x", "/")[0] == 200)

    def stop(self) -> None:
        stop(self.process)


# -- Tidegate ---------------------------------------------------------------------------------------------------------


class Tidegate(Subject):
    """`tidegate up` on a folder of manifests."""

    label = "Tidegate"

    def __init__(
        self, place: Path, apps: Sequence[App], *, access_log: bool = False, arguments: tuple[str, ...] = ()
    ) -> None:
        super().__init__(place)
        place.mkdir()
        self.folder, self.run_dir = place / "manifests", place / "run"
        settings = {} if access_log else {"disable-access-log": "true"}
        manifests.write(self.folder, apps, settings)
        (self.admin_port,) = free_ports(1)
        self.command = [
            str(TIDEGATE), "up", str(self.folder), "--run-dir", str(self.run_dir), "--workers", "1",
            "--http-port", str(self.port), "--https-port", str(self.tls_port), "--healthz-port", str(self.admin_port),
            "--configmap", manifests.CONFIGMAP, *arguments,
        ]  # fmt: skip
        self.log = place / "up.log"

    def start(self, seconds: float = 120) -> float:
        """Seconds from the start of the process to readiness."""
        started = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        wait_for("Tidegate", self._ready, seconds)
        return time.monotonic() - started

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise BenchError(f"tidegate up ended: {self.log.read_text()[-500:]}")
        return get(self.admin_port, "127.0.0.1", "/readyz")[0] == 200

    def api(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=700) as answer:
            return json.load(answer)

    def status(self) -> Any:
        return self.api("/api/v1/status")

    def master(self) -> int:
        return int((self.run_dir / "nginx.pid").read_text())

    def workers(self) -> list[int]:
        return procfs.nginx_workers(self.master())

    def control_plane(self) -> list[int]:
        """The control plane and its agent, without NGINX."""
        assert self.process is not None
        pids = [self.process.pid, *procfs.descendants(self.process.pid)]
        return [pid for pid in pids if not procfs.title(pid).startswith("nginx:")]


# -- static NGINX -----------------------------------------------------------------------------------------------------

HEADERS = """
    proxy_set_header Host $http_host;
    proxy_set_header X-Request-ID $req_id;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Forwarded-Port $server_port;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Scheme $scheme;
    proxy_set_header X-Scheme $scheme;
    proxy_set_header X-Original-Forwarded-For $http_x_forwarded_for;
    proxy_set_header X-Original-Forwarded-Host $http_x_forwarded_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header Proxy "";
"""
CALL_HEADERS = "".join(
    line + "\n"
    for line in HEADERS.replace("proxy_set_header", "grpc_set_header").splitlines()
    if "Upgrade" not in line and "Connection" not in line
)
LOG_FORMAT = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
    '"$http_user_agent" $request_length $request_time [$upstream_name] [] $upstream_addr '
    "$upstream_response_length $upstream_response_time $upstream_status $req_id"
)
CIPHERS = ":".join(
    f"ECDHE-{key}-AES{bits}-GCM-SHA{digest}" for bits, digest in ((128, 256), (256, 384)) for key in ("ECDSA", "RSA")
)
KINDS = {"Prefix": "", "Exact": "= ", "regex": "~* "}


def location(path: str, kind: str) -> str:
    if kind == "ImplementationSpecific":
        return f'~* "^{path}"'
    return f'{KINDS[kind]}"{path}"'


class StaticNginx(Subject):
    """A server block for each host, a bare location for each path, the headers set once for all; an upstream block
    for each distinct set of endpoints, so that connections are kept as well as they can be."""

    label = "static NGINX"

    def __init__(self, place: Path, apps: Sequence[App], *, access_log: bool = False, certificate: Path) -> None:
        super().__init__(place)
        place.mkdir()
        self.access_log, self.certificate = access_log, certificate
        self.conf = place / "nginx.conf"
        self.write(apps)

    def write(self, apps: Sequence[App]) -> None:
        """Write the configuration anew, as a whole."""
        upstreams = "".join(_upstream(endpoints) for endpoints in sorted({app.endpoints for app in apps}))
        servers = "".join(self._server(app) for app in apps)
        temporary = self.conf.with_suffix(".new")
        temporary.write_text(self._text(upstreams, servers))
        temporary.rename(self.conf)

    def _listen(self, more: str = "") -> str:
        return f"listen 127.0.0.1:{self.port}{more}; listen 127.0.0.1:{self.tls_port} ssl http2{more};"

    def _server(self, app: App) -> str:
        upstream = _upstream_name(app.endpoints)
        name = f"set $upstream_name bench-{app.name}-80; " if self.access_log else ""
        lines = [f"    server {{\n        {self._listen()} server_name {app.host};"]
        goes = f"grpc_pass grpc://{upstream}" if app.takes_calls else f"proxy_pass http://{upstream}"
        lines += [f"        location {location(path, kind)} {{ {name}{goes}; }}" for path, kind in app.paths]
        return "\n".join(lines) + "\n    }\n"

    def _text(self, upstreams: str, servers: str) -> str:
        place = self.place
        log = (
            f"log_format bench '{LOG_FORMAT}';\n    access_log {place}/access.log bench;"
            if self.access_log
            else "access_log off;"
        )
        return f"""
daemon off; worker_processes 1; pid {place}/nginx.pid; error_log {place}/error.log; pcre_jit on;
worker_rlimit_nofile 65536; worker_shutdown_timeout 240s;
events {{ worker_connections {WORKER_CONNECTIONS}; multi_accept on; }}
http {{
    client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
    server_tokens off; keepalive_timeout 75s; keepalive_requests 1000; sendfile on; tcp_nopush on;
    server_names_hash_bucket_size 128; server_names_hash_max_size 65536; proxy_headers_hash_max_size 512;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ""; }}
    map $http_x_request_id $req_id {{ default $http_x_request_id; '' $request_id; }}
    map $https $hsts {{ default ''; on "max-age=31536000; includeSubDomains"; }}
    proxy_connect_timeout 5s; proxy_send_timeout 60s; proxy_read_timeout 60s; proxy_redirect off;
    proxy_http_version 1.1; proxy_buffering off; proxy_buffer_size 4k; proxy_buffers 4 4k;
    proxy_next_upstream error timeout; proxy_next_upstream_tries 3; client_max_body_size 1m;
    add_header Strict-Transport-Security $hsts always; proxy_hide_header Strict-Transport-Security;
    {HEADERS}
    grpc_connect_timeout 5s; grpc_next_upstream error timeout; grpc_next_upstream_tries 3;
    grpc_hide_header Strict-Transport-Security;
    {CALL_HEADERS}
    ssl_certificate {self.certificate}; ssl_certificate_key {self.certificate};
    ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers {CIPHERS}; ssl_prefer_server_ciphers on;
    ssl_session_cache shared:bench:10m; ssl_session_tickets off; ssl_buffer_size 4k;
    {log}
{upstreams}
    server {{ {self._listen(" default_server")} server_name _; return 404; }}
{servers}}}
"""

    def start(self, seconds: float = 120) -> float:
        """Seconds from the start of the process to the first answer."""
        started = time.monotonic()
        self.process = subprocess.Popen(["nginx", "-c", str(self.conf), "-e", str(self.place / "error.log")])
        wait_for("static NGINX", lambda: get(self.port, "nobody.bench.test", "/")[0] == 404, seconds)
        return time.monotonic() - started

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def workers(self) -> list[int]:
        assert self.process is not None
        return procfs.nginx_workers(self.process.pid)


def _upstream_name(endpoints: tuple[int, ...]) -> str:
    return "to_" + "_".join(map(str, endpoints))


def _upstream(endpoints: tuple[int, ...]) -> str:
    servers = " ".join(f"server 127.0.0.1:{port};" for port in endpoints)
    return f"    upstream {_upstream_name(endpoints)} {{ {servers} keepalive {KEPT}; keepalive_requests 10000; }}\n"


# -- HAProxy ----------------------------------------------------------------------------------------------------------


class Haproxy(Subject):
    """One frontend that finds the backend in two maps: host and path, first as a whole, then the longest prefix."""

    label = "HAProxy"

    def __init__(self, place: Path, apps: Sequence[App], *, access_log: bool = False, certificate: Path) -> None:
        super().__init__(place)
        place.mkdir()
        self.access_log, self.certificate = access_log, certificate
        exact, prefix, regex = [], [], []
        for app in apps:
            for path, kind in app.paths:
                maps = {"Exact": exact, "Prefix": prefix, "ImplementationSpecific": regex}
                start = f"^{app.host.replace('.', '[.]')}" if kind == "ImplementationSpecific" else app.host
                maps[kind].append(f"{start}{path} {_upstream_name(app.endpoints)}\n")
        for name, rows in (("exact", exact), ("prefix", prefix), ("regex", regex)):
            (place / f"{name}.map").write_text("".join(rows))
        (place / "haproxy.cfg").write_text(self._text(apps))

    def _text(self, apps: Sequence[App]) -> str:
        maps = f"{self.place}/"
        backends = ""
        for endpoints in sorted({app.endpoints for app in apps}):
            servers = "".join(f"    server s{port} 127.0.0.1:{port} pool-max-conn {KEPT}\n" for port in endpoints)
            backends += f"backend {_upstream_name(endpoints)}\n    balance roundrobin\n{servers}\n"
        headers = "".join(
            f"    http-request set-header {name} {value}\n"
            for name, value in (
                ("X-Request-ID", "%[unique-id] unless { req.hdr(X-Request-ID) -m found }"),
                ("X-Original-Forwarded-For", "%[req.hdr(X-Forwarded-For)] if { req.hdr(X-Forwarded-For) -m found }"),
                ("X-Original-Forwarded-Host", "%[req.hdr(X-Forwarded-Host)] if { req.hdr(X-Forwarded-Host) -m found }"),
                ("X-Real-IP", "%[src]"),
                ("X-Forwarded-For", "%[src]"),
                ("X-Forwarded-Host", "%[req.hdr(Host)]"),
                ("X-Forwarded-Port", "%[dst_port]"),
                ("X-Forwarded-Proto", "https if { ssl_fc }"),
                ("X-Forwarded-Proto", "http unless { ssl_fc }"),
                ("X-Forwarded-Scheme", "https if { ssl_fc }"),
                ("X-Forwarded-Scheme", "http unless { ssl_fc }"),
                ("X-Scheme", "https if { ssl_fc }"),
                ("X-Scheme", "http unless { ssl_fc }"),
            )
        )
        log = "log stdout format raw local0\n    option httplog" if self.access_log else "no log"
        return f"""
global
    nbthread 1
    maxconn {WORKER_CONNECTIONS}
    tune.ssl.default-dh-param 2048
defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 60s
    timeout http-keep-alive 75s
    option http-keep-alive
    http-reuse always
frontend all
    {log}
    bind 127.0.0.1:{self.port}
    bind 127.0.0.1:{self.tls_port} ssl crt {self.certificate} alpn h2,http/1.1
    unique-id-format %[uuid]
{headers}    http-request del-header Proxy
    http-response set-header Strict-Transport-Security "max-age=31536000; includeSubDomains" if {{ ssl_fc }}
    use_backend %[base,map({maps}exact.map)] if {{ base,map({maps}exact.map) -m found }}
    use_backend %[base,map_beg({maps}prefix.map)] if {{ base,map_beg({maps}prefix.map) -m found }}
    use_backend %[base,map_reg({maps}regex.map)] if {{ base,map_reg({maps}regex.map) -m found }}
    default_backend nobody
backend nobody
    http-request return status 404
{backends}"""

    def start(self, seconds: float = 120) -> float:
        started = time.monotonic()
        with (self.place / "access.log").open("wb") as log:
            self.process = subprocess.Popen(
                ["haproxy", "-q", "-f", str(self.place / "haproxy.cfg")], stdout=log, stderr=subprocess.STDOUT
            )
        wait_for("HAProxy", lambda: get(self.port, "nobody.bench.test", "/")[0] == 404, seconds)
        return time.monotonic() - started

    def workers(self) -> list[int]:
        assert self.process is not None
        return [self.process.pid]


def certificate(place: Path) -> Path:
    """A key and a self-signed certificate of the kind that Tidegate makes for itself, in one file."""
    path = place / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=bench",
         "-keyout", str(place / "key.pem"), "-out", str(place / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text((place / "cert.pem").read_text() + (place / "key.pem").read_text())
    path.chmod(0o644)
    return path
