"""What a source is, whatever it reads from."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from tidegate.resources.changes import SourceUpdate


class Source(Protocol):
    """The first update is the complete initial state; later ones are changes to it."""

    def updates(self) -> AsyncGenerator[SourceUpdate, None]: ...
