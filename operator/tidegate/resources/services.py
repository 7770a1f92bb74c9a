"""Service, EndpointSlice and Endpoints, checked as the API server does.

Source: pkg/apis/core/validation (`ValidateService`, `ValidateEndpoints`), pkg/apis/discovery/validation.
One difference on purpose: loopback addresses are accepted, backends of a laptop live there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.resources import checks
from tidegate.resources.checks import IPAddress, Problems
from tidegate.resources.model import (
    Endpoint,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    Metadata,
    Service,
    ServicePort,
)
from tidegate.resources.raw import (
    RawAddress,
    RawEndpoint,
    RawEndpointPort,
    RawEndpoints,
    RawEndpointSlice,
    RawService,
    RawServicePort,
    RawServiceSpec,
    RawSubset,
    RawTargetRef,
)

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
UNSUPPORTED_PROTOCOL = "UnsupportedProtocol"

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_AFFINITIES = ("ClientIP", "None")
_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")


def decode_service(raw: RawService, metadata: Metadata, problems: Problems) -> Service:
    spec = raw.spec or RawServiceSpec()
    kind = spec.type or "ClusterIP"
    cluster_ip = spec.cluster_ip or (spec.cluster_ips[0] if spec.cluster_ips else "")
    external_name = spec.external_name or ""
    if kind not in _TYPES:
        problems.unsupported("spec.type", kind, _TYPES)
    if kind == "ExternalName":
        _check_external_name(external_name, cluster_ip, problems)
    elif cluster_ip == "None":
        if kind in ("LoadBalancer", "NodePort"):
            problems.invalid("spec.clusterIP", cluster_ip, f"may not be set to 'None' for {kind} services")
    elif cluster_ip and not checks.is_ip(cluster_ip):
        problems.invalid("spec.clusterIP", cluster_ip, "must be empty, 'None', or a valid IP address")
    if not spec.ports and kind != "ExternalName" and cluster_ip != "None":
        problems.required("spec.ports", "at least one port (only headless and ExternalName services may have none)")
    selector = checks.string_map(spec.selector, "spec.selector", problems)
    for key, value in selector.items():
        if not checks.is_qualified_name(key) or not checks.is_label_value(value):
            problems.invalid(f"spec.selector[{checks.printable(key)}]", value, "must be a valid label and label value")
    ports = _service_ports(spec.ports or (), kind, problems)
    affinity = spec.session_affinity or "None"
    if affinity not in _AFFINITIES:
        problems.unsupported("spec.sessionAffinity", affinity, _AFFINITIES)
    return Service(
        metadata=metadata,
        type=kind,
        cluster_ip=cluster_ip,
        external_name=external_name,
        ports=ports,
        selector=selector,
        client_affinity=affinity == "ClientIP",
        traffic_distribution=spec.traffic_distribution or "",
        ip_families=tuple(spec.ip_families or ()),
    )


def _check_external_name(name: str, cluster_ip: str, problems: Problems) -> None:
    if cluster_ip:
        problems.forbidden("spec.clusterIP", "may not be set when `type` is 'ExternalName'")
    if not name:
        problems.required("spec.externalName", "a DNS name, because `type` is 'ExternalName'")
    elif not checks.is_subdomain(name.removesuffix(".")):
        problems.invalid("spec.externalName", name, checks.NEEDS_SUBDOMAIN)


def _service_ports(raw: Sequence[RawServicePort], kind: str, problems: Problems) -> tuple[ServicePort, ...]:
    ports: list[ServicePort] = []
    names: set[str] = set()
    numbers: set[tuple[str, int]] = set()
    for i, item in enumerate(raw):
        field = f"spec.ports[{i}]"
        name = _port_name(item.name, f"{field}.name", names, len(raw) > 1, problems)
        checks.check_port(item.port, f"{field}.port", problems)
        port = item.port or 0
        protocol = _protocol(item.protocol, f"{field}.protocol", problems)
        if (protocol, port) in numbers:
            problems.duplicate(field, f"{port}/{protocol}")
        numbers.add((protocol, port))
        if item.node_port and kind == "ClusterIP":
            problems.forbidden(f"{field}.nodePort", "may not be used when `type` is 'ClusterIP'")
        elif item.node_port and not checks.is_port(item.node_port):
            problems.invalid(f"{field}.nodePort", item.node_port, checks.NEEDS_PORT_NUMBER)
        target = item.target_port
        if not target:
            target = port
        elif isinstance(target, int):
            checks.check_port(target, f"{field}.targetPort", problems)
        elif not checks.is_port_name(target):
            problems.invalid(f"{field}.targetPort", target, checks.NEEDS_PORT_NAME)
        ports.append(ServicePort(port=port, name=name, protocol=protocol, target_port=target))
    return tuple(ports)


def _port_name(name: str | None, field: str, seen: set[str], required: bool, problems: Problems) -> str:
    if not name:
        if required:
            problems.required(field, "each of several ports needs a name")
        return ""
    if not checks.is_label(name):
        problems.invalid(field, name, checks.NEEDS_LABEL)
    elif name in seen:
        problems.duplicate(field, name)
    seen.add(name)
    return name


def _protocol(protocol: str | None, field: str, problems: Problems) -> str:
    if not protocol:
        return "TCP"
    if protocol not in _PROTOCOLS:
        problems.unsupported(field, protocol, _PROTOCOLS)
    elif protocol == "SCTP":
        problems.warn(field, UNSUPPORTED_PROTOCOL, "SCTP is not proxied, this port is not served; allowed: TCP, UDP")
    return protocol


def decode_endpoint_slice(raw: RawEndpointSlice, metadata: Metadata, problems: Problems) -> EndpointSlice:
    kind = raw.address_type or ""
    if not kind:
        problems.required("addressType", "IPv4, IPv6 or FQDN")
    elif kind not in _ADDRESS_TYPES:
        problems.unsupported("addressType", kind, _ADDRESS_TYPES)
    names: set[str] = set()
    ports: list[EndpointPort] = []
    for i, port in enumerate(raw.ports or ()):
        if not port.name and "" in names:
            problems.duplicate(f"ports[{i}].name", "")
        ports.append(_endpoint_port(port, f"ports[{i}]", names, problems, needs_name=False, needs_port=False))
        names.add(port.name or "")
    return EndpointSlice(
        metadata=metadata,
        service=metadata.labels.get(SERVICE_NAME_LABEL, ""),
        address_type=kind,
        ports=tuple(ports),
        endpoints=tuple([_endpoint(e, kind, f"endpoints[{i}]", problems) for i, e in enumerate(raw.endpoints or ())]),
    )


def _endpoint_port(
    raw: RawEndpointPort, field: str, names: set[str], problems: Problems, *, needs_name: bool, needs_port: bool
) -> EndpointPort:
    name = _port_name(raw.name, f"{field}.name", names, needs_name, problems)
    if raw.port is not None or needs_port:
        checks.check_port(raw.port, f"{field}.port", problems)
    return EndpointPort(name=name, port=raw.port, protocol=_protocol(raw.protocol, f"{field}.protocol", problems))


def _endpoint(raw: RawEndpoint, kind: str, field: str, problems: Problems) -> Endpoint:
    if not raw.addresses:
        problems.required(f"{field}.addresses", "must contain at least 1 address")
    elif len(raw.addresses) > 100:
        problems.wrong(f"{field}.addresses", f"Too many: {len(raw.addresses)}: must have at most 100 items")
    for i, address in enumerate(raw.addresses or ()):
        _check_address(address, kind, f"{field}.addresses[{i}]", problems)
    conditions = raw.conditions
    zones = tuple([zone.name or "" for zone in raw.hints.for_zones or ()]) if raw.hints else ()
    for i, zone in enumerate(zones):
        if not zone or not checks.is_label_value(zone):
            problems.invalid(f"{field}.hints.forZones[{i}].name", zone, "must be a label value, not empty")
    if raw.zone and not checks.is_label_value(raw.zone):
        problems.invalid(f"{field}.zone", raw.zone, "must be a label value")
    _check_node(raw.node_name, f"{field}.nodeName", problems)
    return Endpoint(
        addresses=tuple(raw.addresses or ()),
        ready=conditions.ready if conditions else None,
        serving=conditions.serving if conditions else None,
        terminating=conditions.terminating if conditions else None,
        node=raw.node_name or "",
        zone=raw.zone or "",
        zone_hints=zones,
        target=_target(raw.target_ref),
    )


def _check_node(name: str | None, field: str, problems: Problems) -> None:
    if name and not checks.is_subdomain(name):
        problems.invalid(field, name, checks.NEEDS_SUBDOMAIN)


def _target(ref: RawTargetRef | None) -> str:
    return f"{ref.kind or ''}/{ref.namespace or ''}/{ref.name or ''}" if ref else ""


def _check_address(address: str, kind: str, field: str, problems: Problems) -> None:
    """`kind` is IPv4, IPv6, FQDN or empty for either family."""
    if kind == "FQDN":
        name = address.removesuffix(".")
        if "." not in name or not checks.is_subdomain(name):
            problems.invalid(field, address, "must be a fully qualified domain name: at least two labels")
        return
    if kind not in ("IPv4", "IPv6", ""):
        return
    try:
        ip: IPAddress = ipaddress.ip_address(address if "%" not in address else "")
    except ValueError:
        problems.invalid(field, address, f"must be a valid {kind or 'IP'} address")
        return
    if (kind == "IPv4" and ip.version != 4) or (kind == "IPv6" and ip.version != 6):
        problems.invalid(field, address, f"must be an {kind} address")
    ip = checks.unmapped(ip)
    if ip.is_unspecified:
        problems.invalid(field, address, "may not be unspecified (0.0.0.0 or ::)")
    elif ip.is_link_local:
        problems.invalid(field, address, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    elif ip.is_multicast:
        problems.invalid(field, address, "may not be in the multicast range")


def decode_endpoints(raw: RawEndpoints, metadata: Metadata, problems: Problems) -> Endpoints:
    subsets = tuple([_subset(s, f"subsets[{i}]", problems) for i, s in enumerate(raw.subsets or ())])
    return Endpoints(metadata=metadata, subsets=subsets)


def _subset(raw: RawSubset, field: str, problems: Problems) -> EndpointSubset:
    if not raw.addresses and not raw.not_ready_addresses:
        problems.required(field, "must specify `addresses` or `notReadyAddresses`")
    names: set[str] = set()
    several = len(raw.ports or ()) > 1
    ports = [
        _endpoint_port(port, f"{field}.ports[{i}]", names, problems, needs_name=several, needs_port=True)
        for i, port in enumerate(raw.ports or ())
    ]
    endpoints = [
        *[_subset_endpoint(a, f"{field}.addresses[{i}]", True, problems) for i, a in enumerate(raw.addresses or ())],
        *[
            _subset_endpoint(a, f"{field}.notReadyAddresses[{i}]", False, problems)
            for i, a in enumerate(raw.not_ready_addresses or ())
        ],
    ]
    return EndpointSubset(ports=tuple(ports), endpoints=tuple(endpoints))


def _subset_endpoint(raw: RawAddress, field: str, ready: bool, problems: Problems) -> Endpoint:
    address = raw.ip or ""
    _check_address(address, "", f"{field}.ip", problems)
    _check_node(raw.node_name, f"{field}.nodeName", problems)
    return Endpoint(addresses=(address,), ready=ready, node=raw.node_name or "", target=_target(raw.target_ref))


def without_service(key: ObjectKey) -> Finding:
    """What there is to say of an Endpoints object that belongs to nothing."""
    message = f"there is no Service {key.namespace}/{key.name}: Endpoints belong to the Service of the same name"
    return Finding(key, "metadata.name", Severity.WARNING, "EndpointsWithoutService", message)
