"""The addresses that NGINX listens on."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.model import Globals

WILDCARDS = ("0.0.0.0", "[::]", "*")


@dataclass(frozen=True)
class Listen:
    """`options` for the first server that names the address, `flags` for the others."""

    address: str
    options: str
    flags: str


@dataclass(frozen=True)
class ListenGroup:
    """Listeners whose servers learn a client's address in the same way."""

    listens: tuple[Listen, ...]
    inner: bool


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


def listen_groups(
    http: tuple[str, ...],
    https: tuple[str, ...],
    settings: Globals,
    inner: str,
    http2_option: bool,
    quic: bool,
    clear_http2: str,
) -> list[ListenGroup]:
    """The listeners of HTTP. With passthrough TLS arrives on the socket `inner`, and the client in a PROXY line; so
    does HTTP/2 without TLS on `clear_http2`, where that is not empty.

    QUIC needs a socket for each worker, or packets of one connection would reach several.
    """
    flags = " proxy_protocol" if settings.use_proxy_protocol else ""
    once = " default_server" + (" reuseport" if settings.reuse_port else "")
    tls = " ssl" + (" http2" if http2_option else "")
    plain = tuple(Listen(address, flags + once, flags) for address in listen_addresses(http, settings))
    if clear_http2:
        flags_there = " http2 proxy_protocol"
        plain += (Listen(clear_http2, f"{flags_there} default_server", flags_there),)
    if inner:
        behind = f"{tls} proxy_protocol"
        return [ListenGroup(plain, False), ListenGroup((Listen(inner, f"{behind} default_server", behind),), True)]
    addresses = listen_addresses(https, settings)
    encrypted = tuple(Listen(address, tls + flags + once, tls + flags) for address in addresses)
    datagrams = tuple(Listen(address, " quic default_server reuseport", " quic") for address in addresses if quic)
    return [ListenGroup(plain + encrypted + datagrams, False)]
