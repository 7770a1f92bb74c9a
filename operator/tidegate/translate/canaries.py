"""Canary Ingresses: what a route gets from each, and what is told to those that get less than they ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from tidegate.findings import Finding, Severity, brief
from tidegate.model import Canary
from tidegate.settings import annotations as ann
from tidegate.translate.acceptance import View
from tidegate.translate.backends import BackendName


class CanaryBackend(NamedTuple):
    """A path of a canary Ingress that attaches to an ordinary one."""

    view: View
    backend: BackendName


def rules_of(canary: CanaryBackend) -> Canary:
    """When requests go to this canary."""
    settings = canary.view.settings
    return Canary(
        backend=str(canary.backend),
        header=settings.get(ann.CANARY_BY_HEADER),
        header_value=settings.get(ann.CANARY_BY_HEADER_VALUE),
        header_pattern=settings.get(ann.CANARY_BY_HEADER_PATTERN),
        cookie=settings.get(ann.CANARY_BY_COOKIE),
        weight=settings.get(ann.CANARY_WEIGHT),
        total=max(settings.get(ann.CANARY_WEIGHT_TOTAL), 100),
        sticky=settings.get(ann.AFFINITY_CANARY_BEHAVIOR) != "legacy",
    )


def beyond_the_whole(host: str, path: str, canaries: Sequence[CanaryBackend], prefix: str) -> Iterator[Finding]:
    """A finding for each canary of a path that the older ones leave less than its weight."""
    taken = Fraction(0)
    for canary in canaries:
        rules = rules_of(canary)
        share = min(Fraction(max(rules.weight, 0), rules.total), Fraction(1))
        left = 1 - taken
        if share > left:
            message = (
                f"asks for {float(share):.0%} of the requests for host {host!r} and path {brief(path)}, "
                f"of which its older canaries leave {float(left):.0%}"
            )
            field = f"metadata.annotations[{prefix}/{ann.CANARY_WEIGHT.name}]"
            yield Finding(canary.view.wanted.key, field, Severity.WARNING, "Conflict", message)
        taken = min(taken + share, Fraction(1))
