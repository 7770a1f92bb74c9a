"""The zone of the node that this pod runs on."""

from __future__ import annotations

import logging
from typing import Final

from tidegate.findings import ObjectKey
from tidegate.kubernetes import kinds
from tidegate.kubernetes.client import ApiError, Kubernetes

log = logging.getLogger("tidegate.kubernetes")

ZONE_LABEL: Final = "topology.kubernetes.io/zone"


async def zone_of(client: Kubernetes, pod: ObjectKey) -> str:
    """Empty, with a warning, where the cluster does not tell: then hints of EndpointSlices count for nothing."""
    try:
        name = (await client.get(kinds.POD, pod.namespace, pod.name))["spec"].get("nodeName") or ""
        labels = (await client.get(kinds.NODE, "", name))["metadata"].get("labels") or {} if name else {}
    except ApiError as error:
        log.warning("--enable-topology-aware-routing has no effect: the node of this pod cannot be read: %s", error)
        return ""
    zone = str(labels.get(ZONE_LABEL) or "")
    if not zone:
        log.warning("--enable-topology-aware-routing has no effect: node %r has no label %s", name, ZONE_LABEL)
    return zone
