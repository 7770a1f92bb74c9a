"""Counting what is in use, so that a change costs what it changes and not what is there."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

H = TypeVar("H", bound=Hashable)


class Tally(Generic[H]):
    """Items and how many users each has; an item without users is gone."""

    def __init__(self) -> None:
        self._counts: dict[H, int] = {}

    def __iter__(self) -> Iterator[H]:
        return iter(self._counts)

    @property
    def counts(self) -> dict[H, int]:
        """A copy of the counts, by item."""
        return dict(self._counts)

    def replace(self, former: Iterable[H], items: Iterable[H]) -> None:
        """One user used `former` and now uses `items`."""
        for item in items:
            self._counts[item] = self._counts.get(item, 0) + 1
        for item in former:
            left = self._counts[item] - 1
            if left:
                self._counts[item] = left
            else:
                del self._counts[item]
