"""The Kubernetes objects that Tidegate reads, reduced to the fields it uses.

Every class mirrors the API document of its kind (networking.k8s.io/v1, discovery.k8s.io/v1, core/v1).
Sources build these values with `tidegate.resources.decode`; nothing after the sources sees raw manifests.
"""

from __future__ import annotations

import msgspec

from tidegate.findings import ObjectKey


class Metadata(msgspec.Struct, frozen=True, gc=False):
    """`created` is `creationTimestamp` in whole seconds since the epoch; `uid` is never empty."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    created: int = 0
    annotations: dict[str, str] = {}
    labels: dict[str, str] = {}


class ServiceBackend(msgspec.Struct, frozen=True, gc=False):
    """A Service and its port as written: `port` is a number or a name, never both."""

    service: str
    port: int | str


class IngressPath(msgspec.Struct, frozen=True, gc=False):
    """One path of a rule; `backend` is None when it names a `resource` (not served by Tidegate)."""

    path: str
    path_type: str  # Exact, Prefix or ImplementationSpecific
    backend: ServiceBackend | None


class IngressRule(msgspec.Struct, frozen=True, gc=False):
    """`host` is empty for a rule without host; `paths` is None for a rule without `http`."""

    host: str
    paths: tuple[IngressPath, ...] | None


class IngressTLS(msgspec.Struct, frozen=True, gc=False):
    """An entry of `spec.tls`; `secret_name` is empty where it names none."""

    hosts: tuple[str, ...]
    secret_name: str


class Ingress(msgspec.Struct, frozen=True, gc=False):
    metadata: Metadata
    ingress_class_name: str | None = None
    default_backend: ServiceBackend | None = None
    rules: tuple[IngressRule, ...] = ()
    tls: tuple[IngressTLS, ...] = ()

    @property
    def key(self) -> ObjectKey:
        return ObjectKey("Ingress", self.metadata.namespace, self.metadata.name)


class IngressClass(msgspec.Struct, frozen=True, gc=False):
    """`is_default` is the annotation `ingressclass.kubernetes.io/is-default-class`."""

    metadata: Metadata
    controller: str
    is_default: bool = False

    @property
    def key(self) -> ObjectKey:
        return ObjectKey("IngressClass", "", self.metadata.name)


class ServicePort(msgspec.Struct, frozen=True, gc=False):
    """`target_port` is the number or name of the port of the pods; it defaults to `port`."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str = 0


class Service(msgspec.Struct, frozen=True, gc=False):
    """`type` is ClusterIP, NodePort, LoadBalancer or ExternalName; `cluster_ip` is `None` (text) for headless ones."""

    metadata: Metadata
    type: str = "ClusterIP"
    cluster_ip: str = ""
    external_name: str = ""
    ports: tuple[ServicePort, ...] = ()
    selector: dict[str, str] = {}
    client_affinity: bool = False  # sessionAffinity: ClientIP
    traffic_distribution: str = ""
    ip_families: tuple[str, ...] = ()  # IPv4, IPv6; empty where nothing says

    @property
    def key(self) -> ObjectKey:
        return ObjectKey("Service", self.metadata.namespace, self.metadata.name)


class EndpointPort(msgspec.Struct, frozen=True, gc=False):
    """A port of a slice or subset; `name` is that of the Service's port, `port` is None where a slice has no number."""

    name: str
    port: int | None
    protocol: str = "TCP"


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """Conditions as written; None is `unset`, which for `ready` counts as true (EndpointSlice v1)."""

    addresses: tuple[str, ...]
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None
    node: str = ""
    zone: str = ""
    zone_hints: tuple[str, ...] = ()
    target: str = ""  # targetRef as kind/namespace/name


class EndpointSlice(msgspec.Struct, frozen=True, gc=False):
    """`service` is the label `kubernetes.io/service-name`; `ports` is empty when the slice lists none."""

    metadata: Metadata
    service: str
    address_type: str
    ports: tuple[EndpointPort, ...]
    endpoints: tuple[Endpoint, ...]

    @property
    def key(self) -> ObjectKey:
        return ObjectKey("EndpointSlice", self.metadata.namespace, self.metadata.name)


class EndpointSubset(msgspec.Struct, frozen=True, gc=False):
    """Addresses of an Endpoints object that share their ports."""

    ports: tuple[EndpointPort, ...]
    endpoints: tuple[Endpoint, ...]  # notReadyAddresses come with ready=False


class Endpoints(msgspec.Struct, frozen=True, gc=False):
    """core/v1 Endpoints: belongs to the Service of the same name; used only where that has no slice."""

    metadata: Metadata
    subsets: tuple[EndpointSubset, ...]

    @property
    def key(self) -> ObjectKey:
        return ObjectKey("Endpoints", self.metadata.namespace, self.metadata.name)


class Secret(msgspec.Struct, frozen=True, gc=False):
    """`data` is decoded from base64."""

    metadata: Metadata
    type: str
    data: dict[str, bytes]

    @property
    def key(self) -> ObjectKey:
        return ObjectKey("Secret", self.metadata.namespace, self.metadata.name)


class ConfigMap(msgspec.Struct, frozen=True, gc=False):
    metadata: Metadata
    data: dict[str, str]

    @property
    def key(self) -> ObjectKey:
        return ObjectKey("ConfigMap", self.metadata.namespace, self.metadata.name)


class Namespace(msgspec.Struct, frozen=True, gc=False):
    metadata: Metadata

    @property
    def key(self) -> ObjectKey:
        return ObjectKey("Namespace", "", self.metadata.name)


class PoolEndpoint(msgspec.Struct, frozen=True, gc=False):
    """One entry of a pool: an IP address or a host name, never both."""

    address: str = ""
    hostname: str = ""


class HealthCheck(msgspec.Struct, frozen=True, gc=False):
    """How the endpoints of a pool are checked. Seconds; `port` 0 is the first TCP port of the Service."""

    type: str  # HTTP, HTTPS, TCP or GRPC
    path: str = "/"
    host: str = ""  # empty: the endpoint's own name or address
    service: str = ""  # of the gRPC health protocol
    port: int = 0
    interval: float = 5
    timeout: float = 1
    healthy_threshold: int = 2
    unhealthy_threshold: int = 3


class Condition(msgspec.Struct, frozen=True, gc=False):
    """A condition of a status; `since` is its lastTransitionTime in seconds since the epoch."""

    type: str
    status: str  # True, False or Unknown
    reason: str
    message: str
    since: int = 0
    generation: int = 0


class PoolStatus(msgspec.Struct, frozen=True, gc=False):
    """The status of an EndpointPool; `ready` and `total` count endpoints."""

    observed_generation: int = 0
    ready: int = 0
    total: int = 0
    conditions: tuple[Condition, ...] = ()


class EndpointPool(msgspec.Struct, frozen=True, gc=False):
    """tidegate.dev/v1alpha1; `status` is what was written last, None where nothing was."""

    metadata: Metadata
    service: str
    endpoints: tuple[PoolEndpoint, ...]
    health_check: HealthCheck | None = None
    status: PoolStatus | None = None

    @property
    def key(self) -> ObjectKey:
        return ObjectKey("EndpointPool", self.metadata.namespace, self.metadata.name)


Resource = Ingress | IngressClass | Service | EndpointSlice | Endpoints | Secret | ConfigMap | Namespace | EndpointPool
