"""Manifests as typed raw structs of just the fields used, and the words for values of a wrong type.

Shapes: networking.k8s.io/v1, discovery.k8s.io/v1, core/v1 API documents; unknown fields are skipped.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from tidegate.resources.checks import Problems, show, type_name

Map = dict[Any, Any]


class Raw(msgspec.Struct, frozen=True, rename="camel"):
    """Base of all raw structs: null and absent are the same, as for the API server."""


class RawMetadata(Raw, frozen=True):
    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    generation: int | None = None
    creation_timestamp: str | None = None
    annotations: Map | None = None
    labels: Map | None = None


class RawObject(Raw, frozen=True):
    metadata: RawMetadata | None = None


class RawBackendPort(Raw, frozen=True):
    number: int | None = None
    name: str | None = None


class RawBackendService(Raw, frozen=True):
    name: str | None = None
    port: RawBackendPort | None = None


class RawResourceRef(Raw, frozen=True):
    api_group: str | None = None
    kind: str | None = None
    name: str | None = None


class RawBackend(Raw, frozen=True):
    """`service_name` and `service_port` are the legacy form."""

    service: RawBackendService | None = None
    resource: RawResourceRef | None = None
    service_name: str | None = None
    service_port: int | str | None = None


class RawPath(Raw, frozen=True):
    path: str | None = None
    path_type: str | None = None
    backend: RawBackend | None = None


class RawHTTP(Raw, frozen=True):
    paths: list[RawPath] | None = None


class RawRule(Raw, frozen=True):
    host: str | None = None
    http: RawHTTP | None = None


class RawTLS(Raw, frozen=True):
    hosts: list[str] | None = None
    secret_name: str | None = None


class RawIngressSpec(Raw, frozen=True):
    """`backend` is the legacy name of `default_backend`."""

    ingress_class_name: str | None = None
    default_backend: RawBackend | None = None
    backend: RawBackend | None = None
    rules: list[RawRule] | None = None
    tls: list[RawTLS] | None = None


class RawIngress(RawObject, frozen=True):
    spec: RawIngressSpec | None = None


class RawIngressClassSpec(Raw, frozen=True):
    controller: str | None = None


class RawIngressClass(RawObject, frozen=True):
    spec: RawIngressClassSpec | None = None


class RawServicePort(Raw, frozen=True):
    port: int | None = None
    name: str | None = None
    protocol: str | None = None
    target_port: int | str | None = None
    node_port: int | None = None


class RawServiceSpec(Raw, frozen=True):
    type: str | None = None
    cluster_ip: str | None = msgspec.field(default=None, name="clusterIP")
    cluster_ips: list[str] | None = msgspec.field(default=None, name="clusterIPs")
    external_name: str | None = None
    ports: list[RawServicePort] | None = None
    selector: Map | None = None
    session_affinity: str | None = None
    traffic_distribution: str | None = None
    ip_families: list[str] | None = None


class RawService(RawObject, frozen=True):
    spec: RawServiceSpec | None = None


class RawEndpointPort(Raw, frozen=True):
    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class RawConditions(Raw, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class RawZoneHint(Raw, frozen=True):
    name: str | None = None


class RawHints(Raw, frozen=True):
    for_zones: list[RawZoneHint] | None = None


class RawTargetRef(Raw, frozen=True):
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None


class RawEndpoint(Raw, frozen=True):
    addresses: list[str] | None = None
    conditions: RawConditions | None = None
    node_name: str | None = None
    zone: str | None = None
    hints: RawHints | None = None
    target_ref: RawTargetRef | None = None


class RawEndpointSlice(RawObject, frozen=True):
    address_type: str | None = None
    ports: list[RawEndpointPort] | None = None
    endpoints: list[RawEndpoint] | None = None


class RawAddress(Raw, frozen=True):
    ip: str | None = None
    node_name: str | None = None
    target_ref: RawTargetRef | None = None


class RawSubset(Raw, frozen=True):
    addresses: list[RawAddress] | None = None
    not_ready_addresses: list[RawAddress] | None = None
    ports: list[RawEndpointPort] | None = None


class RawEndpoints(RawObject, frozen=True):
    subsets: list[RawSubset] | None = None


class RawSecret(RawObject, frozen=True):
    type: str | None = None
    data: Map | None = None
    string_data: Map | None = None


class RawConfigMap(RawObject, frozen=True):
    data: Map | None = None


class RawPoolEndpoint(Raw, frozen=True):
    address: str | None = None
    hostname: str | None = None


class RawHealthCheck(Raw, frozen=True):
    type: str | None = None
    path: str | None = None
    host: str | None = None
    service: str | None = None
    port: int | None = None
    interval: str | None = None
    timeout: str | None = None
    healthy_threshold: int | None = None
    unhealthy_threshold: int | None = None


class RawPoolSpec(Raw, frozen=True):
    service_name: str | None = None
    endpoints: list[RawPoolEndpoint] | None = None
    health_check: RawHealthCheck | None = None


class RawCondition(Raw, frozen=True):
    type: str | None = None
    status: str | None = None
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None
    observed_generation: int | None = None


class RawPoolStatus(Raw, frozen=True):
    observed_generation: int | None = None
    ready_endpoints: int | None = None
    total_endpoints: int | None = None
    conditions: list[RawCondition] | None = None


class RawEndpointPool(RawObject, frozen=True):
    spec: RawPoolSpec | None = None
    status: RawPoolStatus | None = None


R = TypeVar("R", bound=RawObject)

_ERROR = re.compile(r"(?P<what>.*?)(?: - at `(?:key` in `)?\$(?P<path>[^`]*)`)?", re.DOTALL)
_EXPECTED = re.compile(r"Expected `(?P<types>[^`]*)`")
_STEP = re.compile(r"\.?(?P<name>[^.\[\]]+)|\[(?P<index>\d+)\]")
_TYPE_NAMES = {
    "str": "a string",
    "int": "an integer",
    "bool": "true or false",
    "object": "a mapping",
    "array": "a list",
}


def to_raw(manifest: dict[Any, Any], kind: type[R], problems: Problems) -> R | None:
    """The manifest as `kind`, or None with a problem that names the field, what was found and what is allowed."""
    try:
        return msgspec.convert(manifest, kind)
    except msgspec.ValidationError as error:
        _explain(str(error), manifest, problems)
    except RecursionError:
        problems.wrong("", "the object is nested too deeply")
    return None


def _explain(error: str, manifest: object, problems: Problems) -> None:
    match = _ERROR.fullmatch(error)
    path = (match["path"] or "") if match else ""
    field = path.removeprefix(".")
    expected = _EXPECTED.search(error)
    types = [_TYPE_NAMES.get(t, t) for t in expected["types"].split(" | ") if t != "null"] if expected else []
    allowed = " or ".join(types)
    if "at `key` in" in error:
        problems.wrong(field, "found a key that is not a string; allowed: strings as keys")
        return
    value: object = manifest
    for step in _STEP.finditer(path):
        try:
            value = value[int(step["index"])] if step["index"] else value[step["name"]]  # type: ignore[index]
        except (LookupError, TypeError, ValueError):
            problems.wrong(field, error)
            return
    found = (
        type_name(value) if value is None or isinstance(value, dict | list) else f"{type_name(value)}: {show(value)}"
    )
    problems.wrong(field, f"found {found}; allowed: {allowed}" if allowed else error)
