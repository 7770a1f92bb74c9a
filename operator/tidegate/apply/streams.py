"""TCP and UDP services and passed-through TLS in the data plane: files with endpoints, and which listeners are open.

njs/stream.js says what is in a file. It is replaced as a whole, so a new session sees all of a change or nothing.
"""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Mapping
from pathlib import Path

from tidegate.model import Endpoint, Listener, Passthrough, Stream, StreamSettings

LINGER = 2.0  # seconds that a listener without endpoints stays open: a blip costs no reload
LONGEST_NAME = 240  # of a name of several addresses; DNS allows 253
SUFFIX = "endpoints"

Target = Stream | Passthrough


def _label(endpoint: Endpoint) -> str:
    return ipaddress.ip_address(endpoint.address.strip("[]")).packed.hex()


def _peer(endpoint: Endpoint, others: list[Endpoint], tries: int) -> str:
    """What NGINX connects to: an endpoint, or a name for it and those that are tried after it."""
    names, size = [_label(endpoint)], len(SUFFIX) + 40
    for other in others:
        label = _label(other)
        size += len(label) + 1
        if len(names) == tries or size > LONGEST_NAME:
            break
        names.append(label)
    if len(names) == 1:
        return f"{endpoint.address}:{endpoint.port}"
    return f"{'.'.join(names)}.{SUFFIX}:{endpoint.port}"


def encode(target: Target, settings: StreamSettings) -> bytes:
    """The content of a file.

    Only TCP sessions try another endpoint, and only where not the client decides: nobody hears of a datagram that was
    lost, and a client shall not be moved.
    """
    who = _who(target)
    tries = settings.tries or len(target.endpoints)
    if who != "random" or not settings.next_upstream:
        tries = 1
    lines = [who, target.service.replace("/", "-").replace(":", "-")]
    for number, endpoint in enumerate(target.endpoints):
        others = [*target.endpoints[number + 1 :], *target.endpoints[:number]] if tries > 1 else []
        others = [other for other in others if other.port == endpoint.port]
        weight = zlib.crc32(f"{endpoint.address}:{endpoint.port}".encode()) & 0x7FFFFFFF
        lines.append(f"{weight} {_peer(endpoint, others, tries)}")
    return "\n".join(lines).encode()


def _who(target: Target) -> str:
    """Who decides about the endpoint of a session."""
    if isinstance(target, Passthrough):
        return "random"
    if target.by_address:
        return "address"
    return "client" if target.listener.protocol == "udp" else "random"


class StreamFiles:
    """One file for each listener (`tcp-9000`) and for each host whose TLS is passed through (`s-HOST`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._targets: dict[str, Target] = {}
        self._stale: set[str] = set()
        self._settings: StreamSettings | None = None

    def want(self, streams: Mapping[str, Stream], passthrough: Mapping[str, Passthrough | None]) -> None:
        """Take over all streams, and what changed of the hosts."""
        former = {name for name, target in self._targets.items() if isinstance(target, Stream)}
        changes: dict[str, Target | None] = {f"s-{host}": target for host, target in passthrough.items()}
        changes |= {name: streams.get(name) for name in former | streams.keys()}
        for name, target in changes.items():
            if self._targets.get(name) == target:
                continue
            self._stale.add(name)
            if target is None:
                del self._targets[name]
            else:
                self._targets[name] = target

    def write(self, settings: StreamSettings) -> int:
        """Bring the folder to what is wanted; how many files changed. Raises OSError."""
        if self._settings is None:  # files of an earlier control plane: what they say is not known
            self._stale |= {path.name for path in self._folder.iterdir()}
        if self._settings != settings:
            self._stale |= self._targets.keys()
        changed = len(self._stale)
        while self._stale:
            name = next(iter(self._stale))
            self._write(name, settings)
            self._stale.discard(name)
        self._settings = settings
        return changed

    def _write(self, name: str, settings: StreamSettings) -> None:
        target = self._targets.get(name)
        if target is None:
            (self._folder / name).unlink(missing_ok=True)
            return
        temporary = self._folder / ".new"  # a host's name may be as long as a file's can be
        temporary.write_bytes(encode(target, settings))
        temporary.chmod(0o644)
        temporary.rename(self._folder / name)


class Listeners:
    """Which listeners are to be open. Those that NGINX could not open stay closed until others are wanted."""

    def __init__(self) -> None:
        self.refused: frozenset[Listener] = frozenset()
        self._wanted: frozenset[Listener] = frozenset()
        self._live: frozenset[Listener] = frozenset()
        self._empty_since: dict[Listener, float] = {}

    def want(self, streams: Mapping[str, Stream], now: float) -> bool:
        """Take over what is wanted; whether that changes which listeners there should be."""
        wanted = frozenset(stream.listener for stream in streams.values())
        live = frozenset(stream.listener for stream in streams.values() if stream.endpoints)
        if wanted != self._wanted:
            self.refused = frozenset()
        self._empty_since = {listener: self._empty_since.get(listener, now) for listener in wanted - live}
        changed = (wanted, live) != (self._wanted, self._live)
        self._wanted, self._live = wanted, live
        return changed

    def refuse(self, names: Mapping[str, str]) -> None:
        self.refused |= {listener for listener in self._wanted if listener.name in names}

    def to_open(self, opened: frozenset[Listener], now: float) -> frozenset[Listener]:
        """Those with endpoints, and of the open ones those that had some a moment ago."""
        lingering = {listener for listener, since in self._empty_since.items() if now - since < LINGER}
        return (self._live | (opened & lingering)) - self.refused

    def until_next(self, opened: frozenset[Listener], now: float) -> float | None:
        """Seconds until the next of the open listeners without endpoints is to be closed."""
        ends = [since + LINGER - now for listener, since in self._empty_since.items() if listener in opened]
        return min((seconds for seconds in ends if seconds > 0), default=None)
