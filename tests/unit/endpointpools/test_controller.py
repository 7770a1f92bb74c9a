"""The controller: what it writes, how it tries again, and that it acts only while it leads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from pools import pool, service
from tidegate.endpointpools import controller as module
from tidegate.endpointpools.controller import EndpointPools
from tidegate.endpointpools.guard import Guard
from tidegate.endpointpools.plan import Wish
from tidegate.endpointpools.writers import ForeignError, WriteError
from tidegate.findings import ObjectKey
from tidegate.resources.changes import Change, Resolution
from tidegate.resources.model import Endpoint, EndpointPool, Endpoints, EndpointSlice, Metadata, PoolStatus, Resource

SLICE = ObjectKey("EndpointSlice", "shop", "db-tidegate-ipv4-1")
ENDPOINTS = ObjectKey("Endpoints", "shop", "db")


class Cluster:
    """A writer that remembers; `failing` says which keys cannot be written, and how."""

    def __init__(self) -> None:
        self.objects: dict[ObjectKey, Any] = {}
        self.statuses: dict[ObjectKey, PoolStatus] = {}
        self.failing: dict[ObjectKey, Exception] = {}
        self.writes: list[tuple[str, ObjectKey]] = []
        self._written = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._written.clear()
            await self._written.wait()

    def _note(self, what: str, key: ObjectKey) -> None:
        self.writes.append((what, key))
        self._written.set()
        if key in self.failing:
            raise self.failing[key]

    async def put(self, item: EndpointSlice | Endpoints, wish: Wish) -> None:
        self._note("put", item.key)
        self.objects[item.key] = item

    async def delete(self, key: ObjectKey) -> None:
        self._note("delete", key)
        self.objects.pop(key, None)

    async def status(self, pool: EndpointPool, status: PoolStatus) -> None:
        self._note("status", pool.key)
        self.statuses[pool.key] = status

    def addresses(self) -> list[str]:
        slices = [item for item in self.objects.values() if isinstance(item, EndpointSlice)]
        return sorted(endpoint.addresses[0] for item in slices for endpoint in item.endpoints)


class World:
    """A controller and what it writes to."""

    def __init__(self, leads: Callable[[], bool] = lambda: True) -> None:
        self.cluster = Cluster()
        self.pools = EndpointPools(self.cluster, lambda is_service: Guard(is_service=is_service), leads=leads)

    async def put(self, *resources: Resource) -> None:
        self.pools.observe([Change(item.key, item) for item in resources])
        await self.pools.work_off()

    async def delete(self, *resources: Resource) -> None:
        self.pools.observe([Change(item.key, None) for item in resources])
        await self.pools.work_off()

    def condition(self, kind: str, name: str = "db") -> tuple[str, str]:
        status = self.cluster.statuses[ObjectKey("EndpointPool", "shop", name)]
        return next((item.status, item.reason) for item in status.conditions if item.type == kind)


@pytest.fixture
def world() -> World:
    return World()


@contextlib.asynccontextmanager
async def running(world: World) -> AsyncIterator[None]:
    task = asyncio.create_task(world.pools.run())
    try:
        async with asyncio.timeout(20):
            yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_pool_becomes_slices_endpoints_and_a_status(world: World) -> None:
    await world.put(service(), pool("192.0.2.1"))
    assert world.cluster.objects.keys() == {SLICE, ENDPOINTS}
    assert world.condition("Ready") == ("True", "EndpointsReady")
    assert world.pools.findings() == ()


async def test_deleting_the_pool_removes_both(world: World) -> None:
    one = pool("192.0.2.1")
    await world.put(service(), one)
    await world.delete(one)
    assert world.cluster.objects == {}
    assert world.pools.states() == []


async def test_deleting_the_service_removes_both_and_says_so(world: World) -> None:
    await world.put(service(), pool("192.0.2.1"))
    await world.delete(service())
    assert world.cluster.objects == {}
    assert world.condition("Accepted") == ("False", "ServiceNotFound")
    await world.put(service())
    assert world.cluster.objects.keys() == {SLICE, ENDPOINTS}


async def test_a_pool_that_moves_to_another_service_leaves_nothing_behind(world: World) -> None:
    await world.put(service(), service("other"), pool("192.0.2.1"))
    await world.put(pool("192.0.2.1", of="other"))
    assert {key.name for key in world.cluster.objects} == {"other-tidegate-ipv4-1", "other"}


async def test_a_selector_takes_the_endpoints_away(world: World) -> None:
    await world.put(service(), pool("192.0.2.1"))
    await world.put(service(selector={"app": "db"}))
    assert world.cluster.objects == {}
    assert world.condition("Accepted") == ("False", "ServiceHasSelector")


async def test_an_annotation_that_goes_takes_its_objects_along(world: World) -> None:
    await world.put(service(annotation="192.0.2.1"))
    assert world.cluster.addresses() == ["192.0.2.1"]
    await world.put(service())
    assert world.cluster.objects == {}


async def test_nothing_is_written_twice(world: World) -> None:
    await world.put(service(), pool("192.0.2.1"))
    before = len(world.cluster.writes)
    await world.put(service(), pool("192.0.2.1"))
    await world.put(*world.cluster.objects.values())
    assert len(world.cluster.writes) == before


async def test_a_slice_of_ours_that_somebody_changes_or_deletes_is_written_again(world: World) -> None:
    await world.put(service(), pool("192.0.2.1"))
    wanted = world.cluster.objects[SLICE]
    await world.put(msgspec.structs.replace(wanted, endpoints=()))
    await world.delete(wanted)
    assert world.cluster.writes.count(("put", SLICE)) == 3
    assert world.cluster.objects[SLICE] == wanted


async def test_objects_of_others_are_never_touched(world: World) -> None:
    theirs = EndpointSlice(
        Metadata(SLICE.name, "shop", labels={"kubernetes.io/service-name": "db"}), "db", "IPv4", (), ()
    )
    legacy = Endpoints(Metadata("db", "shop"), ())
    await world.put(theirs, legacy, service(), pool("192.0.2.1"))
    assert {key.name for key in world.cluster.objects} == {"db-tidegate-ipv4-2"}
    assert {key for _, key in world.cluster.writes}.isdisjoint({SLICE, ENDPOINTS})
    assert [finding.reason for finding in world.pools.findings()] == ["NotOwned"]
    await world.delete(legacy)
    assert ENDPOINTS in world.cluster.objects
    assert world.pools.findings() == ()


async def test_an_endpoints_object_that_turns_out_to_be_foreign_is_told(world: World) -> None:
    world.cluster.failing[ENDPOINTS] = ForeignError()
    await world.put(service(), pool("192.0.2.1"))
    assert world.cluster.objects.keys() == {SLICE}
    assert [finding.reason for finding in world.pools.findings()] == ["NotOwned"]


async def test_a_slice_whose_name_turns_out_to_be_taken_gets_another_one(world: World) -> None:
    world.cluster.failing[SLICE] = ForeignError()
    await world.put(service(), pool("192.0.2.1"))
    await world.pools.work_off()
    assert {key.name for key in world.cluster.objects} == {"db-tidegate-ipv4-2", "db"}


async def test_what_cannot_be_written_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY", 0.01)
    world.cluster.failing[SLICE] = WriteError("the API server is away")
    async with running(world):
        world.pools.observe([Change(item.key, item) for item in (service(), pool("192.0.2.1"))])
        await world.cluster.until(lambda: world.cluster.writes.count(("put", SLICE)) >= 3)
        assert world.cluster.objects == {}
        del world.cluster.failing[SLICE]
        await world.cluster.until(lambda: ("status", pool("192.0.2.1").key) in world.cluster.writes)
    assert world.cluster.objects.keys() == {SLICE, ENDPOINTS}


async def test_only_the_leader_acts_and_a_new_leader_takes_over_what_is_there() -> None:
    leads = False
    world = World(lambda: leads)
    other = World()
    await other.put(service(), pool("192.0.2.1", "db.example.com"))
    other.pools._on_addresses(Resolution("db.example.com", ("192.0.2.2",)))
    await other.pools.work_off()
    await world.put(service(), pool("192.0.2.1", "db.example.com"), *other.cluster.objects.values())
    assert world.cluster.writes == []
    assert [state.owner.name for state in world.pools.states()] == ["db"]
    leads = True
    await world.pools.work_off()
    assert {what for what, _ in world.cluster.writes} == {"status"}  # the name's address stays until DNS has answered
    await world.pools._checker.close()
    for one in (world, other):
        await one.pools._resolver.close()


async def test_a_failing_name_keeps_its_addresses_and_says_so(world: World) -> None:
    await world.put(service(), pool("db.example.com"))
    world.pools._resolver.want(frozenset())
    world.pools._on_addresses(Resolution("db.example.com", ("192.0.2.1",)))
    await world.pools.work_off()
    assert world.condition("Resolved") == ("True", "Resolved")
    world.pools._on_problem("db.example.com", "DNS does not answer in time")
    await world.pools.work_off()
    assert world.cluster.addresses() == ["192.0.2.1"]
    assert world.condition("Resolved") == ("False", "ResolutionFailed")
    await world.pools._resolver.close()


async def test_an_address_is_withdrawn_when_a_service_gets_it(world: World) -> None:
    await world.put(service(), pool("192.0.2.1", "192.0.2.2"))
    await world.put(service("other", cluster_ip="192.0.2.1"))
    assert world.cluster.addresses() == ["192.0.2.2"]


async def test_the_api_server_is_refused_as_soon_as_its_own_slice_is_seen(world: World) -> None:
    await world.put(service(), pool("192.0.2.6", "192.0.2.7"))
    assert world.cluster.addresses() == ["192.0.2.6", "192.0.2.7"]
    labels = {"kubernetes.io/service-name": "kubernetes"}
    metadata = Metadata("kubernetes", "default", labels=labels)
    await world.put(EndpointSlice(metadata, "kubernetes", "IPv4", (), (Endpoint(("192.0.2.6",)),)))
    assert world.cluster.addresses() == ["192.0.2.7"]


async def test_the_losing_pool_has_a_status_too_and_takes_over(world: World) -> None:
    first = pool("192.0.2.1", name="first", created=1)
    await world.put(service(), first, pool("192.0.2.2", name="second", created=2))
    assert world.condition("Accepted", "second") == ("False", "Conflict")
    assert world.cluster.addresses() == ["192.0.2.1"]
    await world.delete(first)
    assert world.condition("Accepted", "second") == ("True", "Accepted")
    assert world.cluster.addresses() == ["192.0.2.2"]


async def test_a_pool_made_anew_under_the_same_name_gets_its_status_again(world: World) -> None:
    one = pool("192.0.2.1", uid="first")
    await world.put(service(), one)
    await world.delete(one)
    world.cluster.statuses.clear()
    await world.put(pool("192.0.2.1", uid="second"))
    assert world.condition("Ready") == ("True", "EndpointsReady")
