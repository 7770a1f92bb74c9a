"""Where the controller's results go: an interface, and the one that keeps them in memory for `tidegate up`."""

from __future__ import annotations

from typing import Protocol

from tidegate.endpointpools.plan import Wish
from tidegate.findings import ObjectKey
from tidegate.resources.changes import Change
from tidegate.resources.model import EndpointPool, Endpoints, EndpointSlice, PoolStatus


class WriteError(Exception):
    """It could not be written now; it is tried again."""


class ForeignError(Exception):
    """The object belongs to somebody else, and stays as it is."""


class Writer(Protocol):
    """Writes objects of the controller's own. Raises WriteError, and ForeignError for what is somebody else's."""

    async def put(self, item: EndpointSlice | Endpoints, wish: Wish) -> None: ...

    async def delete(self, key: ObjectKey) -> None: ...

    async def status(self, pool: EndpointPool, status: PoolStatus) -> None: ...


class MemoryWriter:
    """Collects changes for the store."""

    def __init__(self) -> None:
        self._changes: list[Change] = []

    async def put(self, item: EndpointSlice | Endpoints, wish: Wish) -> None:
        self._changes.append(Change(item.key, item))

    async def delete(self, key: ObjectKey) -> None:
        self._changes.append(Change(key, None))

    async def status(self, pool: EndpointPool, status: PoolStatus) -> None:
        """The admin API shows the controller's own state."""

    def take(self) -> tuple[Change, ...]:
        """The changes since the last call."""
        changes, self._changes = tuple(self._changes), []
        return changes
