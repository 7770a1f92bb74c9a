"""TCP and UDP services in the data plane: a file with the endpoints of each listener, and which listeners are open.

njs/stream.js says what is in a file. It is replaced as a whole, so a new session sees all of a change or nothing.
"""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Mapping
from pathlib import Path

from tidegate.model import Endpoint, Listener, Stream, StreamSettings

LINGER = 2.0  # seconds that a listener without endpoints stays open: a blip costs no reload
LONGEST_NAME = 240  # of a name of several addresses; DNS allows 253
SUFFIX = "endpoints"


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


def encode(stream: Stream, settings: StreamSettings) -> bytes:
    """The content of a listener's file.

    Only TCP sessions try another endpoint, and only where not the client decides: nobody hears of a datagram that was
    lost, and a client shall not be moved.
    """
    who = "address" if stream.by_address else "client" if stream.listener.protocol == "udp" else "random"
    tries = settings.tries or len(stream.endpoints)
    if who != "random" or not settings.next_upstream:
        tries = 1
    lines = [who, stream.service.replace("/", "-").replace(":", "-")]
    for number, endpoint in enumerate(stream.endpoints):
        others = [*stream.endpoints[number + 1 :], *stream.endpoints[:number]] if tries > 1 else []
        others = [other for other in others if other.port == endpoint.port]
        weight = zlib.crc32(f"{endpoint.address}:{endpoint.port}".encode()) & 0x7FFFFFFF
        lines.append(f"{weight} {_peer(endpoint, others, tries)}")
    return "\n".join(lines).encode()


class StreamFiles:
    """Writes the files of the listeners that are wanted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: dict[str, tuple[Stream, StreamSettings] | None] | None = None

    def write(self, streams: Mapping[str, Stream], settings: StreamSettings) -> int:
        """Bring the folder to this state; how many files changed. Raises OSError."""
        if self._written is None:  # files of an earlier control plane: what they say is not known
            self._written = {path.name: None for path in self._folder.iterdir()}
        changed = 0
        for name, stream in streams.items():
            if self._written.get(name) == (stream, settings):
                continue
            temporary = self._folder / f"{name}.new"
            temporary.write_bytes(encode(stream, settings))
            temporary.chmod(0o644)
            temporary.rename(self._folder / name)
            self._written[name] = (stream, settings)
            changed += 1
        for name in self._written.keys() - streams.keys():
            (self._folder / name).unlink(missing_ok=True)
            del self._written[name]
            changed += 1
        return changed


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
