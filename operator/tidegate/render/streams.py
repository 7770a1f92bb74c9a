"""The `stream` block: TCP and UDP services, as the template needs them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidegate.model import Directive, Globals, Listener, Stream, StreamSettings


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
