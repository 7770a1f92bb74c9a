"""`status.loadBalancer` of the Ingresses that are ours: written by the leader, and only where it differs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any

from tidegate.findings import ObjectKey
from tidegate.kubernetes import addresses
from tidegate.kubernetes.addresses import Address, Published
from tidegate.kubernetes.client import ApiError, ConflictError, ForbiddenError, Kubernetes, NotFoundError
from tidegate.kubernetes.kinds import INGRESS
from tidegate.kubernetes.leader import Election

log = logging.getLogger("tidegate")

SIDE_BY_SIDE = 8
SOONEST = 1.0  # seconds between two rounds

Seen = Callable[[], Iterable[tuple[ObjectKey, Any]]]


class StatusWriter:
    """`seen` tells the Ingresses to write, each with the `status.loadBalancer.ingress` that it was last seen with.

    What is invalid about an Ingress never withdraws its address: it is simply left as it is.
    """

    def __init__(
        self,
        client: Kubernetes,
        election: Election,
        published: Published,
        seen: Seen,
        *,
        interval: float = 60,
        clear_at_end: bool = True,
    ) -> None:
        self._client, self._election, self._published, self._seen = client, election, published, seen
        self._interval, self._clear_at_end = max(5.0, interval), clear_at_end
        self._due = asyncio.Event()

    def look(self) -> None:
        """Something changed: compare soon."""
        self._due.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._election.wait()
            self._due.clear()
            try:
                await self.write(await addresses.find(self._client, self._published))
            except ApiError as error:
                log.warning("status is written later: %s", error)
            await asyncio.sleep(SOONEST)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval - SOONEST):
                    await self._due.wait()

    async def write(self, wanted: list[Address]) -> None:
        """Bring each Ingress to these addresses."""
        gate = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(key: ObjectKey) -> None:
            async with gate:
                if not self._election.is_leader:
                    return
                try:
                    await self._write(key, wanted)
                except NotFoundError:
                    pass
                except (ConflictError, ForbiddenError) as error:
                    log.warning("status of %s is written later: %s", key, error)

        differing = [key for key, seen in self._seen() if _plain(seen) != wanted]
        await asyncio.gather(*map(one, differing))

    async def _write(self, key: ObjectKey, wanted: list[Address]) -> None:
        """The whole object with the version that was read, so that nothing written in between is lost."""
        found = await self._client.get(INGRESS, key.namespace, key.name)
        status = found.get("status") or {}
        balancer = status.get("loadBalancer") or {}
        if _plain(balancer.get("ingress") or []) == wanted:
            return
        found["status"] = {**status, "loadBalancer": {**balancer, "ingress": wanted}}
        await self._client.replace(INGRESS, key.namespace, key.name, found, "status")

    async def clear(self) -> None:
        """At the end of the last instance: take the addresses back (`--update-status-on-shutdown`)."""
        if not self._clear_at_end or not self._election.is_leader:
            return
        try:
            if len(await addresses.find(self._client, self._published)) > 1:
                return
            pods = self._published.pods
            if pods is not None and len(await addresses.siblings(self._client, pods)) > 1:
                return
            await self.write([])
        except ApiError as error:
            log.warning("status is not taken back: %s", error)


def _plain(entries: list[dict[str, Any]]) -> list[Address]:
    """Entries as this program writes them: addresses without what others added (`ipMode`, `ports`)."""
    return [{key: row[key] for key in ("hostname", "ip") if row.get(key)} for row in entries]
