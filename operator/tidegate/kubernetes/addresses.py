"""Where the outside reaches this controller: what is written into `status.loadBalancer` (reference: behaviour 11)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from tidegate.findings import ObjectKey
from tidegate.kubernetes import kinds
from tidegate.kubernetes.client import Kubernetes, NotFoundError

HASH_LABELS = ("pod-template-hash", "controller-revision-hash", "pod-template-generation")

Address = dict[str, str]  # one entry of status.loadBalancer.ingress: `ip` or `hostname`


@dataclass(frozen=True)
class Pods:
    """The pods of this controller."""

    namespace: str
    name: str  # of this one
    internal_address: bool = False  # of a node, instead of its external one


@dataclass(frozen=True)
class Published:
    """The flags: the first one that is given decides."""

    addresses: tuple[str, ...] = ()
    service: ObjectKey | None = None
    pods: Pods | None = None


def _entry(text: str) -> Address:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return {"hostname": text}
    return {"ip": text}


def in_order(entries: list[Address]) -> list[Address]:
    """Without repetitions, by host name and then address."""
    unique = {(entry.get("hostname", ""), entry.get("ip", "")): entry for entry in entries}
    return [unique[key] for key in sorted(unique)]


def of_service(service: dict[str, Any]) -> list[Address]:
    """The addresses of a Service, by its type."""
    spec = service.get("spec") or {}
    external = [{"ip": address} for address in spec.get("externalIPs") or ()]
    match spec.get("type"):
        case "ExternalName":
            return [{"hostname": spec["externalName"]}]
        case "LoadBalancer":
            balancer = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
            given = [{key: row[key] for key in ("ip", "hostname") if row.get(key)} for row in balancer]
            return in_order([row for row in given if row] + external)
        case "NodePort" if external:
            return in_order(external)
    address = spec.get("clusterIP") or ""
    return [] if address in ("", "None") else [{"ip": address}]


def of_nodes(nodes: list[dict[str, Any]], *, internal: bool) -> list[Address]:
    """The external addresses of nodes, or their internal ones where there are none or `internal` asks for them."""
    found = []
    for node in nodes:
        rows = (node.get("status") or {}).get("addresses") or ()
        outside = [row["address"] for row in rows if row["type"] == "ExternalIP"]
        inside = [row["address"] for row in rows if row["type"] == "InternalIP"]
        found += [_entry(address) for address in (inside if internal or not outside else outside)]
    return in_order(found)


def is_serving(pod: dict[str, Any]) -> bool:
    """Running and ready."""
    status = pod.get("status") or {}
    ready = any(row["type"] == "Ready" and row["status"] == "True" for row in status.get("conditions") or ())
    return status.get("phase") == "Running" and ready


async def siblings(client: Kubernetes, pods: Pods) -> list[dict[str, Any]]:
    """The pods with the labels of this one, itself included."""
    try:
        own = await client.get(kinds.POD, pods.namespace, pods.name)
    except NotFoundError:  # not in a pod
        return []
    labels = {name: text for name, text in (own["metadata"].get("labels") or {}).items() if name not in HASH_LABELS}
    selector = ",".join(f"{name}={text}" for name, text in sorted(labels.items()))
    if not selector:
        return [own]
    return [item async for items in client.objects(kinds.POD, pods.namespace, selector) for item in items]


async def find(client: Kubernetes, published: Published) -> list[Address]:
    """The addresses now. Raises ApiError when the API server does not tell."""
    if published.addresses:
        return in_order([_entry(text) for text in published.addresses])
    if published.service is not None:
        try:
            return of_service(await client.get(kinds.SERVICE, published.service.namespace, published.service.name))
        except NotFoundError:
            return []
    if published.pods is None:
        return []
    serving = [pod for pod in await siblings(client, published.pods) if is_serving(pod)]
    names = sorted({pod["spec"]["nodeName"] for pod in serving if pod["spec"].get("nodeName")})
    nodes = [await client.get(kinds.NODE, "", name) for name in names]
    return of_nodes(nodes, internal=published.pods.internal_address)
