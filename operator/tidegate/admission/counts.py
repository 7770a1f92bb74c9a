"""What the webhook counts, under the retired controller's names (reference: behaviour 14)."""

from __future__ import annotations

from collections import OrderedDict

MOST = 1000  # Ingresses that are counted one by one; the one not seen for longest goes first


class AdmissionCounts:
    """Reviews by Ingress and outcome, and figures of the last one. Durations are seconds."""

    def __init__(self) -> None:
        self.checks: OrderedDict[tuple[str, str], list[int]] = OrderedDict()  # let in, refused
        self.duration = 0.0
        self.size = 0

    def add(self, namespace: str, name: str, *, allowed: bool, duration: float, size: int) -> None:
        """A review of `size` bytes that took `duration` seconds."""
        counts = self.checks.setdefault((namespace, name), [0, 0])
        counts[0 if allowed else 1] += 1
        self.checks.move_to_end((namespace, name))
        while len(self.checks) > MOST:
            self.checks.popitem(last=False)
        self.duration, self.size = duration, size
