"""What is worth an Event about an Ingress: told when it begins, never repeated while nothing changes. Pure."""

from __future__ import annotations

from typing import NamedTuple

from tidegate.findings import Finding, Severity
from tidegate.report.states import State, state_of
from tidegate.translate.acceptance import View

LONGEST = 900  # the API takes 1024 bytes


class Happening(NamedTuple):
    """`warning` or normal; `reason` is CamelCase."""

    warning: bool
    reason: str
    message: str


SYNC = Happening(False, "Sync", "Scheduled for sync")


def of_ingress(view: View, findings: tuple[Finding, ...]) -> frozenset[Happening]:
    """Everything that can be said of an Ingress as it stands."""
    found = {
        Happening(True, item.reason, _shortened(item.words)) for item in findings if item.severity is not Severity.INFO
    }
    denied = sorted(item.words for item in findings if item.severity is Severity.ERROR)
    state = state_of(view, findings)
    generation = view.wanted.metadata.generation
    if state is State.APPLIED:
        found.add(Happening(False, "Applied", f"generation {generation} is in force"))
    elif state is State.DEGRADED:
        found.add(Happening(True, "Degraded", f"generation {generation} is in force, but not all that it asks for"))
        if denied:  # the retired controller's word for it
            found.add(Happening(True, "AnnotationParsingFailed", _shortened("; ".join(denied))))
    elif not any(item.reason == "Rejected" for item in found):
        found.add(Happening(True, "Rejected", _shortened("; ".join(denied) or "not accepted")))
    return frozenset(found)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
