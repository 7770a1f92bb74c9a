"""Revisions: which is wanted, which runs, and who waits for one."""

from __future__ import annotations

import asyncio
import time


class Revisions:
    """Numbers that grow. A revision runs when it and all before it are in force."""

    def __init__(self) -> None:
        self.wanted = self.running = 0
        self._asked: dict[int, float] = {}  # when each one that does not run yet was asked for
        self._changed = asyncio.Condition()
        self._refusals = self._answered = 0
        self._held: int | None = None

    def want(self, revision: int, answered: int) -> None:
        """A revision is wanted that takes the first `answered` refusals into account."""
        self.wanted = revision
        self._asked[revision] = time.monotonic()
        self._answered = max(self._answered, answered)
        if self._answered == self._refusals:
            self._held = None

    def hold(self, revision: int) -> None:
        """Something of this revision was refused: it does not count as running until that is answered."""
        self._refusals += 1
        self._held = revision if self._held is None else min(self._held, revision)

    def reach(self, waiting: list[int]) -> float | None:
        """All revisions before those in `waiting` are in force; seconds since the first of the new ones was asked for.

        None when there is no new one.
        """
        waiting = waiting if self._held is None else [*waiting, self._held]
        reached = min(waiting) - 1 if waiting else self.wanted
        if reached <= self.running:
            return None
        asked = [self._asked.pop(number) for number in [*self._asked] if number <= reached]
        self.running = reached
        return time.monotonic() - min(asked) if asked else 0.0

    async def tell(self) -> None:
        """Wake who waits."""
        async with self._changed:
            self._changed.notify_all()

    async def wait(self, revision: int, limit: float) -> bool:
        """Whether the revision runs within `limit` seconds."""
        try:
            async with asyncio.timeout(limit), self._changed:
                await self._changed.wait_for(lambda: self.running >= revision)
        except TimeoutError:
            return False
        return True
