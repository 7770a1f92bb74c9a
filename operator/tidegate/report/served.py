"""What of the published revisions is in force, and what a later run may go back to."""

from __future__ import annotations

import logging
from collections import deque

from tidegate.findings import ObjectKey
from tidegate.report.changes import Step
from tidegate.resources.model import Ingress
from tidegate.sources.accepted import AcceptedFile

log = logging.getLogger("tidegate")


class Served:
    """`generations` are those of the Ingresses that are served."""

    def __init__(self, accepted: AcceptedFile) -> None:
        self._accepted = accepted
        self.generations: dict[ObjectKey, int] = {}
        self._steps: deque[Step] = deque()
        self._unwritten: dict[ObjectKey, Ingress | None] = {}

    def publish(self, step: Step) -> None:
        """A revision is on its way."""
        self._steps.append(step)

    def confirm(self, revision: int) -> list[str]:
        """All up to this revision are in force; what each of them was about."""
        what: list[str] = []
        while self._steps and self._steps[0].revision <= revision:
            step = self._steps.popleft()
            what.append(step.what)
            self._unwritten |= step.accepted
            for key, generation in step.served.items():
                if generation is None:
                    self.generations.pop(key, None)
                else:
                    self.generations[key] = generation
        return what

    @property
    def unwritten(self) -> int:
        """How many accepted revisions are in force and not written down yet."""
        return len(self._unwritten)

    def write(self) -> None:
        """Write them down. What cannot be written now is tried again the next time."""
        changes, self._unwritten = self._unwritten, {}
        if not changes:
            return
        try:
            self._accepted.update(changes)
        except OSError as error:
            self._unwritten = changes | self._unwritten
            log.error("what is accepted cannot be written down: %s", error)
