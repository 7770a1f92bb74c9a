"""What generations of the configuration were made from, on disk: for the next control plane, which takes NGINX over."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import msgspec

from tidegate.apply.records import Record
from tidegate.apply.servers import fits, placement
from tidegate.model import Globals, Listener, Policy, Server
from tidegate.render.runtime import Capacity


class Content(msgspec.Struct, frozen=True, dict=True):
    """Everything that a configuration is rendered from, but for where it runs. `users`: routes by policy.

    Clients resume TLS sessions only within one number of `sessions`. `own_networks`: the addresses of this machine or
    pod when it was made; those that come later, with other pods of the node, are no reason to load anything.
    """

    globals: Globals
    policies: dict[str, Policy]
    users: dict[str, int]
    capacity: Capacity
    servers: dict[str, Server] = {}
    listeners: tuple[Listener, ...] = ()
    sessions: int = 0
    own_networks: tuple[str, ...] = ()

    @cached_property
    def _places(self) -> dict[str, str]:
        return placement(self.servers)

    def fits(self, record: Record) -> bool:
        """Whether workers with this configuration can serve by this record."""
        return fits(record, self._places, self.servers, self.policies)


class Loaded(msgspec.Struct, frozen=True):
    """A generation and what it was made from; `confirmed` says that it was seen running."""

    generation: int
    content: Content
    confirmed: bool = False


class Memo:
    """One file with the generation that runs and the one that is tried.

    It is written before a generation is tried: whoever dies in between leaves what is needed for either.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[Loaded]:
        """The generations known, newest last; none where the file cannot be read."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self._path.read_bytes(), type=list[Loaded])
        return []

    def write(self, generations: Iterable[Loaded]) -> None:
        temporary = self._path.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(list(generations)))
        temporary.rename(self._path)
