"""The last accepted revision of each Ingress, and those that NGINX did not take."""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.findings import Finding, ObjectKey
from tidegate.resources.model import Ingress
from tidegate.translate.acceptance import View


class Revisions:
    """Remembers one accepted revision back: what NGINX refuses was accepted before NGINX saw it."""

    def __init__(self, accepted: Mapping[ObjectKey, Ingress]) -> None:
        """`accepted` are those of an earlier run."""
        self._last: dict[ObjectKey, Ingress] = dict(accepted)
        self._before_last: dict[ObjectKey, Ingress | None] = {}
        self._disowned: set[ObjectKey] = set()  # what was told of them has to be told again
        self._refused: dict[ObjectKey, tuple[Ingress, Finding]] = {}

    def known(self) -> set[ObjectKey]:
        return set(self._last)

    def last(self, key: ObjectKey) -> Ingress | None:
        return self._last.get(key)

    def refusal(self, key: ObjectKey, ingress: Ingress) -> Finding | None:
        """What NGINX said of this very revision; of another one it is forgotten."""
        revision, finding = self._refused.get(key, (None, None))
        if revision == ingress:
            return finding
        self._refused.pop(key, None)
        return None

    def refuse(self, view: View, finding: Finding) -> None:
        """The revision in force is not accepted after all: what was accepted before it is."""
        key = view.ingress.key
        self._refused[key] = (view.wanted, finding)
        if self._last.get(key) != view.ingress:
            return
        self._disowned.add(key)
        previous = self._before_last.get(key)
        if previous is None or previous == view.ingress:
            self._last.pop(key, None)
        else:
            self._last[key] = previous

    def take(self, key: ObjectKey, view: View | None) -> bool:
        """Take over what is in force now; whether another revision is the last accepted one than was told before."""
        last = view.last if view else None
        changed = self._last.get(key) != last or key in self._disowned
        if changed:
            self._disowned.discard(key)
            self._before_last[key] = self._last.get(key)
            if last is None:
                self._last.pop(key, None)
            else:
                self._last[key] = last
        if view is None:
            self._before_last.pop(key, None)
        return changed
