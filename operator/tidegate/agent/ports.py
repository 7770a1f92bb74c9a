"""The listeners that a configuration names, and whether somebody else holds their ports.

NGINX takes 2.5 s to say that a port is busy, and with `reuseport` does not say it at all when another NGINX of the
same user holds the port: both would then share the traffic. So the agent asks first. It remains NGINX who decides.
"""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tidegate.agent.errors import listener_message
from tidegate.agent.protocol import NginxError

_LISTEN = re.compile(r"(?m)^[ \t]*listen\s+([^;{}]+);")


class Listener(NamedTuple):
    """A `listen` directive: `path` for a Unix socket, else host and port."""

    host: str
    port: int
    udp: bool = False
    path: str = ""
    v6only: bool = True

    @property
    def text(self) -> str:
        """The address as NGINX prints it."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def listeners(conf: str) -> list[Listener]:
    """The distinct listeners of a configuration whose addresses are literal."""
    found: dict[Listener, None] = {}
    for match in _LISTEN.finditer(conf):
        address, *options = match[1].split()
        address = address.strip("\"'")
        if address.startswith("unix:"):
            found[Listener("", 0, path=address.removeprefix("unix:"))] = None
            continue
        udp = "udp" in options or "quic" in options
        host, port = _split(address)
        if port is not None:
            found[Listener(host, port, udp, v6only="ipv6only=off" not in options)] = None
    return list(found)


def _split(address: str) -> tuple[str, int | None]:
    if address.isdigit():
        return "0.0.0.0", int(address)
    host, _, port = address.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        return address[1:-1], 80
    if not host:
        return address, 80
    host = host.removeprefix("[").removesuffix("]")
    return ("0.0.0.0" if host == "*" else host), int(port) if port.isdigit() else None


def unix_sockets(conf: str) -> list[Path]:
    """The Unix sockets that a configuration listens on."""
    return [Path(one.path) for one in listeners(conf) if one.path]


def busy(wanted: Iterable[Listener], held: Iterable[Listener] = ()) -> tuple[NginxError, ...]:
    """The listeners whose port another process holds; ports that our NGINX holds already (`held`) are not asked for."""
    ours = {(one.port, one.udp) for one in held if not one.path}
    errors = []
    for one in wanted:
        if one.path or (one.port, one.udp) in ours or not _is_literal(one.host):
            continue
        if _is_busy(one):
            errors.append(
                NginxError(
                    message=listener_message(one.text, errno.EADDRINUSE), address=one.text, code=errno.EADDRINUSE
                )
            )
    return tuple(errors)


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_busy(one: Listener) -> bool:
    family = socket.AF_INET6 if ":" in one.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM if one.udp else socket.SOCK_STREAM) as probe:
            if not one.udp:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(one.v6only))
            probe.bind((one.host, one.port))
    except OSError as error:
        return error.errno == errno.EADDRINUSE  # anything else is for NGINX to say
    return False
