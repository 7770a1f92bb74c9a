"""The `kubernetes` source: the objects of a cluster.

The initial state is listed in chunks. After that kopf's events tell what changes; because a watch that begins, or has
to begin again, says nothing of what happened before, names and versions are compared with those that are known (a
census, metadata only) each time, and every few minutes.

Of Secrets and ConfigMaps only those are kept that something refers to: `complete` fetches what is referred to for the
first time, `release` drops what nothing refers to any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from typing import Any, NamedTuple

from tidegate.findings import Finding, ObjectKey
from tidegate.kubernetes import kinds
from tidegate.kubernetes.client import (
    Access,
    ForbiddenError,
    GoneError,
    Kubernetes,
    NotFoundError,
    UnavailableError,
)
from tidegate.kubernetes.kinds import ON_DEMAND, Kind
from tidegate.resources.changes import Change, SourceUpdate
from tidegate.resources.decode import Decoded, decode
from tidegate.sources.classes import Classes
from tidegate.sources.versions import Versions
from tidegate.sources.watching import Watcher

log = logging.getLogger("tidegate")

INLINE = 20  # objects that are decoded without leaving the event loop
SIDE_BY_SIDE = 32  # requests for single objects
SINGLE_READS = 200  # from here on listing is cheaper
CENSUS_DELAY = 1.0
CENSUS_EVERY = 600.0
OWED_EVERY = 2.0
START_AGAIN = 2.0


class Scope(NamedTuple):
    """Which part of the cluster is read; no `namespace`: all of it.

    `extra` are further namespaces of which only Services, Secrets and ConfigMaps count (the controller's own objects),
    `replicas` is one of which EndpointSlices do: those of the Service that leads to the controller's replicas.
    """

    namespace: str = ""
    extra: tuple[str, ...] = ()
    replicas: str = ""
    namespaces_matter: bool = False  # whether Namespace objects are read (labels)

    @property
    def namespaces(self) -> tuple[str, ...]:
        if not self.namespace:
            return ()
        return tuple(dict.fromkeys(name for name in (self.namespace, *self.extra, self.replicas) if name))

    def takes(self, kind: Kind, namespace: str) -> bool:
        if not self.namespace or not kind.namespaced or namespace == self.namespace:
            return True
        if namespace == self.replicas and kind is kinds.ENDPOINT_SLICE:
            return True
        return namespace in self.extra and kind.name in ("Service", *ON_DEMAND)


class _News(NamedTuple):
    kind: Kind
    gone: bool
    object: dict[str, Any]


class KubernetesSource:
    """A `Source`. `classes` decides which Ingresses are somebody else's; `more` are kinds that may be missing."""

    def __init__(
        self,
        access: Access,
        client: Kubernetes,
        classes: Classes,
        scope: Scope = Scope(),  # noqa: B008 - immutable
        *,
        more: tuple[Kind, ...] = (),
        census_every: float = CENSUS_EVERY,
    ) -> None:
        self._access, self._client, self._classes, self._scope, self._more = access, client, classes, scope, more
        self._census_every = census_every
        self._kinds: tuple[Kind, ...] = (
            kinds.INGRESS_CLASS,
            *((kinds.NAMESPACE,) if scope.namespaces_matter else ()),
            kinds.SERVICE,
            kinds.ENDPOINT_SLICE,
            kinds.INGRESS,
            *more,
        )
        self._versions = Versions()
        self._findings: dict[ObjectKey, tuple[Finding, ...]] = {}
        self._told: tuple[Finding, ...] = ()
        self._wanted: set[ObjectKey] = set()
        self._owed: set[ObjectKey] = set()  # wanted, and not answered for yet
        self._inbox: deque[_News] = deque()
        self._listed: set[Kind] = set()
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.status: dict[ObjectKey, Any] = {}  # `status.loadBalancer.ingress` of each Ingress as last seen

    async def updates(self) -> AsyncGenerator[SourceUpdate, None]:
        """The complete state, then changes; to be iterated once, and closed."""
        self._loop = asyncio.get_running_loop()
        yield SourceUpdate(tuple(await self._initial()), self._all_findings())
        watcher = Watcher(
            self._access,
            (*self._kinds, kinds.SECRET, kinds.CONFIG_MAP),
            self._scope.namespaces,
            self._heard,
            self._heard_list,
        )
        watcher.start()
        helpers = [asyncio.create_task(task) for task in (self._count(), self._pay())]
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                changes = await self._take()
                findings = self._all_findings()
                if changes or findings is not self._told:
                    self._told = findings
                    yield SourceUpdate(tuple(changes), findings)
        finally:
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await watcher.stop()

    # -- the first state ----------------------------------------------------------------------------------------------

    async def _initial(self) -> list[Change]:
        """Everything but Secrets and ConfigMaps. An API server that does not answer is asked again and again."""
        changes: list[Change] = []
        for kind in self._kinds:
            changes += await self._insist(kind)
        return changes

    async def _insist(self, kind: Kind) -> list[Change]:
        while True:
            try:
                return await self._list(kind)
            except GoneError:
                continue
            except (ForbiddenError, NotFoundError) as error:
                if self._do_without(kind, error):
                    return []
                log.error("waiting for permission: %s", error)
            except UnavailableError as error:
                log.warning("waiting for the API server: %s", error)
            await asyncio.sleep(START_AGAIN)

    def _do_without(self, kind: Kind, error: ForbiddenError | NotFoundError) -> bool:
        """Whether that can be, which is told; the kind is not followed then."""
        if kind is kinds.INGRESS_CLASS and isinstance(error, ForbiddenError):
            log.warning("the field ingressClassName is ignored, for IngressClasses cannot be read: %s", error)
            self._classes.blind = True
        elif kind in self._more:
            log.warning("%s are not served until the next start: %s", kind.plural, error)
        elif isinstance(error, NotFoundError):
            log.warning("%s are not served by this API server: %s", kind.plural, error)
            return True
        else:
            return False
        self._kinds = tuple(item for item in self._kinds if item is not kind)
        return True

    async def _list(self, kind: Kind) -> list[Change]:
        changes: list[Change] = []
        for namespace in self._places(kind):
            async for items in self._client.objects(kind, namespace):
                news = [_News(kind, False, item) for item in items]
                changes += await self._decode(self._select(news))
        return changes

    def _places(self, kind: Kind) -> tuple[str, ...]:
        if not kind.namespaced or not self._scope.namespace:
            return ("",)
        return tuple(name for name in self._scope.namespaces if self._scope.takes(kind, name))

    # -- what kopf says (in its own thread) ---------------------------------------------------------------------------

    def _heard(self, kind: Kind, type_: str | None, item: dict[str, Any]) -> None:
        key, version = _identify(kind, item)
        if not self._scope.takes(kind, key.namespace):
            return
        if kind.name in ON_DEMAND and key not in self._wanted:
            return
        if type_ != "DELETED" and not self._versions.is_news(key, version):
            return
        self._inbox.append(_News(kind, type_ == "DELETED", item))
        self._rouse()

    def _heard_list(self, kind: Kind) -> None:
        self._listed.add(kind)

    def _rouse(self) -> None:
        if self._loop is not None and not self._wake.is_set():
            with contextlib.suppress(RuntimeError):  # the loop is closed: the end
                self._loop.call_soon_threadsafe(self._wake.set)

    # -- from news to changes -----------------------------------------------------------------------------------------

    async def _take(self) -> list[Change]:
        news = []
        while self._inbox:
            news.append(self._inbox.popleft())
        changes = await self._decode(self._select(news))
        if any(item.key.kind == "IngressClass" for item in changes):
            changes += await self._look_again_at_ingresses()
        return changes

    async def _look_again_at_ingresses(self) -> list[Change]:
        """An IngressClass came or went: what was somebody else's may be ours now."""
        self._versions.forget([key for key in self._classes.take_foreign() if key in self._versions])
        try:
            return await self._list(kinds.INGRESS)
        except (GoneError, UnavailableError, ForbiddenError):
            self._listed.add(kinds.INGRESS)  # the census will find them
            return []

    def _select(self, news: Iterable[_News]) -> list[_News]:
        """What is newer than all that was seen of its object; the versions are noted."""
        chosen: dict[ObjectKey, _News] = {}
        for item in news:
            key, version = _identify(item.kind, item.object)
            if self._versions.remove(key, version) if item.gone else self._versions.put(key, version):
                chosen[key] = item
        return list(chosen.values())

    async def _decode(self, news: list[_News]) -> list[Change]:
        changes: list[Change] = []
        there: list[dict[str, Any]] = []
        for item in news:
            key, _ = _identify(item.kind, item.object)
            if item.kind is kinds.INGRESS_CLASS:
                self._classes.learn(key.name, None if item.gone else item.object)
            if item.kind is kinds.INGRESS:
                self._note_ingress(key, item)
                if not item.gone and self._classes.is_foreign(key, item.object):
                    self._findings.pop(key, None)
                    changes.append(Change(key, None))
                    continue
            if item.gone:
                self._findings.pop(key, None)
                changes.append(Change(key, None))
            else:
                there.append(item.object)
        decoded = _decode_all(there) if len(there) <= INLINE else await asyncio.to_thread(_decode_all, there)
        for result in decoded:
            if result.key is None:
                continue
            if result.findings:
                self._findings[result.key] = result.findings
            else:
                self._findings.pop(result.key, None)
            changes.append(Change(result.key, result.resource))
        return changes

    def _note_ingress(self, key: ObjectKey, item: _News) -> None:
        if item.gone:
            self.status.pop(key, None)
            self._classes.forget(key)
        else:
            balancer = (item.object.get("status") or {}).get("loadBalancer") or {}
            self.status[key] = balancer.get("ingress") or []

    def _all_findings(self) -> tuple[Finding, ...]:
        found = tuple(sorted({finding for findings in self._findings.values() for finding in findings}))
        return self._told if found == self._told else found

    # -- Secrets and ConfigMaps ---------------------------------------------------------------------------------------

    async def complete(self, missing: frozenset[ObjectKey]) -> tuple[Change, ...]:
        """What is there of these keys, asked for the first time. What cannot be had now is delivered when it can."""
        asked = {key for key in missing - self._wanted if key.kind in ON_DEMAND}
        self._wanted |= asked
        changes: list[Change] = []
        for kind in (kinds.SECRET, kinds.CONFIG_MAP):
            keys = {key for key in asked if key.kind == kind.name and self._scope.takes(kind, key.namespace)}
            if keys:
                changes += await self._decode(self._select(await self._fetch(kind, keys)))
        return tuple(changes)

    def release(self, keys: frozenset[ObjectKey]) -> tuple[Change, ...]:
        """Nothing refers to these any more."""
        dropped = keys & self._wanted
        self._wanted -= dropped
        self._owed -= dropped
        self._versions.forget(dropped)
        for key in dropped:
            self._findings.pop(key, None)
        return tuple(Change(key, None) for key in dropped)

    async def _fetch(self, kind: Kind, keys: set[ObjectKey]) -> list[_News]:
        try:
            if len(keys) > SINGLE_READS:
                return [
                    _News(kind, False, item)
                    for place in self._places(kind)
                    async for items in self._client.objects(kind, place)
                    for item in items
                    if _identify(kind, item)[0] in keys
                ]
        except (GoneError, UnavailableError, ForbiddenError) as error:
            log.warning("%d %s are asked for later: %s", len(keys), kind.plural, error)
            self._owed |= keys
            return []
        gate = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(key: ObjectKey) -> _News | None:
            async with gate:
                try:
                    return _News(kind, False, await self._client.get(kind, key.namespace, key.name))
                except NotFoundError:
                    return None
                except (UnavailableError, ForbiddenError) as error:
                    log.warning("%s is asked for later: %s", key, error)
                    self._owed.add(key)
                    return None

        return [item for item in await asyncio.gather(*map(one, keys)) if item is not None]

    async def _pay(self) -> None:
        """Deliver what was owed."""
        while True:
            await asyncio.sleep(OWED_EVERY)
            owed, self._owed = self._owed, set()
            for kind in (kinds.SECRET, kinds.CONFIG_MAP):
                if keys := {key for key in owed if key.kind == kind.name}:
                    await self._deliver(await self._fetch(kind, keys))

    async def _deliver(self, news: list[_News]) -> None:
        self._inbox.extend(news)
        if news:
            self._wake.set()

    # -- census -------------------------------------------------------------------------------------------------------

    async def _count(self) -> None:
        """Compare with the cluster what was listed again, and everything now and then."""
        assert self._loop is not None
        everything = self._loop.time() + self._census_every
        while True:
            await asyncio.sleep(CENSUS_DELAY)
            if self._loop.time() >= everything:
                everything = self._loop.time() + self._census_every
                self._listed |= set(self._kinds)
            due, self._listed = self._listed, set()
            for kind in due:
                try:
                    await self._compare(kind)
                except (GoneError, UnavailableError):
                    self._listed.add(kind)
                except (ForbiddenError, NotFoundError) as error:
                    log.error("%s", error)

    async def _compare(self, kind: Kind) -> None:
        there: dict[ObjectKey, int] = {}
        oldest: int | None = None
        for place in self._places(kind):
            metas, version = await self._client.census(kind, place)
            oldest = version if oldest is None else min(oldest, version)
            there |= {ObjectKey(kind.name, item.namespace, item.name): int(item.resource_version) for item in metas}
        gone = [key for key, seen in self._versions.of_kind(kind.name) if key not in there and seen <= (oldest or 0)]
        await self._deliver([_News(kind, True, _remains(key, oldest or 0)) for key in gone])
        news = {
            key
            for key, version in there.items()
            if self._versions.is_news(key, version) and (kind.name not in ON_DEMAND or key in self._wanted)
        }
        if gone:
            log.info("%d %s were deleted unnoticed", len(gone), kind.plural)
        if news:
            await self._deliver(await self._fetch(kind, news))


def _identify(kind: Kind, item: dict[str, Any]) -> tuple[ObjectKey, int]:
    meta = item["metadata"]
    namespace = meta.get("namespace", "") if kind.namespaced else ""
    return ObjectKey(kind.name, namespace, meta["name"]), int(meta.get("resourceVersion") or 0)


def _remains(key: ObjectKey, version: int) -> dict[str, Any]:
    """What is known of an object that is gone."""
    return {"metadata": {"namespace": key.namespace, "name": key.name, "resourceVersion": str(version)}}


def _decode_all(items: list[dict[str, Any]]) -> list[Decoded]:
    return [decode(item, created=0, uid="", place="") for item in items]
