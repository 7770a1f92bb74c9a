"""How late the event loop is: whatever holds it keeps health checks and reviews waiting."""

from __future__ import annotations

import asyncio
import bisect

EVERY = 0.02  # seconds


class LoopLag:
    """How late the event loop was, seconds, counted by upper bounds; the last count is of what is beyond them."""

    BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

    def __init__(self) -> None:
        self.counts = [0] * (len(self.BOUNDS) + 1)
        self.total = self.longest = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect.bisect_left(self.BOUNDS, seconds)] += 1
        self.total += max(0.0, seconds)
        self.longest = max(self.longest, seconds)

    async def watch(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(EVERY)
            self.add(loop.time() - before - EVERY)
