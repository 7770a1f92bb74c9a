"""Events where there is no cluster to write them to: kept in memory, for the admin port."""

from __future__ import annotations

import time
from collections import OrderedDict

import msgspec

from tidegate.kubernetes.events import Note

KEPT = 1000


class EventRow(msgspec.Struct, frozen=True, rename="camel"):
    """As Kubernetes has it; times are seconds since the epoch."""

    kind: str
    namespace: str
    name: str
    type: str
    reason: str
    message: str
    count: int
    first_timestamp: float
    last_timestamp: float


class KeptEvents:
    """The newest ones; the same again raises a count."""

    def __init__(self) -> None:
        self._rows: OrderedDict[Note, EventRow] = OrderedDict()

    def note(self, *notes: Note) -> None:
        """These happened now."""
        now = time.time()
        for note in notes:
            former = self._rows.pop(note, None)
            self._rows[note] = EventRow(
                *note.object,
                "Warning" if note.warning else "Normal",
                note.reason,
                note.message,
                former.count + 1 if former else 1,
                former.first_timestamp if former else now,
                now,
            )
        while len(self._rows) > KEPT:
            self._rows.popitem(last=False)

    def withdraw(self, *notes: Note) -> None:
        """What was told stays told."""

    def rows(self) -> list[EventRow]:
        """The oldest first."""
        return list(self._rows.values())
