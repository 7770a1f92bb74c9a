"""The status of a pool and its findings, from what was decided and what is known of health. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tidegate.endpointpools.layout import Spot
from tidegate.endpointpools.plan import Draft, Verdict, Wish
from tidegate.findings import Finding, Severity
from tidegate.resources.model import Condition, PoolStatus

_STATUS = {True: "True", False: "False", None: "Unknown"}


def readiness(draft: Draft, spots: Sequence[Spot], failures: Mapping[str, str]) -> Verdict:
    """`failures` say for an address why its check failed when it became unhealthy."""
    if not draft.accepted.status:
        return Verdict(False, "NotAccepted", draft.accepted.message)
    ready = sum(spot.ready for spot in spots)
    message = f"{ready} of {len(spots)} endpoints ready"
    down = [f"{spot.address}: {failures[spot.address]}" for spot in spots if failures.get(spot.address)]
    if down:
        more = f"; and {len(down) - 3} more" if len(down) > 3 else ""
        message += f" ({'; '.join(down[:3])}{more})"
    if ready:
        return Verdict(True, "EndpointsReady", message)
    return Verdict(False, "NoEndpoints" if not spots else "NoReadyEndpoints", message)


def status_of(
    wish: Wish, draft: Draft, ready: Verdict, spots: Sequence[Spot], before: PoolStatus | None, now: int
) -> PoolStatus:
    """The status to be written; a condition keeps its time while its status stays."""
    former = {item.type: item for item in before.conditions} if before else {}
    conditions = []
    for kind, verdict in (("Accepted", draft.accepted), ("Resolved", draft.resolved), ("Ready", ready)):
        status = _STATUS[verdict.status]
        old = former.get(kind)
        since = old.since if old is not None and old.status == status and old.since else now
        conditions.append(Condition(kind, status, verdict.reason, verdict.message, since, wish.generation))
    return PoolStatus(wish.generation, sum(spot.ready for spot in spots), len(spots), tuple(conditions))


class Happening(NamedTuple):
    """Something worth an Event."""

    warning: bool
    reason: str
    message: str


def happenings(before: PoolStatus | None, now: PoolStatus) -> list[Happening]:
    """What went wrong or came right between two statuses; of a first one just what is wrong."""
    former = {item.type: item for item in before.conditions} if before else {}
    found = []
    for item in now.conditions:
        old = former.get(item.type)
        wrong = (item.status == "False" and item.reason != "NotAccepted") or item.reason == "AddressRefused"
        if wrong and (old is None or (old.status, old.reason) != (item.status, item.reason)):
            found.append(Happening(True, item.reason, item.message))
        elif item.status == "True" and not wrong and old is not None and old.status == "False":
            found.append(Happening(False, item.reason, item.message))
    return found


def findings_of(wish: Wish, draft: Draft) -> tuple[Finding, ...]:
    """What is wrong; that nothing is ready is said of the backend."""
    found = []
    accepted, resolved = draft.accepted, draft.resolved
    if not accepted.status or accepted.reason != "Accepted":
        field = wish.field if accepted.reason in ("AddressRefused", "Invalid") else "spec.serviceName"
        found.append(Finding(wish.owner, field, Severity.ERROR, accepted.reason, accepted.message))
    if resolved.status is False:
        severity = Severity.ERROR if resolved.reason == "AddressRefused" else Severity.WARNING
        found.append(Finding(wish.owner, wish.field, severity, resolved.reason, resolved.message))
    return tuple(found)
