"""What a source gives to the store, whatever it reads from."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

import msgspec

from tidegate.findings import Finding, ObjectKey
from tidegate.resources.model import Resource


class Change(msgspec.Struct, frozen=True, gc=False):
    """The object that `key` names now; None when it is gone."""

    key: ObjectKey
    resource: Resource | None


class SourceUpdate(msgspec.Struct, frozen=True):
    """A batch of changes that belong together, and all findings of the source as they stand after it."""

    changes: tuple[Change, ...]
    findings: tuple[Finding, ...]


class Source(Protocol):
    """The first update is the complete initial state; later ones are changes to it."""

    def updates(self) -> AsyncGenerator[SourceUpdate, None]: ...
