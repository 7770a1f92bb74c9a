"""Leader election by a Lease (coordination.k8s.io/v1), by the rules of Kubernetes' own components.

A Lease counts as expired when it was seen unchanged for its duration, measured by this process's monotonic clock: the
clocks of machines are never compared, and one that jumps makes no second leader. (kubernetes-asyncio has an election,
too; it goes by the time of day and ends at the first lost connection.)
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import random
from enum import Enum
from typing import Any

from tidegate.kubernetes.client import ApiError, ConflictError, Kubernetes, NotFoundError
from tidegate.kubernetes.kinds import LEASE

log = logging.getLogger("tidegate")


class Role(Enum):
    """What a replica is among the others."""

    LEADER = "leader"
    FOLLOWER = "follower"  # somebody else leads
    UNKNOWN = "unknown"  # nobody is known to lead


class Election:
    """`ttl` seconds a lease lasts; it is renewed four times in that, and given up for lost after half of it."""

    def __init__(self, client: Kubernetes, namespace: str, name: str, identity: str, ttl: float = 30) -> None:
        self._client, self._namespace, self.name, self.identity = client, namespace, name, identity
        self._ttl = ttl
        self._seen: tuple[str, str] = ("", "")  # holder and time of renewal, as last read
        self._seen_at = 0.0
        self._valid_until = 0.0
        self._other_until = 0.0
        self._changed = asyncio.Event()
        self._was_leader = False
        self._renewed = False

    @property
    def is_leader(self) -> bool:
        return asyncio.get_running_loop().time() < self._valid_until

    @property
    def role(self) -> Role:
        if self.is_leader:
            return Role.LEADER
        others = asyncio.get_running_loop().time() < self._other_until
        return Role.FOLLOWER if others else Role.UNKNOWN

    async def run(self) -> None:
        """Take part until cancelled; a lease that is held is released then."""
        try:
            while True:
                try:
                    async with asyncio.timeout(self._ttl / 2):
                        await self._step()
                except (ApiError, TimeoutError) as error:
                    log.warning("leader election: %s", error or "no answer in time")
                self._tell()
                await asyncio.sleep(self._ttl / 4 * random.uniform(0.9, 1.1))
        finally:
            if self.is_leader:
                await self._release()

    async def wait(self) -> None:
        """Return as soon as this process is the leader."""
        while not self.is_leader:
            self._changed.clear()
            await self._changed.wait()

    def _tell(self) -> None:
        if self.is_leader != self._was_leader:
            self._was_leader = self.is_leader
            log.info("%s %s", self.identity, "leads" if self._was_leader else "does not lead any more")
        if self._was_leader:
            self._changed.set()

    async def _step(self) -> None:
        now = asyncio.get_running_loop().time()
        try:
            lease = await self._client.get(LEASE, self._namespace, self.name)
        except NotFoundError:
            body = {
                "apiVersion": LEASE.group_version,
                "kind": LEASE.name,
                "metadata": {"name": self.name, "namespace": self._namespace},
                "spec": self._spec({}, acquired=True),
            }
            await self._client.create(LEASE, self._namespace, body)
            self._valid_until = now + self._ttl / 2
            return
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder and holder != self.identity and not self._expired(spec, now):
            self._valid_until = 0
            if self._renewed:
                self._other_until = now + self._ttl / 2
            return
        lease["spec"] = self._spec(spec, acquired=holder != self.identity)
        try:
            await self._client.replace(LEASE, self._namespace, self.name, lease)
        except ConflictError:  # another one was faster
            return
        self._valid_until = now + self._ttl / 2

    def _expired(self, spec: dict[str, Any], now: float) -> bool:
        seen = (str(spec.get("holderIdentity")), str(spec.get("renewTime")))
        self._renewed = seen != self._seen and bool(self._seen[0])  # while we looked on: somebody is alive
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        return now - self._seen_at > float(spec.get("leaseDurationSeconds") or self._ttl)

    def _spec(self, former: dict[str, Any], *, acquired: bool) -> dict[str, Any]:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {
            **former,
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._ttl)),
            "renewTime": now,
        }
        if acquired:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = int(former.get("leaseTransitions") or 0) + bool(former)
        return spec

    async def _release(self) -> None:
        """So that the next one need not wait for the end of the lease."""
        self._valid_until = 0
        try:
            async with asyncio.timeout(2):
                lease = await self._client.get(LEASE, self._namespace, self.name)
                if lease["spec"].get("holderIdentity") == self.identity:
                    lease["spec"]["holderIdentity"] = ""
                    await self._client.replace(LEASE, self._namespace, self.name, lease)
        except (ApiError, TimeoutError) as error:
            log.warning("the lease is not released: %s", error or "no answer in time")
