"""The `stream` block: TCP and UDP services, as the template needs them."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidegate.model import Directive, Globals, Listener, Server, Stream, StreamSettings
from tidegate.render.listeners import host_of, listen_addresses
from tidegate.render.runtime import Runtime


@dataclass(frozen=True)
class StreamServer:
    """One port, on every address."""

    listens: tuple[tuple[str, str], ...]  # address and what follows it
    listener: Listener


@dataclass(frozen=True)
class PassthroughServers:
    """The HTTPS port, and the two sockets behind it: for TLS that ends here, and for TLS that goes on as it is."""

    listens: tuple[tuple[str, str], ...]
    reads_proxy: bool
    terminated: str
    passed: str


def own_address(folder: str, port: int) -> str:
    """Where NGINX asks itself which addresses a name stands for: a loopback address of this folder's own.

    So several can run on one machine.
    """
    digest = hashlib.sha256(folder.encode()).digest()
    return f"127.{128 + digest[0] % 127}.{digest[1]}.{1 + digest[2] % 254}:{port}"


def opened_listeners(streams: Mapping[str, Stream]) -> tuple[Listener, ...]:
    """The listeners of streams that have endpoints."""
    return tuple(sorted(stream.listener for stream in streams.values() if stream.endpoints))


class StreamBlock:
    """`folder` holds one file for each listener, which says what its endpoints are now.

    `snippets` are the lines of Ingresses, each with its digest.
    """

    def __init__(
        self,
        settings: Globals,
        listeners: Sequence[Listener],
        hosts: Sequence[str],
        *,
        folder: str,
        njs_dir: str,
        own_port: int,
        passthrough: PassthroughServers | None,
        snippets: Sequence[tuple[str, tuple[Directive, ...]]],
    ) -> None:
        self.passthrough, self.snippets = passthrough, snippets
        self.folder, self.njs_dir = folder, njs_dir
        self._globals, self._listeners, self._hosts = settings, listeners, hosts
        self.resolver = own_address(folder, own_port)

    @property
    def settings(self) -> StreamSettings:
        return self._globals.stream

    @property
    def connect_timeout(self) -> int:
        return self._globals.connect_timeout

    @property
    def trusted_networks(self) -> tuple[str, ...]:
        """From whom a PROXY line is believed."""
        return self._globals.trusted_networks

    @property
    def servers(self) -> list[StreamServer]:
        return [StreamServer(self._listens(listener), listener) for listener in self._listeners]

    def _listens(self, listener: Listener) -> tuple[tuple[str, str], ...]:
        options = " proxy_protocol" if listener.read_proxy else ""
        if listener.protocol == "udp":
            # Without it each datagram of a session could reach another worker, and leave from another port.
            options += " udp reuseport"
        elif self._globals.reuse_port:
            options += " reuseport"
        return tuple((f"{host}:{listener.port}", options) for host in self._hosts)


def stream_block(
    settings: Globals, runtime: Runtime, listeners: Sequence[Listener], servers: Mapping[str, Server]
) -> StreamBlock | None:
    """The block where something needs it, else None; `servers` are by digest."""
    snippets = [(digest, server.profile.stream) for digest, server in servers.items() if server.profile.stream]
    if not (listeners or settings.stream.snippet or snippets or runtime.ssl_passthrough):
        return None
    addresses = listen_addresses(runtime.http_addresses, settings)
    return StreamBlock(
        settings,
        listeners,
        tuple(dict.fromkeys(map(host_of, addresses))),
        folder=f"{runtime.worker_place}/streams",
        njs_dir=f"{posixpath.dirname(runtime.lua_dir)}/njs",
        own_port=runtime.stream_port,
        passthrough=_passthrough(settings, runtime) if runtime.ssl_passthrough else None,
        snippets=snippets,
    )


def _passthrough(settings: Globals, runtime: Runtime) -> PassthroughServers:
    options = (" proxy_protocol" * settings.use_proxy_protocol) + (" reuseport" * settings.reuse_port)
    return PassthroughServers(
        listens=tuple((address, options) for address in listen_addresses(runtime.https_addresses, settings)),
        reads_proxy=settings.use_proxy_protocol,
        terminated=runtime.inner_https,
        passed=f"unix:{runtime.worker_place}/pass.sock",
    )
