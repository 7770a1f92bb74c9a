"""Addresses of host names, asked for again and again as their time to live says.

The data plane's resolver ignores search domains, so the control plane resolves: the names of ExternalName Services and
of EndpointPools.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import dns.asyncresolver
import dns.exception
import dns.resolver

from tidegate.resources.changes import Resolution

log = logging.getLogger("tidegate.dns")

RESOLV_CONF = Path("/etc/resolv.conf")
LEAST_TTL, MOST_TTL = 1.0, 300.0
RETRY = 1.0


class Found(NamedTuple):
    """Addresses, sorted, the seconds they hold, and why some of them may be old."""

    addresses: tuple[str, ...]
    seconds: float
    problem: str = ""


def parse_server(text: str) -> tuple[str, int]:
    """`ADDRESS[:PORT]`, an IPv6 address with a port in brackets. Raises ValueError."""
    address, _, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", "53")
    address = address.strip("[]")
    try:
        ipaddress.ip_address(address)
        number = int(port)
    except ValueError:
        raise ValueError(f"found {text!r}, allowed: an IP address, or ADDRESS:PORT") from None
    if not 0 < number < 65536:
        raise ValueError(f"found port {number}, allowed: 1 to 65535")
    return address, number


class Resolver:
    """Keeps a set of names resolved; `on_change` is called in the event loop with each new answer.

    Without `on_problem` a name has the addresses of one family, and none when DNS says that there is no such name.
    With it, it has those of both families, and each failure is told by name and reason: the last answer stays.
    """

    def __init__(
        self,
        on_change: Callable[[Resolution], None],
        servers: Iterable[tuple[str, int]] = (),
        *,
        on_problem: Callable[[str, str], None] | None = None,
    ) -> None:
        self._on_change, self._on_problem = on_change, on_problem
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
        ask = self._ask if self._on_problem is None else _BothFamilies(self._query).ask
        told = ""
        while True:
            seconds, problem = RETRY, ""
            try:
                addresses, seconds, problem = await ask(name)
                self._on_change(Resolution(name, addresses))
            except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer) as error:
                problem = _reason(error)
                if self._on_problem is None:
                    self._on_change(Resolution(name))
            except (dns.exception.DNSException, OSError) as error:
                problem = _reason(error)
                if problem != told:
                    log.warning("%s cannot be resolved, the last answer stays: %s", name, error)
            told = problem
            if problem and self._on_problem is not None:
                self._on_problem(name, problem)
            await asyncio.sleep(min(max(seconds, LEAST_TTL), MOST_TTL))

    async def _ask(self, name: str) -> Found:
        """IPv4 addresses, and IPv6 ones only when there are none and they are wanted."""
        try:
            return await self._query(name, "A")
        except dns.resolver.NoAnswer:
            if not self._ipv6:
                raise
            return await self._query(name, "AAAA")

    async def _query(self, name: str, kind: str) -> Found:
        """The addresses of one family. Raises DNSException, OSError."""
        resolver = await self._current()
        answer = await resolver.resolve(name, kind, search=not name.endswith("."))
        return Found(tuple(sorted(str(item) for item in answer)), float(answer.chaining_result.minimum_ttl))

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


class _BothFamilies:
    """The addresses of a name in both families; of a family that cannot be had now the last ones stay."""

    def __init__(self, query: Callable[[str, str], Awaitable[Found]]) -> None:
        self._query = query
        self._last: dict[str, tuple[str, ...]] = {}

    async def ask(self, name: str) -> Found:
        """Raises what DNS says when that is the same for both, or nothing at all is known."""
        kinds = ("A", "AAAA")
        replies = await asyncio.gather(*(self._query(name, kind) for kind in kinds), return_exceptions=True)
        seconds, problem = [], ""
        for kind, reply in zip(kinds, replies, strict=True):
            match reply:
                case Found():
                    self._last[kind] = reply.addresses
                    seconds.append(reply.seconds)
                case dns.resolver.NoAnswer():
                    self._last[kind] = ()
                case dns.exception.DNSException() | OSError() if not isinstance(reply, dns.resolver.NXDOMAIN):
                    problem = f"{kind}: {_reason(reply)}"
                case _:
                    raise reply
        if not seconds:
            failures = [reply for reply in replies if isinstance(reply, BaseException)]
            raise min(failures, key=lambda one: isinstance(one, dns.resolver.NoAnswer))
        addresses = tuple(address for kind in kinds for address in self._last.get(kind, ()))
        return Found(addresses, RETRY if problem else min(seconds), problem)


def _reason(error: Exception) -> str:
    """Why there is no answer, in a few words."""
    match error:
        case dns.resolver.NXDOMAIN():
            return "there is no such name (NXDOMAIN)"
        case dns.resolver.NoAnswer():
            return "the name has no addresses"
        case dns.exception.Timeout():
            return "DNS does not answer in time"
        case dns.resolver.NoNameservers():
            return "no DNS server gives an answer"
        case _:
            return str(error) or type(error).__name__


def _changed_at(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
