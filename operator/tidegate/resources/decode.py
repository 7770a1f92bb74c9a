"""One manifest to one typed resource: the door through which every object enters, whatever the source.

Checks are those of the Kubernetes API server, with its words. Pure: no I/O, no clock.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import msgspec

from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.resources import checks
from tidegate.resources.checks import Problems, printable, show, type_name
from tidegate.resources.config import decode_config_map, decode_secret
from tidegate.resources.ingress import decode_ingress, decode_ingress_class
from tidegate.resources.kinds import BUILT_IN, CLUSTER_SCOPED, OWN_GROUP, USED, closest_used, group_of
from tidegate.resources.model import Metadata, Namespace, Resource
from tidegate.resources.pools import decode_endpoint_pool
from tidegate.resources.raw import (
    RawConfigMap,
    RawEndpointPool,
    RawEndpoints,
    RawEndpointSlice,
    RawIngress,
    RawIngressClass,
    RawMetadata,
    RawObject,
    RawSecret,
    RawService,
    to_raw,
)
from tidegate.resources.services import decode_endpoint_slice, decode_endpoints, decode_service

_RAW: dict[str, type[RawObject]] = {
    "Ingress": RawIngress,
    "IngressClass": RawIngressClass,
    "Service": RawService,
    "EndpointSlice": RawEndpointSlice,
    "Endpoints": RawEndpoints,
    "Secret": RawSecret,
    "ConfigMap": RawConfigMap,
    "Namespace": RawObject,
    "EndpointPool": RawEndpointPool,
}
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_MAX_ANNOTATIONS = 256 * 1024


class Decoded(msgspec.Struct, frozen=True):
    """What one manifest says.

    * a valid object: `key` and `resource`, perhaps warnings;
    * an invalid one: `resource` is None; `key` too when the object cannot even be named;
    * a kind that Tidegate does not read: neither, and one finding of severity INFO, reason `IgnoredKind`.
    """

    key: ObjectKey | None
    resource: Resource | None
    findings: tuple[Finding, ...]


def decode(manifest: object, *, created: int, uid: str, place: str) -> Decoded:
    """Read one object (the source expands Lists). Never raises: what is wrong is a finding of reason `Invalid`.

    `created` (seconds since the epoch) and `uid` stand in for absent metadata; `place` goes into the findings.
    """
    problems = Problems()
    if not isinstance(manifest, dict):
        problems.wrong("", f"found {type_name(manifest)}; allowed: a mapping with apiVersion, kind and metadata")
        return Decoded(None, None, problems.findings(ObjectKey("Manifest", "", ""), place))
    kind, api_version = manifest.get("kind"), manifest.get("apiVersion")
    named = _name_of(manifest)
    if not isinstance(kind, str) or not isinstance(api_version, str) or not kind or not api_version:
        for field, value in (("apiVersion", api_version), ("kind", kind)):
            if value is None or value == "":
                problems.required(field, "each manifest says its apiVersion and kind")
            elif not isinstance(value, str):
                problems.wrong(field, f"found {type_name(value)}: {show(value)}; allowed: a string")
        shown = printable(kind) if isinstance(kind, str) and kind else "Manifest"
        return Decoded(None, None, problems.findings(ObjectKey(shown, *named), place))
    if (api_version, kind) == ("v1", "List"):
        problems.wrong("items", f"found {type_name(manifest.get('items'))}; allowed: a list of objects")
        return Decoded(None, None, problems.findings(ObjectKey(kind, *named), place))
    if api_version not in USED.get(kind, ()):
        return _not_read(kind, api_version, named, place)
    if kind in CLUSTER_SCOPED:
        named = ("", named[1])
    label = ObjectKey(kind, *named)
    raw = to_raw(manifest, _RAW[kind], problems)
    if raw is None:
        return Decoded(label if _may_be_named(label) else None, None, problems.findings(label, place))
    metadata = _metadata(raw.metadata or RawMetadata(), kind, created, uid, problems)
    key = ObjectKey(kind, metadata.namespace, metadata.name)
    resource = _decode_kind(kind, raw, metadata, problems, legacy=USED[kind][api_version])
    if USED[kind][api_version]:
        new = next(version for version, legacy in USED[kind].items() if not legacy)
        problems.warn("apiVersion", checks.DEPRECATED, f"{api_version} {kind} is no longer served; write {new}")
    findings = problems.findings(label, place)
    if problems.failed:
        return Decoded(key if _may_be_named(key) else None, None, findings)
    return Decoded(key, resource, findings)


def _decode_kind(kind: str, raw: RawObject, metadata: Metadata, problems: Problems, *, legacy: bool) -> Resource:
    match raw:
        case RawIngress():
            return decode_ingress(raw, metadata, problems, legacy=legacy)
        case RawIngressClass():
            return decode_ingress_class(raw, metadata, problems)
        case RawService():
            return decode_service(raw, metadata, problems)
        case RawEndpointSlice():
            return decode_endpoint_slice(raw, metadata, problems)
        case RawEndpoints():
            return decode_endpoints(raw, metadata, problems)
        case RawSecret():
            return decode_secret(raw, metadata, problems)
        case RawConfigMap():
            return decode_config_map(raw, metadata, problems)
        case RawEndpointPool():
            return decode_endpoint_pool(raw, metadata, problems)
        case _:
            assert kind == "Namespace", kind
            return Namespace(metadata=metadata)


def _not_read(kind: str, api_version: str, named: tuple[str, str], place: str) -> Decoded:
    """Another kind: a mistake when Kubernetes does not know it either, else only a remark."""
    key = ObjectKey(printable(kind), *named)
    group = group_of(api_version)
    message = f"no matches for kind {show(kind)} in version {show(api_version)}"
    if kind in USED and group in BUILT_IN:
        allowed = ", ".join(USED[kind])
        return _refused(key, "apiVersion", f"{message}; allowed for {kind}: {allowed}", place)
    meant = closest_used(kind)
    if group in BUILT_IN and kind not in BUILT_IN[group]:
        hint = f"; did you mean {meant} ({next(iter(USED[meant]))})?" if meant and meant != kind else ""
        owner = "Tidegate" if group == OWN_GROUP else "Kubernetes"
        return _refused(key, "kind", f"{message}: {owner} has no such kind{hint}", place)
    text = f"Tidegate does not read {printable(kind)} ({printable(api_version)}); ignored"
    return Decoded(None, None, (Finding(key, "kind", Severity.INFO, checks.IGNORED, text, place),))


def _refused(key: ObjectKey, field: str, message: str, place: str) -> Decoded:
    return Decoded(None, None, (Finding(key, field, Severity.ERROR, checks.INVALID, message, place),))


def _name_of(manifest: dict[Any, Any]) -> tuple[str, str]:
    """Namespace and name for findings, as far as they can be read; printable."""
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict):
        return "", ""
    name, namespace = metadata.get("name"), metadata.get("namespace")
    return (
        printable(namespace) if isinstance(namespace, str) and namespace else "default",
        printable(name) if isinstance(name, str) else "",
    )


def _may_be_named(key: ObjectKey) -> bool:
    return checks.is_subdomain(key.name) and (key.kind in CLUSTER_SCOPED or checks.is_label(key.namespace))


def _metadata(raw: RawMetadata, kind: str, created: int, uid: str, problems: Problems) -> Metadata:
    name, namespace = raw.name or "", raw.namespace or "default"
    _check_name(name, kind, problems)
    if kind in CLUSTER_SCOPED:
        namespace = ""
    elif not checks.is_label(namespace):
        problems.invalid("metadata.namespace", namespace, checks.NEEDS_LABEL)
    generation = raw.generation or 0
    if not 0 <= generation < 2**63:
        problems.invalid("metadata.generation", generation, "must be a number that is not negative")
    annotations = checks.string_map(raw.annotations, "metadata.annotations", problems)
    size = 0
    for key, value in annotations.items():
        size += len(key) + len(value)
        if not checks.is_qualified_name(key.lower()):
            _bad_key("metadata.annotations", key, problems)
    if size > _MAX_ANNOTATIONS:
        problems.too_long("metadata.annotations", _MAX_ANNOTATIONS)
    labels = checks.string_map(raw.labels, "metadata.labels", problems)
    for key, value in labels.items():
        if not checks.is_qualified_name(key):
            _bad_key("metadata.labels", key, problems)
        if not checks.is_label_value(value):
            needs = "a label value has at most 63 alphanumeric characters, '-', '_' or '.', alphanumeric at both ends"
            problems.invalid(f"metadata.labels[{printable(key)}]", value, needs)
    return Metadata(
        name=name,
        namespace=namespace,
        uid=raw.uid or uid,
        generation=generation,
        created=_created(raw.creation_timestamp, created, problems),
        annotations=annotations,
        labels=labels,
    )


def _bad_key(field: str, key: str, problems: Problems) -> None:
    needs = (
        "a key is a name of at most 63 alphanumeric characters, '-', '_' or '.', with an optional DNS prefix and '/'"
    )
    problems.invalid(f"{field}[{printable(key)}]", key, needs)


def _check_name(name: str, kind: str, problems: Problems) -> None:
    field = "metadata.name"
    if not name:
        problems.required(field, "a name is required")
    elif kind == "Service":
        if not checks.is_1035_label(name):
            problems.invalid(field, name, checks.NEEDS_1035_LABEL)
    elif kind == "Namespace":
        if not checks.is_label(name):
            problems.invalid(field, name, checks.NEEDS_LABEL)
    elif not checks.is_subdomain(name):
        problems.invalid(field, name, checks.NEEDS_SUBDOMAIN)


def _created(text: str | None, created: int, problems: Problems) -> int:
    if text is None:
        return created
    try:
        if _RFC3339.fullmatch(text):
            return int(datetime.fromisoformat(text.upper()).timestamp())
    except (ValueError, OverflowError):
        pass
    problems.invalid("metadata.creationTimestamp", text, "must be a time as in RFC 3339, such as 2024-05-01T12:00:00Z")
    return created
