"""What a source is, whatever it reads from."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from tidegate.findings import ObjectKey
from tidegate.resources.changes import Change, SourceUpdate


class Source(Protocol):
    """The first update is the complete initial state; later ones are changes to it.

    A source may keep Secrets and ConfigMaps back until something refers to them: `complete` brings those that are
    missing, `release` says which ones nothing refers to any more.
    """

    def updates(self) -> AsyncGenerator[SourceUpdate, None]: ...

    async def complete(self, missing: frozenset[ObjectKey]) -> tuple[Change, ...]: ...

    def release(self, keys: frozenset[ObjectKey]) -> tuple[Change, ...]: ...
