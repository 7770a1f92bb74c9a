"""What happened, for whoever shows it or tells it to others."""

from __future__ import annotations

import msgspec

from tidegate.findings import ObjectKey
from tidegate.resources.model import Ingress


class ChangeRecord(msgspec.Struct, frozen=True):
    """One line of what happened: when (seconds since the epoch), what changed, how it was applied."""

    when: float
    revision: int
    what: str
    records: int
    reloaded: bool
    seconds: float


class News(msgspec.Struct):
    """What happened since it was last asked for: for whoever tells the cluster."""

    judged: set[ObjectKey] = msgspec.field(default_factory=set)  # Ingresses of which there may be something new to say
    configmaps: set[ObjectKey] = msgspec.field(default_factory=set)
    refusals: list[str] = msgspec.field(default_factory=list)  # what NGINX said of configurations that it did not take


class Step(msgspec.Struct, frozen=True):
    """What a revision brings, for the moment when it runs. `served`: generations, None for what is not served."""

    revision: int
    what: str
    served: dict[ObjectKey, int | None]
    accepted: dict[ObjectKey, Ingress | None]
