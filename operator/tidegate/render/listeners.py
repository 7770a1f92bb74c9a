"""The addresses that NGINX listens on."""

from __future__ import annotations

from tidegate.model import Globals

WILDCARDS = ("0.0.0.0", "[::]", "*")


def host_of(address: str) -> str:
    return address.rpartition(":")[0]


def is_wildcard(address: str) -> bool:
    """Whether a literal `address:port` stands for all addresses of its family."""
    return host_of(address) in WILDCARDS


def listen_addresses(addresses: tuple[str, ...], settings: Globals) -> tuple[str, ...]:
    """`addresses` with those to bind in the place of the wildcard of their family, and without IPv6 if so told.

    An address that is no wildcard stays as it is: whoever gave it knows better than the global settings.
    """
    found: list[str] = []
    for address in addresses:
        host, _, port = address.rpartition(":")
        if host not in WILDCARDS:
            found.append(address)
        elif not host.startswith("["):
            found += [f"{one}:{port}" for one in settings.bind_ipv4] or [address]
        elif settings.ipv6:
            found += [f"[{one}]:{port}" for one in settings.bind_ipv6] or [address]
    return tuple(dict.fromkeys(found)) or addresses
