"""Active health checks: who is asked when, and what the answers mean."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable

from tidegate.endpointpools.plan import Health, Probe
from tidegate.endpointpools.probing import Prober

JITTER = 0.1
AT_ONCE = 500  # checks under way
FIRST_SPREAD = 0.005  # seconds for each endpoint, over which the first checks are spread: many at once hold the loop


class Checker:
    """Keeps asking a set of endpoints; `on_change` is called in the event loop when `healthy` of one changes."""

    def __init__(self, on_change: Callable[[Probe], None], prober: Callable[[], Prober] = Prober) -> None:
        self._on_change, self._make_prober = on_change, prober
        self._prober: Prober | None = None
        self._tasks: dict[Probe, asyncio.Task[None]] = {}
        self._health: dict[Probe, Health] = {}
        self._gate = asyncio.Semaphore(AT_ONCE)

    def health(self, probe: Probe) -> Health:
        return self._health.get(probe, Health())

    def want(self, probes: frozenset[Probe]) -> None:
        """From now on these, and no others."""
        for probe in self._tasks.keys() - probes:
            self._tasks.pop(probe).cancel()
            self._health.pop(probe, None)
        new = probes - self._tasks.keys()
        if new and self._prober is None:
            self._prober = self._make_prober()
        for number, probe in enumerate(new):
            self._tasks[probe] = asyncio.create_task(self._follow(probe, number * FIRST_SPREAD))

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self.want(frozenset())
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._prober is not None:
            await self._prober.close()
            self._prober = None

    async def _follow(self, probe: Probe, delay: float) -> None:
        assert self._prober is not None
        loop, prober, interval = asyncio.get_running_loop(), self._prober, probe.check.interval
        due = loop.time() + delay
        try:
            while True:
                await asyncio.sleep(max(0.0, due - loop.time()))
                due = max(due, loop.time()) + interval * random.uniform(1 - JITTER, 1 + JITTER)
                async with self._gate:
                    failure = await prober.check(probe)
                former = self.health(probe)
                now = self._health[probe] = former.after(failure, probe.check)
                if now.healthy != former.healthy:
                    self._on_change(probe)
        finally:
            await prober.forget(probe)
