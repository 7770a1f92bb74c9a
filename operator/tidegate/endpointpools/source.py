"""A source whose objects come with what the controller makes of them: `tidegate up` has no API server in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable

from tidegate.endpointpools.controller import EndpointPools
from tidegate.endpointpools.guard import Guard, IPNetwork
from tidegate.endpointpools.writers import MemoryWriter
from tidegate.findings import Finding, ObjectKey
from tidegate.resources.changes import Change, SourceUpdate
from tidegate.sources.base import Source

FIRST_ANSWERS = 3.0  # seconds that the first state waits for DNS and health checks


class PooledSource:
    """A `Source`: the objects of `inner`, and the slices and Endpoints that `pools` makes of them.

    `allowed` are the networks of `--endpoint-pool-allowed-cidrs`, which may open loopback here.
    """

    def __init__(
        self, inner: Source, allowed: tuple[IPNetwork, ...] = (), dns_servers: Iterable[tuple[str, int]] = ()
    ) -> None:
        self._inner, self._writer = inner, MemoryWriter()
        self.pools = EndpointPools(
            self._writer,
            lambda is_service: Guard(allowed, loopback=True, is_service=is_service),
            dns_servers=dns_servers,
        )

    async def complete(self, missing: frozenset[ObjectKey]) -> tuple[Change, ...]:
        return await self._inner.complete(missing)

    def release(self, keys: frozenset[ObjectKey]) -> tuple[Change, ...]:
        return self._inner.release(keys)

    async def updates(self) -> AsyncGenerator[SourceUpdate, None]:
        """As `inner` has them; the first one is complete with what DNS and the endpoints have answered by then."""
        async with contextlib.aclosing(self._inner.updates()) as inner:
            found = await anext(inner)
            findings = found.findings
            self.pools.observe(found.changes)
            working = asyncio.create_task(self.pools.run())
            reading = asyncio.create_task(_next(inner))
            hearing = asyncio.create_task(self._writer.news.wait())
            try:
                await self.pools.work_off()
                await self.pools.settle(FIRST_ANSWERS)
                yield self._joined(found.changes, findings)
                while True:
                    await asyncio.wait({working, reading, hearing}, return_when=asyncio.FIRST_COMPLETED)
                    changes: tuple[Change, ...] = ()
                    if working.done():
                        working.result()
                    if reading.done():
                        update = reading.result()
                        changes, findings = update.changes, update.findings
                        self.pools.observe(changes)
                        await self.pools.work_off()
                        reading = asyncio.create_task(_next(inner))
                    yield self._joined(changes, findings)
                    if hearing.done():
                        hearing = asyncio.create_task(self._writer.news.wait())
            finally:
                for task in (working, reading, hearing):
                    task.cancel()
                await asyncio.gather(working, reading, hearing, return_exceptions=True)

    def _joined(self, changes: tuple[Change, ...], findings: tuple[Finding, ...]) -> SourceUpdate:
        return SourceUpdate((*changes, *self._writer.take()), (*findings, *self.pools.findings()))


async def _next(updates: AsyncGenerator[SourceUpdate, None]) -> SourceUpdate:
    try:
        return await anext(updates)
    except StopAsyncIteration:
        raise RuntimeError("the source has ended") from None
