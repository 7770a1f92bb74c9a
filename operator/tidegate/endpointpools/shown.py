"""The status of a pool in the words of its CustomResourceDefinition, and as the admin API shows it. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from tidegate.findings import ObjectKey
from tidegate.resources.model import PoolStatus


class EndpointState(NamedTuple):
    """One endpoint as the admin API shows it; `failure` says why it became unhealthy."""

    address: str
    hostname: str
    ready: bool
    failure: str


class PoolState(msgspec.Struct, frozen=True):
    """What became of a pool or an annotation."""

    owner: ObjectKey
    uid: str
    service: str
    status: PoolStatus
    endpoints: tuple[EndpointState, ...] = ()
    slices: tuple[str, ...] = ()


def status_body(status: PoolStatus) -> dict[str, Any]:
    """`status` of an EndpointPool."""
    return {
        "observedGeneration": status.observed_generation,
        "readyEndpoints": status.ready,
        "totalEndpoints": status.total,
        "conditions": [
            {
                "type": item.type,
                "status": item.status,
                "reason": item.reason,
                "message": item.message,
                "observedGeneration": item.generation,
                "lastTransitionTime": datetime.fromtimestamp(item.since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            for item in status.conditions
        ],
    }


def pool_row(state: PoolState) -> dict[str, Any]:
    """A pool, or the annotation of a Service (`kind` says which), with its endpoints."""
    return {
        "kind": state.owner.kind,
        "namespace": state.owner.namespace,
        "name": state.owner.name,
        "service": state.service,
        "status": status_body(state.status),
        "endpoints": [
            {"address": item.address, "hostname": item.hostname, "ready": item.ready, "failure": item.failure}
            for item in state.endpoints
        ],
        "slices": state.slices,
    }
