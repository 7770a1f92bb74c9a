"""`tidegate up`: limits of which each replica counts its share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from up import Manifest, Up, configmap, ingress, running

ASKED = 30
FLAGS = ("--configmap", "default/settings", "--publish-service", "default/controller")


def replicas(count: int) -> Manifest:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "controller-1",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "controller"},
        },
        "addressType": "IPv4",
        "ports": [],
        "endpoints": [{"addresses": [f"10.0.0.{number}"]} for number in range(1, count + 1)],
    }


@pytest.fixture
def up() -> Iterator[Up]:
    with running(*FLAGS) as (one, _):
        yield one


def let_through(up: Up) -> int:
    answers = [up.get("limited.test")[0] for _ in range(ASKED)]
    assert set(answers) <= {200, 503}
    return answers.count(200)


def test_each_replica_lets_through_its_share(up: Up) -> None:
    """Of a burst; a request more may come when the test itself is slow."""
    shop = ingress("limited", "limited.test", limit_rpm="20", limit_burst_multiplier="1")
    up.apply("settings", configmap(limit_divide_by_replicas="true"))
    up.apply("limited", shop)
    assert let_through(up) in (21, 22, 23)
    up.apply("controller", replicas(4))
    assert let_through(up) in (6, 7)
    assert up.status()["reloads"] == 2
    up.apply("settings", configmap(limit_divide_by_replicas="false"))
    up.apply("controller", replicas(2))
    up.apply("limited", ingress("limited", "limited.test", limit_rpm="21", limit_burst_multiplier="1"))
    assert let_through(up) in (22, 23, 24)
