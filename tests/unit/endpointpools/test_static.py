"""What `tidegate check`, `render` and `explain` make of pools."""

from __future__ import annotations

from pools import pool, service
from tidegate.endpointpools.static import with_pools
from tidegate.resources.changes import Change
from tidegate.resources.model import EndpointSlice, HealthCheck, Resource


def looked_at(*resources: Resource) -> tuple[list[str], list[str]]:
    """The addresses of all slices, and the reasons of the findings."""
    changes, findings = with_pools([Change(item.key, item) for item in resources])
    slices = [change.resource for change in changes if isinstance(change.resource, EndpointSlice)]
    addresses = [endpoint.addresses[0] for item in slices for endpoint in item.endpoints if endpoint.ready]
    return addresses, [finding.reason for finding in findings]


def test_addresses_count_as_healthy_and_names_as_unknown() -> None:
    found = looked_at(service(), pool("192.0.2.1", "db.example.com", check=HealthCheck("TCP")))
    assert found == (["192.0.2.1"], [])


def test_mistakes_are_told_of_pools_and_annotations() -> None:
    assert looked_at(service(selector={"a": "b"}), pool("192.0.2.1")) == ([], ["ServiceHasSelector"])
    assert looked_at(service(annotation="nonsense nonsense")) == ([], ["Invalid"])
    assert looked_at(service(), pool("127.0.0.1")) == ([], ["AddressRefused"])


def test_what_has_no_pool_stays_as_it_is() -> None:
    changes = [Change(service().key, service())]
    assert with_pools(changes) == (tuple(changes), ())
