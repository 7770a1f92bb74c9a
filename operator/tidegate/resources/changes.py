"""Changes on their way from a source to the store."""

from __future__ import annotations

from typing import Literal

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


FetchKind = Literal["issuers", "staple"]


class Wish(msgspec.Struct, frozen=True):
    """Something to be fetched about the first certificate of a chain (PEM): issuers it lacks, or an OCSP answer."""

    kind: FetchKind
    fingerprint: str
    chain: str

    @property
    def key(self) -> ObjectKey:
        return fetched_key(self.kind, self.fingerprint)


class Fetched(msgspec.Struct, frozen=True):
    """What was fetched, and until when it holds: seconds since the epoch, 0 for ever."""

    kind: FetchKind
    fingerprint: str
    data: bytes
    until: int

    @property
    def key(self) -> ObjectKey:
        return fetched_key(self.kind, self.fingerprint)


def fetched_key(kind: FetchKind, fingerprint: str) -> ObjectKey:
    return ObjectKey(f"Fetched-{kind}", "", fingerprint)


def resolution_key(name: str) -> ObjectKey:
    return ObjectKey("Resolution", "", name)
