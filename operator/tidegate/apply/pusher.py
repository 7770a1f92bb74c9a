"""Transactions to the data plane: each is written down first, so that the state file is never behind."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tidegate.apply.dataplane import DataPlane, DataPlaneError, PushResult, VersionConflictError
from tidegate.apply.frames import Transaction, encode
from tidegate.apply.records import Record, needs_of
from tidegate.apply.statefile import StateFile

log = logging.getLogger("tidegate.apply")

FIRST_VERSION = 1000
CHUNK = 128 * 1024
KEPT_RECORDS = 8
OLD_WORKERS_LIMIT = 5.0


class Pusher:
    """`memory` is capacity and free bytes of the data dictionary as last told."""

    def __init__(self, run_dir: Path) -> None:
        self.plane = DataPlane(run_dir)
        self.memory = (0, 0)
        self.capacity: int | None = None  # of the newest workers' dictionary
        self._state = StateFile(run_dir / "state")

    @property
    def values(self) -> dict[str, bytes]:
        """What the data plane has, by key."""
        return self._state.values

    @property
    def kept(self) -> list[str]:
        """Keys of the former records that are kept for older workers."""
        return [key for key in self.values if key.startswith("q:")]

    async def load(self) -> None:
        """Read what an earlier run left."""
        await asyncio.to_thread(self._state.load)

    async def replace(self, values: dict[str, bytes]) -> None:
        """Write down a whole new state, for workers with empty memory to begin with."""
        version = max(self._state.version + 1, FIRST_VERSION + sum(map(len, values.values())) // CHUNK)
        await asyncio.to_thread(self._state.replace, values, version)

    async def catch_up(self) -> None:
        """Bring a data plane that runs to what the files say."""
        plane = await self.plane.status()
        limit = time.monotonic() + OLD_WORKERS_LIMIT
        while plane.capacity != self.capacity and time.monotonic() < limit:  # an older worker has answered
            await asyncio.sleep(0.02)
            plane = await self.plane.status()
        self.memory = (plane.capacity, plane.free)
        if plane.version == self._state.version:
            return
        behind = self._state.transactions_after(plane.version)
        if behind is None:
            await self._rewrite()
        for transaction in behind or ():
            await self._send(encode(transaction))

    def with_former(self, record: Record) -> dict[str, bytes | None]:
        """The record, and before it, for workers without its policies, the one it takes the place of.

        Beside a guarded record there is none that is not: no worker may find a way around the guard.
        """
        former = self.values.get(record.key)
        if not (record.policies or record.profile) or former is None or former == record.value:
            return {record.key: record.value}
        kept = self._kept_beside(record.key, former)
        if record.guarded:
            kept = {key: _guarded_only(rows) for key, rows in kept.items()}
        return {**kept, record.key: record.value}

    def _kept_beside(self, key: str, value: bytes) -> dict[str, bytes | None]:
        """The operation that lets workers choose this value where what stands under the key does not fit them."""
        kept = "q:" + key[2:]
        rows: list[msgspec.Raw] = msgspec.json.decode(self.values.get(kept, b"[]"), type=list[msgspec.Raw])
        return {kept: msgspec.json.encode([msgspec.Raw(value), *rows][:KEPT_RECORDS])}

    async def offer(self, records: Iterable[Record]) -> None:
        """Lay records beside those in force, for workers that are about to start and cannot serve by the latter."""
        operations: dict[str, bytes | None] = {}
        for record in records:
            if record.value is not None:
                operations |= self._kept_beside(record.key, record.value)
        if operations:
            await self.push(operations)

    async def push(self, operations: dict[str, bytes | None]) -> None:
        """Write operations down and push them. Raises DataPlaneError when they did not arrive."""
        transaction = Transaction(self._state.version + 1, operations)
        encoded = self._state.append(transaction)
        try:
            await self._send(encoded)
        except VersionConflictError as error:
            self._state.withdraw(encoded)
            log.warning("%s, expected %d: writing everything anew", error, self._state.version)
            await self._rewrite()
            await self.push(operations)
            return
        except BaseException:
            self._state.withdraw(encoded)
            raise
        self._state.accept(transaction)

    async def _send(self, encoded: bytes) -> PushResult:
        """Push to the newest workers.

        For a moment after a reload older ones answer too, and if the size has changed, from memory of their own.
        """
        limit = time.monotonic() + OLD_WORKERS_LIMIT
        while True:
            result = await self.plane.push(encoded)
            self.memory = (result.capacity, result.free)
            if self.capacity in (None, result.capacity):
                return result
            if time.monotonic() > limit:
                raise DataPlaneError(f"older workers with {result.capacity} bytes of shared memory still answer")
            await asyncio.sleep(0.02)

    async def _rewrite(self) -> None:
        """Replace all data of the data plane by those of the files, in one transaction."""
        version, values = 1, self.values
        await self._send(encode(Transaction(version, dict(values))))
        await asyncio.to_thread(self._state.replace, values, version)

    async def close(self) -> None:
        await self.plane.close()


def _guarded_only(rows: bytes | None) -> bytes | None:
    """Those of encoded records that demand a server which verifies clients; None for none."""
    found = [
        row for row in msgspec.json.decode(rows or b"[]", type=list[msgspec.Raw]) if needs_of("", bytes(row)).guarded
    ]
    return msgspec.json.encode(found) if found else None
