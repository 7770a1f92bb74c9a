"""Changes on their way from a source to the store."""

from __future__ import annotations

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


class Resolution(msgspec.Struct, frozen=True):
    """The addresses of a host name as DNS last said, in order; empty when it could not be resolved."""

    name: str
    addresses: tuple[str, ...] = ()

    @property
    def key(self) -> ObjectKey:
        return resolution_key(self.name)


def resolution_key(name: str) -> ObjectKey:
    return ObjectKey("Resolution", "", name)
