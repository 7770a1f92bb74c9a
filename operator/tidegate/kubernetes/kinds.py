"""The kinds that Tidegate reads in a cluster, as the API serves them."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """`selector` is a field selector that the API server applies: what it leaves out is never sent."""

    name: str
    group_version: str  # `v1`, `networking.k8s.io/v1`
    plural: str
    namespaced: bool = True
    selector: str = ""

    @property
    def group(self) -> str:
        """Empty for the core group."""
        return self.group_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.group_version.rpartition("/")[2]

    def path(self, namespace: str = "", name: str = "", part: str = "") -> str:
        """The URL's path of a collection, an object, or a subresource of one."""
        root = f"/apis/{self.group_version}" if self.group else f"/api/{self.group_version}"
        place = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return root + place + "/" + "/".join(piece for piece in (self.plural, name, part) if piece)


INGRESS = Kind("Ingress", "networking.k8s.io/v1", "ingresses")
INGRESS_CLASS = Kind("IngressClass", "networking.k8s.io/v1", "ingressclasses", namespaced=False)
SERVICE = Kind("Service", "v1", "services")
ENDPOINT_SLICE = Kind("EndpointSlice", "discovery.k8s.io/v1", "endpointslices")
SECRET = Kind("Secret", "v1", "secrets", selector="type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token")
CONFIG_MAP = Kind("ConfigMap", "v1", "configmaps", selector="metadata.name!=kube-root-ca.crt")
NAMESPACE = Kind("Namespace", "v1", "namespaces", namespaced=False)

ENDPOINT_POOL = Kind("EndpointPool", "tidegate.dev/v1alpha1", "endpointpools")
ENDPOINTS = Kind("Endpoints", "v1", "endpoints")
SERVICE_CIDR = Kind("ServiceCIDR", "networking.k8s.io/v1", "servicecidrs", namespaced=False)

NODE = Kind("Node", "v1", "nodes", namespaced=False)
POD = Kind("Pod", "v1", "pods")
LEASE = Kind("Lease", "coordination.k8s.io/v1", "leases")
EVENT = Kind("Event", "v1", "events")
VALIDATING_WEBHOOK = Kind(
    "ValidatingWebhookConfiguration",
    "admissionregistration.k8s.io/v1",
    "validatingwebhookconfigurations",
    namespaced=False,
)

ON_DEMAND = frozenset({SECRET.name, CONFIG_MAP.name})
"""Kinds of which only the objects that something refers to are kept."""
