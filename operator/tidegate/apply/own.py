"""What no endpoint may lead to, whoever wrote it: the ports of this pod itself.

For HTTP the balancer sees to it; TCP and UDP services and passed-through TLS are looked at here.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from pathlib import Path
from typing import TypeVar

import msgspec

from tidegate.model import Endpoint, Passthrough, Stream
from tidegate.render.runtime import OwnPorts

log = logging.getLogger("tidegate")

ALWAYS = ("127.0.0.0/8", "0.0.0.0/32", "::1/128", "::/128")
_FIB = Path("/proc/net/fib_trie")
_IF_INET6 = Path("/proc/net/if_inet6")
_LOCAL = re.compile(r"\|-- (\S+)\s+/32 host LOCAL")

T = TypeVar("T", Stream, Passthrough)


def own_ports(*ports: int) -> OwnPorts:
    """These ports on every address of this machine or pod. Reads /proc."""
    found = set(ALWAYS)
    if _FIB.exists():
        found |= {f"{address}/32" for address in _LOCAL.findall(_FIB.read_text())}
    if _IF_INET6.exists():
        rows = (line.split()[0] for line in _IF_INET6.read_text().splitlines() if line)
        found |= {f"{ipaddress.IPv6Address(int(row, 16))}/128" for row in rows}
    return OwnPorts(tuple(sorted(found)), tuple(sorted(set(ports))))


def without_own(target: T, own: OwnPorts | None) -> T:
    """The target without endpoints that are this pod itself."""
    if own is None or not any(endpoint.port in own.ports for endpoint in target.endpoints):
        return target
    kept = tuple(endpoint for endpoint in target.endpoints if not _is_own(endpoint, own))
    for endpoint in set(target.endpoints) - set(kept):
        log.error("%s: endpoint %s:%d is this pod itself: refused", target.service, endpoint.address, endpoint.port)
    return msgspec.structs.replace(target, endpoints=kept)


def _is_own(endpoint: Endpoint, own: OwnPorts) -> bool:
    if endpoint.port not in own.ports:
        return False
    address = ipaddress.ip_address(endpoint.address.strip("[]"))
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in ipaddress.ip_network(network) for network in own.networks)
