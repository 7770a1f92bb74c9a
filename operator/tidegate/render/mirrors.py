"""The locations that copies of requests are sent from: one for each way that policies ask for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tidegate.model import Mirroring, Policy


@dataclass(frozen=True)
class MirrorLocation:
    """One way of copying requests. Its name lacks the slash of a path, so that no client can ask for it."""

    tls: bool
    body: bool

    @property
    def name(self) -> str:
        return f"tidegate_mirror_{self.scheme}{'' if self.body else '_bare'}"

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"

    @property
    def upstream(self) -> str:
        return f"tidegate_mirror_{self.scheme}"


def location_of(mirroring: Mirroring) -> MirrorLocation:
    return MirrorLocation(mirroring.tls, mirroring.body)


def mirrors_of(policies: Iterable[Policy]) -> list[MirrorLocation]:
    found = {location_of(policy.mirroring) for policy in policies if policy.mirroring is not None}
    return sorted(found, key=lambda one: one.name)


def copied_headers(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers of backends for a copy: to its own host, and never an upgrade."""
    own = {"host": "$tidegate_mirror_host", "upgrade": '""', "connection": '""'}
    return [(name, own.get(name.lower(), value)) for name, value in rows]
