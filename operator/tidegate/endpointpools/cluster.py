"""The controller's results in a cluster: server-side apply with a field manager of its own, by the leader alone.

Objects are owned by the pool or Service that they were made for, so that they go with it even when nobody runs this
program any more; there is no finalizer that could hold a namespace back.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from tidegate.endpointpools.controller import EndpointPools
from tidegate.endpointpools.guard import Surroundings
from tidegate.endpointpools.layout import (
    ENDPOINTS_MANAGED_BY_LABEL,
    MANAGED_BY,
    MANAGED_BY_LABEL,
)
from tidegate.endpointpools.plan import Wish
from tidegate.endpointpools.shown import status_body
from tidegate.endpointpools.writers import ForeignError, WriteError
from tidegate.findings import Finding, ObjectKey
from tidegate.kubernetes import addresses, kinds
from tidegate.kubernetes.addresses import Pods
from tidegate.kubernetes.client import ApiError, Kubernetes, NotFoundError
from tidegate.kubernetes.kinds import Kind
from tidegate.resources.changes import Change
from tidegate.resources.decode import decode
from tidegate.resources.model import Endpoint, EndpointPool, EndpointPort, Endpoints, EndpointSlice, PoolStatus
from tidegate.resources.services import without_service

log = logging.getLogger("tidegate")

MANAGER = "tidegate-endpoints"
LOOK_AROUND = 60.0
START_AGAIN = 2.0
STRAYS_MOST = 50  # that are looked at and told
LEADER = "control-plane.alpha.kubernetes.io/leader"  # an annotation of Endpoints that are no Service's on purpose

_KINDS = {kind.name: kind for kind in (kinds.ENDPOINT_SLICE, kinds.ENDPOINTS, kinds.ENDPOINT_POOL, kinds.SERVICE)}
_LABELS = {kinds.ENDPOINT_SLICE.name: MANAGED_BY_LABEL, kinds.ENDPOINTS.name: ENDPOINTS_MANAGED_BY_LABEL}


class ClusterWriter:
    """A `Writer` to an API server. An object that is there already is looked at before it is written first."""

    def __init__(self, client: Kubernetes) -> None:
        self._client = client
        self._ours: set[ObjectKey] = set()

    async def put(self, item: EndpointSlice | Endpoints, wish: Wish) -> None:
        key, kind = item.key, _KINDS[item.key.kind]
        body = _slice_body(item) if isinstance(item, EndpointSlice) else _endpoints_body(item)
        body |= {"apiVersion": kind.group_version, "kind": kind.name, "metadata": _metadata(item, wish)}
        try:
            if key not in self._ours:
                await self._look_at(kind, key)
            await self._client.apply(kind, key.namespace, key.name, body, manager=MANAGER)
        except ApiError as error:
            self._ours.discard(key)
            raise WriteError(str(error)) from error
        self._ours.add(key)

    async def _look_at(self, kind: Kind, key: ObjectKey) -> None:
        try:
            found = await self._client.get(kind, key.namespace, key.name)
        except NotFoundError:
            return
        if (found["metadata"].get("labels") or {}).get(_LABELS[kind.name]) != MANAGED_BY:
            raise ForeignError(f"{key} is not ours")

    async def delete(self, key: ObjectKey) -> None:
        kind = _KINDS[key.kind]
        try:
            await self._look_at(kind, key)
            await self._client.delete(kind, key.namespace, key.name)
        except (NotFoundError, ForeignError):
            pass
        except ApiError as error:
            raise WriteError(str(error)) from error
        self._ours.discard(key)

    async def status(self, pool: EndpointPool, status: PoolStatus) -> None:
        key, kind = pool.key, kinds.ENDPOINT_POOL
        body = {
            "apiVersion": kind.group_version,
            "kind": kind.name,
            "metadata": {"name": key.name, "uid": pool.metadata.uid},
            "status": status_body(status),
        }
        try:
            await self._client.apply(kind, key.namespace, key.name, body, manager=MANAGER, part="status")
        except NotFoundError:
            pass
        except ApiError as error:
            raise WriteError(str(error)) from error


def _metadata(item: EndpointSlice | Endpoints, wish: Wish) -> dict[str, Any]:
    meta, owner = item.metadata, _KINDS[wish.owner.kind]
    reference = {"apiVersion": owner.group_version, "kind": owner.name, "name": wish.owner.name, "uid": wish.uid}
    return {
        "name": meta.name,
        "namespace": meta.namespace,
        "labels": meta.labels,
        "annotations": meta.annotations,
        "ownerReferences": [reference],
    }


def _slice_body(item: EndpointSlice) -> dict[str, Any]:
    return {
        "addressType": item.address_type,
        "ports": [_port(port) for port in item.ports],
        "endpoints": [
            {"addresses": list(one.addresses), "conditions": {"ready": one.ready, "serving": one.serving}}
            for one in item.endpoints
        ],
    }


def _endpoints_body(item: Endpoints) -> dict[str, Any]:
    def listed(endpoints: tuple[Endpoint, ...], ready: bool) -> list[dict[str, Any]]:
        return [{"ip": one.addresses[0]} for one in endpoints if (one.ready is not False) == ready]

    rows = []
    for subset in item.subsets:
        row = {
            "addresses": listed(subset.endpoints, True),
            "notReadyAddresses": listed(subset.endpoints, False),
            "ports": [_port(port) for port in subset.ports],
        }
        rows.append({key: value for key, value in row.items() if value})
    return {"subsets": rows}


def _port(port: EndpointPort) -> dict[str, Any]:
    named = {"name": port.name} if port.name else {}
    return {**named, "port": port.port, "protocol": port.protocol}


class ClusterEye:
    """Tells the controller what no watch does: Endpoints objects of our own and without a Service, and what is around.

    `seen` is false until the first look; nothing may be written before it.
    """

    def __init__(self, client: Kubernetes, pools: EndpointPools, namespace: str, pod: ObjectKey) -> None:
        self._client, self._pools, self._namespace = client, pools, namespace
        self._pods = Pods(pod.namespace, pod.name)
        self.seen = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._look()
                self.seen = True
            except ApiError as error:
                log.warning("endpoint pools wait for the API server: %s", error)
            await asyncio.sleep(LOOK_AROUND if self.seen and self._pools.running else START_AGAIN)

    async def _look(self) -> None:
        before = self._pools.own_endpoints()
        there: list[Change] = []
        labels = f"{ENDPOINTS_MANAGED_BY_LABEL}={MANAGED_BY}"
        async for items in self._client.objects(kinds.ENDPOINTS, self._namespace, labels):
            decoded = [decode(item, created=0, uid="", place="") for item in items]
            there += [Change(one.key, one.resource) for one in decoded if one.key is not None]
        gone = before - {change.key for change in there}
        self._pools.observe([*(Change(key, None) for key in gone), *there])
        self._pools.look_around(await self._around())
        if self._pools.running:  # from then on all Services are known
            self._pools.tell_strays(await self._strays())

    async def _strays(self) -> tuple[Finding, ...]:
        """People write Endpoints by hand, and nothing says that their name must be that of a Service."""
        metas, _ = await self._client.census(kinds.ENDPOINTS, self._namespace)
        names = sorted((one.namespace, one.name) for one in metas)
        found: list[Finding] = []
        for namespace, name in [row for row in names if not self._pools.has_service(*row)][:STRAYS_MOST]:
            try:
                there = await self._client.get(kinds.ENDPOINTS, namespace, name)
            except NotFoundError:
                continue
            if LEADER not in (there["metadata"].get("annotations") or {}) and not self._pools.has_service(
                namespace, name
            ):
                found.append(without_service(ObjectKey(kinds.ENDPOINTS.name, namespace, name)))
        return tuple(found)

    async def _around(self) -> Surroundings:
        pods = await addresses.siblings(self._client, self._pods)
        own = {row["ip"] for pod in pods for row in (pod.get("status") or {}).get("podIPs") or ()}
        return Surroundings(
            service_networks=await self._service_networks(),
            api_server=self._pools.api_server() | self._client.addresses,
            controller=frozenset(own),
        )

    async def _service_networks(self) -> frozenset[str]:
        """None where the cluster does not tell (before Kubernetes 1.33): then the addresses in use count."""
        try:
            found = [item async for items in self._client.objects(kinds.SERVICE_CIDR) for item in items]
            return frozenset(network for item in found for network in item["spec"].get("cidrs") or ())
        except ApiError as error:
            log.debug("the ranges of Services are not known: %s", error)
            return frozenset()
