"""A source between another one and the control plane, which lets the controller of pools see everything.

With `tidegate up`, which has no API server in between, it also brings what the controller makes of it.
"""

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

AT_ONCE = 500  # changes of the first state that are taken without letting others have a turn
FIRST_ANSWERS = 3.0  # seconds that the first state waits for DNS and health checks


class PooledSource:
    """A `Source`: the objects of `inner` but the pools, the findings about these, and what `writer` collects.

    The controller runs as long as its updates are read.
    """

    def __init__(self, inner: Source, pools: EndpointPools, writer: MemoryWriter | None = None) -> None:
        self._inner, self.pools, self._writer = inner, pools, writer

    @classmethod
    def of_folder(
        cls, inner: Source, allowed: tuple[IPNetwork, ...], dns_servers: Iterable[tuple[str, int]]
    ) -> PooledSource:
        """`allowed` are the networks of `--endpoint-pool-allowed-cidrs`, which may open loopback here."""
        writer = MemoryWriter()
        pools = EndpointPools(
            writer,
            lambda is_service: Guard(allowed, loopback=True, is_service=is_service),
            dns_servers=dns_servers,
        )
        return cls(inner, pools, writer)

    async def complete(self, missing: frozenset[ObjectKey]) -> tuple[Change, ...]:
        return await self._inner.complete(missing)

    def release(self, keys: frozenset[ObjectKey]) -> tuple[Change, ...]:
        return self._inner.release(keys)

    async def updates(self) -> AsyncGenerator[SourceUpdate, None]:
        """As `inner` has them; the first one of a folder is complete with what DNS and endpoints have answered."""
        async with contextlib.aclosing(self._inner.updates()) as inner:
            found = await anext(inner)
            for start in range(0, len(found.changes), AT_ONCE):  # the pools do not work yet: they see all of it
                self.pools.observe(found.changes[start : start + AT_ONCE])
                await asyncio.sleep(0)
            working = asyncio.create_task(self.pools.run())
            reading = asyncio.create_task(_next(inner))
            hearing = asyncio.create_task(self.pools.news.wait())
            try:
                if self._writer is not None:
                    await self.pools.work_off()
                    await self.pools.settle(FIRST_ANSWERS)
                findings = found.findings
                told = self._joined(found.changes, findings)
                yield told
                while True:
                    await asyncio.wait({working, reading, hearing}, return_when=asyncio.FIRST_COMPLETED)
                    changes: tuple[Change, ...] = ()
                    if working.done():
                        working.result()
                    if reading.done():
                        update = reading.result()
                        changes, findings = update.changes, update.findings
                        self.pools.observe(changes)
                        if self._writer is not None:
                            await self.pools.work_off()  # pools take effect together with their Ingresses
                        reading = asyncio.create_task(_next(inner))
                    if hearing.done():
                        self.pools.news.clear()
                        hearing = asyncio.create_task(self.pools.news.wait())
                    update = self._joined(changes, findings)
                    if update.changes or update.findings != told.findings:
                        told = update
                        yield update
            finally:
                for task in (working, reading, hearing):
                    task.cancel()
                await asyncio.gather(working, reading, hearing, return_exceptions=True)

    def _joined(self, changes: tuple[Change, ...], findings: tuple[Finding, ...]) -> SourceUpdate:
        others = tuple(change for change in changes if change.key.kind != "EndpointPool")
        made = self._writer.take() if self._writer is not None else ()
        return SourceUpdate((*others, *made), (*findings, *self.pools.findings()))


async def _next(updates: AsyncGenerator[SourceUpdate, None]) -> SourceUpdate:
    try:
        return await anext(updates)
    except StopAsyncIteration:
        raise RuntimeError("the source has ended") from None
