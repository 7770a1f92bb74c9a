"""Ingress and IngressClass: `networking.k8s.io/v1` and the legacy forms, checked as the API server does.

Source: pkg/apis/networking/validation/validation.go (`ValidateIngressCreate`, `ValidateIngressClass`).
"""

from __future__ import annotations

import re

from tidegate.resources import checks
from tidegate.resources.checks import Problems
from tidegate.resources.model import (
    Ingress,
    IngressClass,
    IngressPath,
    IngressRule,
    IngressTLS,
    Metadata,
    ServiceBackend,
)
from tidegate.resources.raw import (
    RawBackend,
    RawHTTP,
    RawIngress,
    RawIngressClass,
    RawPath,
    RawResourceRef,
    RawRule,
    RawTLS,
)

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
DEFAULT_CLASS_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDINGS = ("/..", "/.")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def decode_ingress(raw: RawIngress, metadata: Metadata, problems: Problems, *, legacy: bool) -> Ingress:
    """The Ingress; with problems it is not to be used. `legacy` reads `serviceName`, `servicePort`, `spec.backend`."""
    spec = raw.spec
    if spec is None:
        problems.required("spec", "either `defaultBackend` or `rules` must be specified")
        return Ingress(metadata=metadata)
    raw_default = spec.backend if legacy else spec.default_backend
    default_field = "spec.backend" if legacy else "spec.defaultBackend"
    default = None if raw_default is None else _backend(raw_default, default_field, problems, legacy)
    if raw_default is None and not spec.rules:
        what = "`backend`" if legacy else "`defaultBackend`"
        problems.wrong("spec", f"Invalid value: either {what} or `rules` must be specified")
    name = spec.ingress_class_name
    if name is not None and not checks.is_subdomain(name):
        problems.invalid("spec.ingressClassName", name, checks.NEEDS_SUBDOMAIN)
    if name is not None and CLASS_ANNOTATION in metadata.annotations:
        problems.warn(
            f"metadata.annotations[{CLASS_ANNOTATION}]",
            "ClassAnnotationUnused",
            "has no effect because spec.ingressClassName is set; the API server refuses new objects with both",
        )
    return Ingress(
        metadata=metadata,
        ingress_class_name=name,
        default_backend=default,
        rules=tuple([_rule(r, f"spec.rules[{i}]", problems, legacy) for i, r in enumerate(spec.rules or ())]),
        tls=tuple([_tls(t, f"spec.tls[{i}]", problems) for i, t in enumerate(spec.tls or ())]),
    )


def decode_ingress_class(raw: RawIngressClass, metadata: Metadata, problems: Problems) -> IngressClass:
    controller = (raw.spec.controller if raw.spec else None) or ""
    if not controller:
        problems.required("spec.controller", 'must be a domain-prefixed path (such as "acme.io/foo")')
    elif len(controller) > 250:
        problems.too_long("spec.controller", 250)
    elif not checks.is_domain_prefixed_path(controller):
        problems.invalid("spec.controller", controller, 'must be a domain-prefixed path (such as "acme.io/foo")')
    is_default = metadata.annotations.get(DEFAULT_CLASS_ANNOTATION) == "true"
    return IngressClass(metadata=metadata, controller=controller, is_default=is_default)


def _rule(raw: RawRule, field: str, problems: Problems, legacy: bool) -> IngressRule:
    host = raw.host or ""
    if host:
        _check_host(host, f"{field}.host", problems)
    paths = None if raw.http is None else _paths(raw.http, f"{field}.http", problems, legacy)
    return IngressRule(host=host, paths=paths)


def _check_host(host: str, field: str, problems: Problems) -> None:
    if checks.is_ip(host):
        problems.invalid(field, host, "must be a DNS name, not an IP address")
    elif "*" in host:
        if not checks.is_wildcard(host):
            problems.invalid(field, host, checks.NEEDS_WILDCARD)
    elif not checks.is_subdomain(host):
        problems.invalid(field, host, checks.NEEDS_SUBDOMAIN)


def _paths(raw: RawHTTP, field: str, problems: Problems, legacy: bool) -> tuple[IngressPath, ...]:
    if not raw.paths:
        problems.required(f"{field}.paths", "at least one path")
    return tuple([_path(p, f"{field}.paths[{i}]", problems, legacy) for i, p in enumerate(raw.paths or ())])


def _path(raw: RawPath, field: str, problems: Problems, legacy: bool) -> IngressPath:
    path_type = raw.path_type
    if path_type is None and legacy:
        path_type = "ImplementationSpecific"
    path = raw.path or ""
    if path_type is None:
        problems.required(f"{field}.pathType", "pathType must be specified: Exact, Prefix or ImplementationSpecific")
    elif path_type not in _PATH_TYPES:
        problems.unsupported(f"{field}.pathType", path_type, _PATH_TYPES)
    else:
        _check_path(path, path_type, f"{field}.path", problems)
    if raw.backend is None:
        problems.required(f"{field}.backend", "a service or resource backend")
    backend = None if raw.backend is None else _backend(raw.backend, f"{field}.backend", problems, legacy)
    return IngressPath(path=path, path_type=path_type or "", backend=backend)


def _check_path(path: str, path_type: str, field: str, problems: Problems) -> None:
    if path_type == "ImplementationSpecific":
        if path and not path.startswith("/"):
            problems.invalid(field, path, "must be an absolute path (begin with '/')")
    elif not path.startswith("/"):
        problems.invalid(field, path, "must be an absolute path (begin with '/')")
    else:
        for sequence in _BAD_SEQUENCES:
            if sequence in path:
                problems.invalid(field, path, f"must not contain '{sequence}'")
        for ending in _BAD_ENDINGS:
            if path.endswith(ending):
                problems.invalid(field, path, f"cannot end with '{ending}'")
    if _CONTROL.search(path):
        problems.invalid(field, path, "must not contain control characters")


def _backend(raw: RawBackend, field: str, problems: Problems, legacy: bool) -> ServiceBackend | None:
    if legacy:
        return _legacy_backend(raw, field, problems)
    if raw.resource is not None:
        if raw.service is not None:
            problems.wrong(field, "Invalid value: cannot set both resource and service backends")
        _check_resource(raw.resource, f"{field}.resource", problems)
        return None
    if raw.service is None:
        hint = ""
        if raw.service_name is not None or raw.service_port is not None:
            hint = " (`serviceName` and `servicePort` are the form of v1beta1: write `service.name` and `service.port`)"
        problems.required(field, f"a service or resource backend{hint}")
        return None
    name = raw.service.name or ""
    _check_service_name(name, f"{field}.service.name", problems)
    port = raw.service.port
    number = port.number or 0 if port else 0
    port_name = port.name or "" if port else ""
    if number and port_name:
        problems.wrong(f"{field}.service.port", "Invalid value: cannot set both port name & port number")
    return ServiceBackend(name, _port(number, port_name, f"{field}.service.port", problems))


def _port(number: int, name: str, field: str, problems: Problems) -> int | str:
    if name:
        if not checks.is_port_name(name):
            problems.invalid(f"{field}.name", name, checks.NEEDS_PORT_NAME)
        return name
    if number == 0:
        problems.required(field, "port name or number is required")
    elif not checks.is_port(number):
        problems.invalid(f"{field}.number", number, checks.NEEDS_PORT_NUMBER)
    return number


def _legacy_backend(raw: RawBackend, field: str, problems: Problems) -> ServiceBackend | None:
    if raw.resource is not None:
        if raw.service_name or raw.service_port:
            problems.wrong(field, "Invalid value: cannot set both resource and service backends")
        _check_resource(raw.resource, f"{field}.resource", problems)
        return None
    _check_service_name(raw.service_name or "", f"{field}.serviceName", problems)
    port = raw.service_port
    if not port:
        problems.required(f"{field}.servicePort", "port name or number is required")
        return None
    if isinstance(port, int) and not checks.is_port(port):
        problems.invalid(f"{field}.servicePort", port, checks.NEEDS_PORT_NUMBER)
    elif isinstance(port, str) and not checks.is_port_name(port):
        problems.invalid(f"{field}.servicePort", port, checks.NEEDS_PORT_NAME)
    return ServiceBackend(raw.service_name or "", port)


def _check_service_name(name: str, field: str, problems: Problems) -> None:
    if not name:
        problems.required(field, "the name of a Service")
    elif not checks.is_1035_label(name):
        problems.invalid(field, name, checks.NEEDS_1035_LABEL)


def _check_resource(raw: RawResourceRef, field: str, problems: Problems) -> None:
    """A resource backend is valid, but Tidegate serves none: the path has no backend."""
    if not raw.kind:
        problems.required(f"{field}.kind", "the kind of the object")
    if not raw.name:
        problems.required(f"{field}.name", "the name of the object")


def _tls(raw: RawTLS, field: str, problems: Problems) -> IngressTLS:
    hosts = tuple(raw.hosts or ())
    for i, host in enumerate(hosts):
        if "*" in host:
            if not checks.is_wildcard(host):
                problems.invalid(f"{field}.hosts[{i}]", host, checks.NEEDS_WILDCARD)
        elif not checks.is_subdomain(host):
            problems.invalid(f"{field}.hosts[{i}]", host, checks.NEEDS_SUBDOMAIN)
    secret = raw.secret_name or ""
    if secret and not checks.is_subdomain(secret):
        problems.invalid(f"{field}.secretName", secret, checks.NEEDS_SUBDOMAIN)
    return IngressTLS(hosts=hosts, secret_name=secret)
