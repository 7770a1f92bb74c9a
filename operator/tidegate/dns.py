"""Addresses of host names, asked for again and again as their time to live says.

The data plane's resolver ignores search domains, so the control plane resolves: the names of ExternalName Services.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.resolver

from tidegate.resources.changes import Resolution

log = logging.getLogger("tidegate.dns")

RESOLV_CONF = Path("/etc/resolv.conf")
LEAST_TTL, MOST_TTL = 1.0, 300.0
RETRY = 1.0


def parse_server(text: str) -> tuple[str, int]:
    """`ADDRESS[:PORT]`, an IPv6 address with a port in brackets. Raises ValueError."""
    address, _, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", "53")
    number = int(port)
    if not 0 < number < 65536:
        raise ValueError(f"found port {number}, allowed: 1 to 65535")
    return address.strip("[]"), number


class Resolver:
    """Keeps a set of names resolved; `on_change` is called in the event loop with each new answer."""

    def __init__(self, on_change: Callable[[Resolution], None], servers: Iterable[tuple[str, int]] = ()) -> None:
        self._on_change = on_change
        self._servers = tuple(servers)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._read_at: float | None = None
        self._ipv6 = True

    def use_ipv6(self, wanted: bool) -> None:
        """Whether names without IPv4 addresses may have IPv6 ones; a change asks for all names again."""
        if wanted != self._ipv6:
            self._ipv6 = wanted
            names = frozenset(self._tasks)
            self.want(frozenset())
            self.want(names)

    def want(self, names: frozenset[str]) -> None:
        """From now on these names, and no others."""
        for name in self._tasks.keys() - names:
            self._tasks.pop(name).cancel()
        for name in names - self._tasks.keys():
            self._tasks[name] = asyncio.create_task(self._follow(name))

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self.want(frozenset())
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _follow(self, name: str) -> None:
        while True:
            try:
                addresses, ttl = await self._ask(name)
                self._on_change(Resolution(name, addresses))
            except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
                self._on_change(Resolution(name))
                ttl = RETRY
            except (dns.exception.DNSException, OSError) as error:
                log.warning("%s cannot be resolved, the last answer stays: %s", name, error)
                ttl = RETRY
            await asyncio.sleep(min(max(ttl, LEAST_TTL), MOST_TTL))

    async def _ask(self, name: str) -> tuple[tuple[str, ...], float]:
        """IPv4 addresses, and IPv6 ones only when there are none; sorted, with the seconds they hold."""
        resolver = await self._current()
        try:
            answer = await resolver.resolve(name, "A", search=not name.endswith("."))
        except dns.resolver.NoAnswer:
            if not self._ipv6:
                raise
            answer = await resolver.resolve(name, "AAAA", search=not name.endswith("."))
        ttl = float(answer.rrset.ttl) if answer.rrset is not None else RETRY
        return tuple(sorted(str(item) for item in answer)), ttl

    async def _current(self) -> dns.asyncresolver.Resolver:
        """The resolver; the system's configuration is read again when its file changes."""
        if self._servers:
            if self._resolver is None:
                self._resolver = await asyncio.to_thread(self._configured)
            return self._resolver
        changed_at = await asyncio.to_thread(_changed_at, RESOLV_CONF)
        if self._resolver is None or changed_at != self._read_at:
            self._resolver, self._read_at = await asyncio.to_thread(dns.asyncresolver.Resolver), changed_at
        return self._resolver

    def _configured(self) -> dns.asyncresolver.Resolver:
        try:
            resolver = dns.asyncresolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [address for address, _ in self._servers]
        resolver.nameserver_ports = dict(self._servers)
        return resolver


def _changed_at(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
