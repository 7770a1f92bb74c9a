"""What pools come to without DNS and health checks: for commands that look at manifests and run nothing. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.endpointpools.decide import decide
from tidegate.endpointpools.guard import Guard, IPNetwork
from tidegate.endpointpools.known import Objects
from tidegate.endpointpools.plan import Health
from tidegate.endpointpools.verdicts import findings_of
from tidegate.findings import Finding
from tidegate.resources.changes import Change


def with_pools(
    changes: Sequence[Change], allowed: tuple[IPNetwork, ...] = ()
) -> tuple[tuple[Change, ...], tuple[Finding, ...]]:
    """The changes with the slices of pools in their place, every endpoint healthy, and what is wrong with the pools."""
    objects = Objects()
    objects.apply(changes)
    guard = Guard(allowed, loopback=True, is_service=objects.is_cluster_ip)
    made: list[Change] = []
    findings: list[Finding] = []
    for name in sorted(objects.concerned()):
        found = decide(objects, name, {}, guard.refusal, lambda probe: Health(True))
        if found is None:
            continue
        made += [Change(item.key, item) for item in found.slices]
        for wish, draft in ((found.wish, found.draft), *found.losers):
            findings += findings_of(wish, draft)
    others = [change for change in changes if change.key.kind != "EndpointPool"]
    return (*others, *made), tuple(findings)
