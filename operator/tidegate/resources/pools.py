"""EndpointPool, and the one-line form of it on a Service, checked as the CustomResourceDefinition does.

The schema and its rules stand in `crds/endpointpools.yaml`; a test holds the two together.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime

from tidegate.resources import checks
from tidegate.resources.checks import Problems, show
from tidegate.resources.model import Condition, EndpointPool, HealthCheck, Metadata, PoolEndpoint, PoolStatus
from tidegate.resources.raw import RawEndpointPool, RawHealthCheck, RawPoolEndpoint, RawPoolSpec, RawPoolStatus

ENDPOINTS_ANNOTATION = "tidegate.dev/endpoints"
MOST_ENDPOINTS = 5000
CHECK_TYPES = ("HTTP", "HTTPS", "TCP", "GRPC")

NEEDS_HOSTNAME = "must be a DNS name in lower case whose last label begins with a letter, of at most 253 characters"
NEEDS_DURATION = "must be a duration such as 500ms, 5s or 1m30s"
NEEDS_IP = "must be an IPv4 or IPv6 address"

_HOSTNAME = re.compile(r"(?:[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9])?\.)*[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?\.?")
_PATH = re.compile(r"/[!-~]{0,1023}")
_HOST = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9._]*[A-Za-z0-9])?(?::[0-9]{1,5})?")
_SERVICE = re.compile(r"[A-Za-z0-9._/-]{0,253}")
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:ms|s|m|h))+", re.ASCII)
_DURATION_PART = re.compile(r"([\d.]+)(ms|s|m|h)", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LEAST_INTERVAL, _MOST_INTERVAL = 1.0, 3600.0
_LEAST_TIMEOUT = 0.01


def canonical(address: str) -> str:
    """The one spelling of an address; IPv4 in IPv6 is IPv4. Raises ValueError, for leading zeros as well."""
    if "%" in address:
        raise ValueError(f"found a zone in {show(address)}")
    return str(checks.unmapped(ipaddress.ip_address(address)))


def _is_address(text: str) -> bool:
    try:
        canonical(text)
    except ValueError:
        return False
    return True


def is_hostname(text: str) -> bool:
    """A DNS name that nobody can take for an address."""
    return len(text) <= 253 and _HOSTNAME.fullmatch(text) is not None


def parse_duration(text: str) -> float:
    """Seconds of a Go duration. Raises ValueError."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"found {show(text)}: {NEEDS_DURATION}")
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))


def parse_endpoints(text: str) -> tuple[PoolEndpoint, ...]:
    """The one-line form: addresses and host names, separated by commas. Raises ValueError."""
    found: list[PoolEndpoint] = []
    for item in (part.strip() for part in text.split(",")):
        if _is_address(item):
            found.append(PoolEndpoint(address=item))
        elif is_hostname(item):
            found.append(PoolEndpoint(hostname=item))
        else:
            what = f"found {show(item)}" if item else "found nothing between two commas"
            raise ValueError(f"{what}; allowed: addresses and host names in lower case, separated by commas")
    if len(found) > MOST_ENDPOINTS:
        raise ValueError(f"found {len(found)} endpoints; allowed: at most {MOST_ENDPOINTS}")
    return tuple(found)


def decode_endpoint_pool(raw: RawEndpointPool, metadata: Metadata, problems: Problems) -> EndpointPool:
    spec = raw.spec
    if spec is None:
        problems.required("spec", "serviceName and endpoints")
        spec = RawPoolSpec()
    elif not spec.service_name:
        problems.required("spec.serviceName", "the name of a Service in the same namespace")
    elif not checks.is_1035_label(spec.service_name):
        problems.invalid("spec.serviceName", spec.service_name, checks.NEEDS_1035_LABEL)
    if raw.spec is not None and spec.endpoints is None:
        problems.required("spec.endpoints", "a list of addresses and host names")
    listed = spec.endpoints or []
    if len(listed) > MOST_ENDPOINTS:
        problems.wrong("spec.endpoints", f"Too many: {len(listed)}: must have at most {MOST_ENDPOINTS} items")
        listed = []
    endpoints = [_endpoint(item, f"spec.endpoints[{i}]", problems) for i, item in enumerate(listed)]
    check = spec.health_check
    return EndpointPool(
        metadata=metadata,
        service=spec.service_name or "",
        endpoints=tuple(endpoints),
        health_check=_health_check(check, problems) if check is not None else None,
        status=_status(raw.status) if raw.status is not None else None,
    )


def _endpoint(raw: RawPoolEndpoint, field: str, problems: Problems) -> PoolEndpoint:
    if (raw.address is None) == (raw.hostname is None):
        problems.wrong(field, "Invalid value: an endpoint has either an address or a hostname")
    elif raw.address is not None and not _is_address(raw.address):
        problems.invalid(f"{field}.address", raw.address, NEEDS_IP)
    elif raw.hostname is not None and not is_hostname(raw.hostname):
        problems.invalid(f"{field}.hostname", raw.hostname, NEEDS_HOSTNAME)
    return PoolEndpoint(address=raw.address or "", hostname=raw.hostname or "")


def _health_check(raw: RawHealthCheck, problems: Problems) -> HealthCheck:
    field = "spec.healthCheck"
    kind = raw.type or ""
    if not kind:
        problems.required(f"{field}.type", "HTTP, HTTPS, TCP or GRPC")
    elif kind not in CHECK_TYPES:
        problems.unsupported(f"{field}.type", kind, CHECK_TYPES)
    web = kind in ("HTTP", "HTTPS")
    for name, value, pattern, fits, whose in (
        ("path", raw.path, _PATH, web, "path and host are for HTTP and HTTPS"),
        ("host", raw.host, _HOST, web, "path and host are for HTTP and HTTPS"),
        ("service", raw.service, _SERVICE, kind == "GRPC", "service is for GRPC"),
    ):
        if value is None or kind not in CHECK_TYPES:
            continue
        if not fits:
            problems.wrong(f"{field}.{name}", f"Invalid value: {whose}")
        elif len(value) > 1024 or not pattern.fullmatch(value):
            problems.invalid(f"{field}.{name}", value, f"must match {pattern.pattern}")
    if raw.port is not None:
        checks.check_port(raw.port, f"{field}.port", problems)
    interval = _duration(raw.interval, "5s", f"{field}.interval", problems)
    timeout = _duration(raw.timeout, "1s", f"{field}.timeout", problems)
    if not _LEAST_INTERVAL <= interval <= _MOST_INTERVAL:
        problems.wrong(f"{field}.interval", f"Invalid value: {show(raw.interval)}: interval is from 1s to 1h")
    elif not _LEAST_TIMEOUT <= timeout <= interval:
        problems.wrong(
            f"{field}.timeout",
            f"Invalid value: {show(raw.timeout or '1s')}: timeout is at least 10ms and at most the interval",
        )
    return HealthCheck(
        type=kind,
        path=raw.path or "/",
        host=raw.host or "",
        service=raw.service or "",
        port=raw.port or 0,
        interval=interval,
        timeout=timeout,
        healthy_threshold=_threshold(raw.healthy_threshold, 2, f"{field}.healthyThreshold", problems),
        unhealthy_threshold=_threshold(raw.unhealthy_threshold, 3, f"{field}.unhealthyThreshold", problems),
    )


def _duration(text: str | None, default: str, field: str, problems: Problems) -> float:
    try:
        return parse_duration(text if text is not None else default)
    except ValueError:
        problems.invalid(field, text, NEEDS_DURATION)
        return parse_duration(default)


def _threshold(value: int | None, default: int, field: str, problems: Problems) -> int:
    if value is None:
        return default
    if not 1 <= value <= 100:
        problems.invalid(field, value, "must be from 1 to 100")
    return value


def _status(raw: RawPoolStatus) -> PoolStatus:
    """What was written before; Tidegate's own words, so nothing of it is a mistake of the user."""
    conditions = [
        Condition(
            type=item.type or "",
            status=item.status or "Unknown",
            reason=item.reason or "",
            message=item.message or "",
            since=_seconds(item.last_transition_time),
            generation=item.observed_generation or 0,
        )
        for item in raw.conditions or ()
    ]
    return PoolStatus(
        observed_generation=raw.observed_generation or 0,
        ready=raw.ready_endpoints or 0,
        total=raw.total_endpoints or 0,
        conditions=tuple(conditions),
    )


def _seconds(text: str | None) -> int:
    try:
        return int(datetime.fromisoformat(text or "").timestamp())
    except (ValueError, OverflowError):
        return 0
