"""Where this pod runs, as the cluster tells."""

from __future__ import annotations

from typing import Any, cast

import pytest
from tidegate.findings import ObjectKey
from tidegate.kubernetes.client import ApiError, Kubernetes, NotFoundError
from tidegate.kubernetes.kinds import NODE, POD, Kind
from tidegate.kubernetes.topology import zone_of

POD_KEY = ObjectKey("Pod", "ns", "one")


class Cluster:
    """Objects by kind and name; what is not there is not found."""

    def __init__(self, objects: dict[tuple[Kind, str, str], dict[str, Any]]) -> None:
        self.objects = objects

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        try:
            return self.objects[kind, namespace, name]
        except KeyError:
            raise NotFoundError(404, f"no {name}") from None


async def zone(node: str | None, labels: dict[str, str] | None) -> str:
    objects: dict[tuple[Kind, str, str], dict[str, Any]] = {}
    if node is not None:
        objects[POD, "ns", "one"] = {"spec": {"nodeName": node} if node else {}}
    if labels is not None:
        objects[NODE, "", "n1"] = {"metadata": {"labels": labels}}
    return await zone_of(cast(Kubernetes, Cluster(objects)), POD_KEY)


async def test_the_zone_is_a_label_of_the_pods_node() -> None:
    assert await zone("n1", {"topology.kubernetes.io/zone": "a"}) == "a"


@pytest.mark.parametrize(
    ("node", "labels"),
    [("n1", {}), ("n1", None), ("", {"topology.kubernetes.io/zone": "a"}), (None, None)],
    ids=["no label", "no node", "not scheduled", "no pod"],
)
async def test_a_cluster_that_does_not_tell_is_warned_about(
    node: str | None, labels: dict[str, str] | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert await zone(node, labels) == ""
    assert "--enable-topology-aware-routing has no effect" in caplog.text


async def test_a_cluster_that_forbids_to_look_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    class Closed:
        async def get(self, *_: object) -> dict[str, Any]:
            raise ApiError(403, "forbidden")

    assert await zone_of(cast(Kubernetes, Closed()), POD_KEY) == ""
    assert "forbidden" in caplog.text
