"""Pools, Services and slices as values, for the tests of this folder."""

from __future__ import annotations

from typing import Any

from tidegate.endpointpools.known import Name, Objects
from tidegate.resources.changes import Change
from tidegate.resources.model import (
    EndpointPool,
    HealthCheck,
    Metadata,
    PoolEndpoint,
    Resource,
    Service,
    ServicePort,
)

DB = Name("shop", "db")
PORT = ServicePort(80, "http", target_port=8080)


def service(name: str = "db", *ports: ServicePort, annotation: str | None = None, **fields: Any) -> Service:
    annotations = {} if annotation is None else {"tidegate.dev/endpoints": annotation}
    metadata = Metadata(name, "shop", uid=f"uid-{name}", annotations=annotations)
    return Service(metadata, ports=ports or (PORT,), **fields)


def pool(
    *endpoints: str, name: str = "db", of: str = "db", created: int = 0, check: HealthCheck | None = None, uid: str = ""
) -> EndpointPool:
    """Texts with a letter are host names."""
    found = tuple(
        PoolEndpoint(address=one) if one[0].isdigit() or ":" in one else PoolEndpoint(hostname=one) for one in endpoints
    )
    metadata = Metadata(name, "shop", uid=uid or f"uid-pool-{name}", generation=1, created=created)
    return EndpointPool(metadata, of, found, check)


def objects(*resources: Resource) -> Objects:
    found = Objects()
    found.apply(Change(item.key, item) for item in resources)
    return found
