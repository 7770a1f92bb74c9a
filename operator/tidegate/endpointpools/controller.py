"""Keeps the endpoints of Services in step with pools, host names and health."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable

import msgspec

from tidegate.dns import Resolver
from tidegate.endpointpools.decide import decide
from tidegate.endpointpools.guard import Guard, Surroundings
from tidegate.endpointpools.health import Checker
from tidegate.endpointpools.known import Name, Objects
from tidegate.endpointpools.layout import Spot, same_endpoints, same_slice
from tidegate.endpointpools.plan import Answer, Draft, Probe, Wish
from tidegate.endpointpools.shown import EndpointState, PoolState
from tidegate.endpointpools.verdicts import Happening, findings_of, happenings, readiness, status_of
from tidegate.endpointpools.writers import ForeignError, WriteError, Writer
from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.resources.changes import Change, Resolution
from tidegate.resources.model import Endpoints, EndpointSlice, Namespace, PoolStatus

log = logging.getLogger("tidegate")

GATHER, MOST_GATHER = 0.05, 1.0  # seconds in which changes are gathered
SHARE = 10  # so many times as long as the changes before took: thousands of endpoints may come up one by one
LOOK = 1.0  # seconds after which it is looked again whether this process leads
RETRY, MOST_RETRY = 1.0, 60.0
SIDE_BY_SIDE = 16


class _Work(msgspec.Struct, frozen=True):
    """What is decided for one Service."""

    states: tuple[PoolState, ...]
    findings: tuple[Finding, ...]


class EndpointPools:
    """See the module. `observe` tells of changes, `run` acts on them while `leads` holds, and sets `news` after that.

    `guard` makes the rules for addresses, given what says whether one is that of a Service; `serves` says whether
    the pools of a namespace count; `note` hears of what changes for a pool or an annotated Service, by key and UID.
    """

    def __init__(
        self,
        writer: Writer,
        guard: Callable[[Callable[[str], bool]], Guard],
        *,
        dns_servers: Iterable[tuple[str, int]] = (),
        leads: Callable[[], bool] = lambda: True,
        serves: Callable[[Namespace | None], bool] = lambda namespace: True,
        note: Callable[[ObjectKey, str, Happening], None] = lambda owner, uid, happening: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer, self._leads, self._note, self._clock = writer, leads, note, clock
        self._objects = Objects(serves)
        self._guard = guard(self._objects.is_cluster_ip)
        self._answers: dict[str, Answer] = {}
        self._drafts: dict[Name, Draft] = {}
        self._names: dict[Name, frozenset[str]] = {}
        self._work: dict[Name, _Work] = {}
        self._statuses: dict[str, PoolStatus] = {}  # as written last, by UID
        self._attempts: defaultdict[Name, int] = defaultdict(int)
        self._dirty: set[Name] = set()
        self._wake, self._progress, self.news = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._leading = self.running = False
        self._strays: tuple[Finding, ...] = ()
        self._lock = asyncio.Lock()
        self._resolver = Resolver(self._on_addresses, dns_servers, on_problem=self._on_problem)
        self._checker = Checker(self._on_health)

    # -- what is told -------------------------------------------------------------------------------------------------

    def observe(self, changes: Iterable[Change]) -> None:
        """The source says so."""
        touched, taken = self._objects.apply(changes)
        around = self._guard.around
        if not self._objects.api_server <= around.api_server:
            api_server = around.api_server | self._objects.api_server
            self.look_around(msgspec.structs.replace(around, api_server=api_server))
        for name, found in self._drafts.items():
            if taken and not taken.isdisjoint(found.addresses):
                touched.add(name)
        self._touch(touched)

    def own_endpoints(self) -> frozenset[ObjectKey]:
        """The Endpoints objects that are ours, as far as is known."""
        return self._objects.own_endpoints()

    def api_server(self) -> frozenset[str]:
        """The addresses of the API server, as its own Service says."""
        return frozenset(self._objects.api_server)

    def has_service(self, namespace: str, name: str) -> bool:
        return Name(namespace, name) in self._objects.services

    def tell_strays(self, strays: tuple[Finding, ...]) -> None:
        """What was found about Endpoints objects that belong to nothing."""
        if strays != self._strays:
            self._strays = strays
            self.news.set()

    def look_around(self, around: Surroundings) -> None:
        """The surroundings are these now."""
        if around != self._guard.around:
            self._guard = self._guard.within(around)
            self._touch(self._objects.concerned())

    def _on_addresses(self, resolution: Resolution) -> None:
        self._answer(resolution.name, Answer(resolution.addresses, answered=True))

    def _on_problem(self, name: str, problem: str) -> None:
        former = self._answers.get(name, Answer())
        self._answer(name, Answer(former.addresses, problem, answered=True))

    def _answer(self, name: str, answer: Answer) -> None:
        if self._answers.get(name) != answer:
            self._answers[name] = answer
            self._progress.set()
            self._touch({user for user, names in self._names.items() if name in names})

    def _on_health(self, probe: Probe) -> None:
        self._progress.set()
        self._touch({name for name, found in self._drafts.items() if found.probes.get(probe.address) == probe})

    def _touch(self, names: set[Name]) -> None:
        if names:
            self._dirty |= names
            self._wake.set()

    # -- what is shown ------------------------------------------------------------------------------------------------

    def findings(self) -> tuple[Finding, ...]:
        found = {finding for work in self._work.values() for finding in work.findings}
        return tuple(sorted(found.union(self._strays)))

    def states(self) -> list[PoolState]:
        """All pools and annotations; of those that another process cares for, what it has written."""
        if self._leading:
            found = [state for work in self._work.values() for state in work.states]
        else:
            found = [
                PoolState(key, pool.metadata.uid, pool.service, pool.status or PoolStatus())
                for key, pool in self._objects.pools.items()
            ]
        return sorted(found, key=lambda state: state.owner)

    # -- what is done -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. All that there was at the start has been observed."""
        self.running = True
        loop, took = asyncio.get_running_loop(), 0.0
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await self._wake.wait()
                if self._wake.is_set():
                    await asyncio.sleep(min(max(GATHER, SHARE * took), MOST_GATHER))
                started = loop.time()
                await self.work_off()
                took = loop.time() - started
        finally:
            await self._checker.close()
            await self._resolver.close()

    async def work_off(self) -> None:
        """Act on everything that was told until now."""
        async with self._lock:
            self._take_office()
            self._wake.clear()
            if not self._leading:
                self._dirty.clear()
                return
            dirty, self._dirty = self._dirty, set()
            gate = asyncio.Semaphore(SIDE_BY_SIDE)

            async def one(name: Name) -> None:
                async with gate:
                    await self._bring(name)

            if dirty:
                await asyncio.gather(*(one(name) for name in sorted(dirty)))
                self._follow()
                self._progress.set()
                self.news.set()

    async def settle(self, limit: float) -> None:
        """Return when names and endpoints have been asked once, or after `limit` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while not self._settled():
                    self._progress.clear()
                    await self._progress.wait()
        await self.work_off()

    def _settled(self) -> bool:
        if self._dirty:
            return False
        if any(not self._answers.get(name, Answer()).answered for names in self._names.values() for name in names):
            return False
        probes = (probe for found in self._drafts.values() for probe in found.probes.values())
        return all(self._checker.health(probe).healthy is not None for probe in probes)

    def _take_office(self) -> None:
        leads = self._leads()
        if leads and not self._leading:
            self._dirty |= self._objects.concerned()
        elif self._leading and not leads:
            for name in list(self._work):
                self._forget(name)
            self._attempts.clear()
            self._follow()
        self._leading = leads

    def _follow(self) -> None:
        """Ask DNS and endpoints for just what is wanted now."""
        names = frozenset(name for names in self._names.values() for name in names)
        self._resolver.want(names)
        for name in self._answers.keys() - names:
            del self._answers[name]
        self._checker.want(frozenset(probe for found in self._drafts.values() for probe in found.probes.values()))

    async def _bring(self, name: Name) -> None:
        """Bring one Service to what it shall be; what cannot be written is tried again later."""
        try:
            await self._reconcile(name)
        except WriteError as error:
            self._try_again(name, str(error))
        except Exception as error:  # a fault in one Service must not stop all others
            log.exception("endpoints of %s/%s", name.namespace, name.service)
            self._try_again(name, repr(error))
        else:
            self._attempts.pop(name, None)

    def _try_again(self, name: Name, why: str) -> None:
        self._attempts[name] += 1
        pause = min(RETRY * 2 ** (self._attempts[name] - 1), MOST_RETRY) * random.uniform(0.8, 1.2)
        log.warning("endpoints of %s/%s: %s; tried again in %.0f s", name.namespace, name.service, why, pause)
        asyncio.get_running_loop().call_later(pause, self._touch, {name})

    async def _reconcile(self, name: Name) -> None:
        found = decide(self._objects, name, self._answers, self._guard.refusal, self._checker.health)
        if found is None:
            await self._write(name, None, (), None)
            self._forget(name)
            return
        self._drafts[name] = found.draft
        self._names[name] = found.wish.names if found.draft.accepted.status else frozenset()
        foreign = await self._write(name, found.wish, found.slices, found.endpoints)
        findings = list(findings_of(found.wish, found.draft))
        if foreign:
            findings.append(Finding(found.wish.owner, "", Severity.WARNING, "NotOwned", foreign))
        states = [self._state(found.wish, found.draft, found.spots, found.failures, found.slices)]
        for loser, idle in found.losers:
            states.append(self._state(loser, idle, (), {}, ()))
            findings += findings_of(loser, idle)
        self._keep(name, _Work(tuple(states), tuple(findings)))
        for state in states:
            await self._tell(state)

    def _keep(self, name: Name, work: _Work) -> None:
        former = self._work.get(name)
        for uid in {state.uid for state in (former.states if former else ())} - {state.uid for state in work.states}:
            self._statuses.pop(uid, None)
        self._work[name] = work

    def _forget(self, name: Name) -> None:
        self._keep(name, _Work((), ()))
        del self._work[name]
        self._drafts.pop(name, None)
        self._names.pop(name, None)

    def _state(
        self,
        wish: Wish,
        found: Draft,
        spots: tuple[Spot, ...],
        failures: dict[str, str],
        slices: tuple[EndpointSlice, ...],
    ) -> PoolState:
        pool = self._objects.pools.get(wish.owner)
        before = self._statuses.get(wish.uid) or (pool.status if pool is not None else None)
        status = status_of(wish, found, readiness(found, spots, failures), spots, before, int(self._clock()))
        hosts = {address: name for name in wish.names for address in self._answers.get(name, Answer()).addresses}
        rows = tuple(
            EndpointState(spot.address, hosts.get(spot.address, ""), spot.ready, failures.get(spot.address, ""))
            for spot in spots
        )
        return PoolState(wish.owner, wish.uid, wish.service, status, rows, tuple(item.metadata.name for item in slices))

    async def _tell(self, state: PoolState) -> None:
        pool = self._objects.pools.get(state.owner)
        former = self._statuses.get(state.uid) or (pool.status if pool else None)
        if former == state.status:
            return
        if pool is not None:
            await self._writer.status(pool, state.status)
        self._statuses[state.uid] = state.status
        for happening in happenings(former, state.status):
            self._note(state.owner, state.uid, happening)

    async def _write(
        self, name: Name, wish: Wish | None, slices: tuple[EndpointSlice, ...], endpoints: Endpoints | None
    ) -> str:
        """Make our objects of a Service these; what is new comes first. Returns what is somebody else's."""
        objects = self._objects
        before = {item.key: item for item in objects.slices(name)}
        foreign = ""
        for item in slices:
            assert wish is not None
            if not same_slice(before.get(item.key), item):
                try:
                    await self._writer.put(item, wish)
                except ForeignError:  # its name is taken: another one, next time
                    objects.foreign.add(item.key)
                    self._touch({name})
                    continue
                objects.apply([Change(item.key, item)])
        if endpoints is not None and wish is not None:
            foreign = await self._put_endpoints(name, endpoints, wish)
        for key in before.keys() - {item.key for item in slices}:
            await self._writer.delete(key)
            objects.apply([Change(key, None)])
        own = objects.endpoints(name)
        if own is not None and endpoints is None:
            await self._writer.delete(own.key)
            objects.apply([Change(own.key, None)])
        return foreign

    async def _put_endpoints(self, name: Name, endpoints: Endpoints, wish: Wish) -> str:
        objects, key = self._objects, endpoints.key
        try:
            if key in objects.foreign:
                raise ForeignError
            if not same_endpoints(objects.endpoints(name), endpoints):
                await self._writer.put(endpoints, wish)
                objects.apply([Change(key, endpoints)])
        except ForeignError:
            return f"the {key} object is not Tidegate's and stays as it is"
        return ""
