"""Which kinds Kubernetes and Tidegate know: one that they do not is a mistake, others are only not for Tidegate.

Source: the API groups of Kubernetes 1.34, the retired beta groups of workloads, and `crds/`.
"""

from __future__ import annotations

USED: dict[str, dict[str, bool]] = {
    "Ingress": {
        "networking.k8s.io/v1": False,
        "networking.k8s.io/v1beta1": True,
        "extensions/v1beta1": True,
    },
    "IngressClass": {"networking.k8s.io/v1": False, "networking.k8s.io/v1beta1": True},
    "Service": {"v1": False},
    "EndpointSlice": {"discovery.k8s.io/v1": False},
    "Endpoints": {"v1": False},
    "Secret": {"v1": False},
    "ConfigMap": {"v1": False},
    "Namespace": {"v1": False},
    "EndpointPool": {"tidegate.dev/v1alpha1": False},
}
"""kind -> apiVersions that are read -> whether that one is a legacy form."""

OWN_GROUP = "tidegate.dev"
CLUSTER_SCOPED = frozenset({"IngressClass", "Namespace"})


def _kinds(names: str) -> frozenset[str]:
    return frozenset(names.split())


BUILT_IN: dict[str, frozenset[str]] = {
    "": _kinds(
        "Binding ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume "
        "PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount "
        "List Status"
    ),
    "apps": _kinds("ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet"),
    "batch": _kinds("CronJob Job"),
    "autoscaling": _kinds("HorizontalPodAutoscaler Scale"),
    "policy": _kinds("Eviction PodDisruptionBudget PodSecurityPolicy"),
    "extensions": _kinds("DaemonSet Deployment Ingress NetworkPolicy PodSecurityPolicy ReplicaSet Scale"),
    "networking.k8s.io": _kinds("Ingress IngressClass IPAddress NetworkPolicy ServiceCIDR"),
    "discovery.k8s.io": frozenset({"EndpointSlice"}),
    "rbac.authorization.k8s.io": _kinds("ClusterRole ClusterRoleBinding Role RoleBinding"),
    "scheduling.k8s.io": frozenset({"PriorityClass"}),
    "coordination.k8s.io": _kinds("Lease LeaseCandidate"),
    "events.k8s.io": frozenset({"Event"}),
    OWN_GROUP: _kinds("EndpointPool TrafficPolicy"),
}
"""API group -> its kinds; groups that are not listed may hold anything (custom resources)."""


def group_of(api_version: str) -> str:
    """`networking.k8s.io` of `networking.k8s.io/v1`; empty for `v1`."""
    return api_version.rpartition("/")[0]


def closest_used(kind: str) -> str:
    """The kind that was probably meant, or the empty string."""
    lower = kind.lower().removesuffix("s") if kind.lower() != "endpoints" else "endpoints"
    for known in USED:
        if known.lower() in (lower, kind.lower()):
            return known
    return ""
