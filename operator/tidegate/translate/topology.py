"""Endpoints of the own zone, where a Service asks for that and its slices have hints (reference: behaviour 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tidegate.resources import model as api

_MODE: Final = "service.kubernetes.io/topology-mode"
_NEAR: Final = ("PreferClose", "PreferSameZone")  # two names of one thing


def _asks(service: api.Service) -> bool:
    mode = service.metadata.annotations.get(_MODE, "")
    return mode.lower() == "auto" or service.traffic_distribution in _NEAR


def near_endpoints(
    service: api.Service, slices: Sequence[api.EndpointSlice], zone: str
) -> list[tuple[api.Endpoint, ...]]:
    """For each slice the endpoints that count: those hinted for the zone, if all of the slice have hints.

    Where nothing ready would be left, all count: better far than not at all.
    """
    every = [item.endpoints for item in slices]
    if not zone or not _asks(service):
        return every
    near = [
        tuple(one for one in endpoints if zone in one.zone_hints)
        if all(one.zone_hints for one in endpoints)
        else endpoints
        for endpoints in every
    ]
    return near if any(one.ready is not False for endpoints in near for one in endpoints) else every
