"""What became of each Ingress, as the admin API tells it (contract 3)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.translate.acceptance import Hold, View
from tidegate.translate.engine import Translator


class State(StrEnum):
    """What became of an Ingress; see `state_of`."""

    APPLIED = "applied"
    DEGRADED = "degraded"
    REJECTED = "rejected"


class FindingRow(msgspec.Struct, frozen=True):
    """A finding about an Ingress that is known."""

    severity: Severity
    reason: str
    field: str
    message: str


class IngressState(msgspec.Struct, frozen=True, rename="camel"):
    """One Ingress that is ours; `served_generation` is 0 while no revision of it is served."""

    namespace: str
    name: str
    uid: str
    generation: int
    served_generation: int
    state: State
    findings: tuple[FindingRow, ...]
    hosts: tuple[str, ...]
    revision: int


def state_of(view: View, findings: tuple[Finding, ...]) -> State:
    """Rejected: the revision that the source has is not in force. Degraded: it is, but not all that it asks for."""
    if not view.accepted:
        return State.REJECTED
    if any(item.severity in (Severity.ERROR, Severity.WARNING) for item in findings):
        return State.DEGRADED
    return State.APPLIED


def ingress_states(translator: Translator, served: Mapping[ObjectKey, int], revision: int) -> list[IngressState]:
    """All Ingresses that are ours, by namespace and name."""
    rows = []
    for key, view in sorted(translator.views.items()):
        findings = translator.findings_of(key)
        meta = view.wanted.metadata
        rows.append(
            IngressState(
                key.namespace,
                key.name,
                meta.uid,
                meta.generation,
                0 if view.hold is not Hold.NONE else served.get(key, 0),
                state_of(view, findings),
                tuple(FindingRow(item.severity, item.reason, item.field, item.message) for item in findings),
                tuple(sorted({rule.host for rule in view.wanted.rules})),
                revision,
            )
        )
    return rows
