"""What a configuration is written for: the NGINX in use, where it runs, its ports and the sizes of its memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from tidegate.render.firewall import FirewallFiles

HEADERS_MORE = "ngx_http_headers_more_filter_module.so"
MIB = 1024 * 1024
LEAST_PARSED = 4 * MIB  # bytes of certificates that each worker may keep parsed
HEALTH_PATH = "/healthz"
PEM_FOLDER = "tls/backends"  # below the run directory: certificates and keys that policies name

USUAL_FIREWALL = FirewallFiles()


@dataclass(frozen=True)
class NginxFeatures:
    """What this NGINX can do: its version, and the files of its modules and Lua libraries."""

    version: tuple[int, int, int]
    modules: tuple[str, ...]
    headers_more: bool
    optional: tuple[str, ...] = ()  # files of modules that are loaded when a setting asks for them
    debug: bool = False  # built with the debugging log
    lua_libraries: str = ""  # where this NGINX's Lua libraries are, when not in the place compiled into it
    lua_cpath: str = ""
    mime_types: str = "/etc/nginx/mime.types"
    http3: bool = False
    stream_modules: tuple[str, ...] = ()  # loaded where a TCP or UDP service needs them
    firewall: FirewallFiles = USUAL_FIREWALL

    @property
    def http2_directive(self) -> bool:
        """`http2 on;` took the place of the listen parameter, and plain-text HTTP/2 became possible, in 1.25.1."""
        return self.version >= (1, 25, 1)


class OwnPorts(msgspec.Struct, frozen=True):
    """Where this pod listens for those who run it (admin, webhook): no endpoint may lead there."""

    networks: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()


@dataclass(frozen=True)
class Runtime:
    """Where this NGINX runs. Paths consist of letters, digits and `._/-` only; addresses are literal."""

    run_dir: str
    lua_dir: str
    features: NginxFeatures
    http_addresses: tuple[str, ...]
    https_addresses: tuple[str, ...]
    workers: int  # 0, until the agent has said it: one for each core
    user: str = ""
    worker_dir: str = ""  # where workers of another user may read and write; empty: in the run directory
    open_files: int = 1024  # the limit that the workers may raise theirs to
    metrics: MetricSettings | None = None
    ssl_passthrough: bool = False
    http3_port: int = 0  # the UDP port that clients are told about; 0: no HTTP/3
    stream_port: int = 10247  # UDP, on a loopback address of the run directory's own
    own: OwnPorts | None = None
    health_path: str = HEALTH_PATH  # what begins with it is answered 200 on the catch-all host

    def with_own_networks(self, networks: tuple[str, ...]) -> Runtime:
        """The same with these addresses as its own; as it is where none are told or it has no ports to itself."""
        return self if self.own is None or not networks else replace(self, own=OwnPorts(networks, self.own.ports))

    @property
    def worker_place(self) -> str:
        return self.worker_dir or self.run_dir

    @property
    def default_socket(self) -> str:
        """Where NGINX itself answers as the default backend: 404."""
        return f"unix:{self.worker_place}/default.sock"

    @property
    def inner_https(self) -> str:
        """Where TLS ends that the stream block, which has the HTTPS port then, has looked at."""
        return f"unix:{self.worker_place}/https.sock"

    @property
    def inner_http2(self) -> str:
        """Where HTTP/2 without TLS is spoken, for an NGINX that cannot tell it from HTTP/1 on one port."""
        return f"unix:{self.worker_place}/http2.sock"


class MetricSettings(msgspec.Struct, frozen=True):
    """Bucket bounds and label choices of the request metrics (the retired controller's flags)."""

    enabled: bool = True
    per_host: bool = True
    undefined_host: bool = False
    max_series: int = 600
    time: tuple[float, ...] = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
    length: tuple[float, ...] = (10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
    size: tuple[float, ...] = (10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
    excluded: tuple[str, ...] = ()  # metrics of requests that are not given out, without their prefix
    status_classes: bool = False  # 2xx in place of 200


@dataclass(frozen=True)
class Capacity:
    """Sizes of shared memory, bytes; and how much workers may keep of what is in it."""

    data: int = 32 * MIB
    metrics: int = 16 * MIB
    certificates: int = 96 * MIB  # that all workers together keep parsed: some 11,000 with ECDSA, 7,500 with RSA

    def parsed_by(self, workers: int) -> int:
        """Bytes of certificates that one worker keeps parsed."""
        return max(min(LEAST_PARSED, self.certificates), self.certificates // workers)
