"""Service ports and their endpoints (reference: behaviour 4)."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.model import Backend, Endpoint, SessionCookie
from tidegate.resources import model as api
from tidegate.resources.checks import unmapped
from tidegate.settings import annotations as ann
from tidegate.settings.resolve import IngressSettings
from tidegate.translate.options import Options
from tidegate.translate.reader import Reader
from tidegate.translate.topology import near_endpoints

LARGEST_SUBSET = 1000  # the data plane draws up to twice as often from a group whose endpoints have failed

HASH_PART = re.compile(r"\$\{(\w+)\}|\$(\w+)|([^$]+|\$)")
DNS_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)


class BackendName(NamedTuple):
    """A Service port as written in an Ingress; two spellings of one port are two backends."""

    namespace: str
    service: str
    port: int | str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}:{self.port}"


class ExternalHost(NamedTuple):
    """The host of a URL that is asked, such as that of an authentication service: a name or an IPv4 address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"//{self.host}:{self.port}"


Target = BackendName | ExternalHost


def is_host_name(text: str) -> bool:
    """Whether text is a DNS name or an IPv4 address, in lower case or not, with a dot at its end or without."""
    return DNS_NAME.fullmatch(text.rstrip(".").lower()) is not None


def name_of(namespace: str, backend: api.ServiceBackend) -> BackendName:
    return BackendName(namespace, backend.service, backend.port)


class BackendResult(NamedTuple):
    """`names` are host names whose addresses are wanted from DNS."""

    backend: Backend
    findings: tuple[Finding, ...]
    names: frozenset[str]


def find_port(service: api.Service, port: int | str) -> api.ServicePort | None:
    """The first TCP port whose number, target port or name is the one asked for."""
    for candidate in service.ports:
        if candidate.protocol == "TCP" and str(port) in (
            str(candidate.port),
            str(candidate.target_port),
            candidate.name,
        ):
            return candidate
    return None


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _slice_port(ports: tuple[api.EndpointPort, ...], wanted: api.ServicePort) -> int | None:
    """That of the Service port's name, which one without a name takes from any; else the number of its target port."""
    numbers = {port.name: port.port for port in ports if port.protocol == wanted.protocol}
    named = numbers.get(wanted.name) or (next(iter(numbers.values()), None) if not wanted.name else None)
    if named is not None or (ports and not numbers):
        return named
    return wanted.target_port if isinstance(wanted.target_port, int) else None


def _of_ports(
    ports: tuple[api.EndpointPort, ...], endpoints: tuple[api.Endpoint, ...], wanted: api.ServicePort
) -> list[Endpoint]:
    port = _slice_port(ports, wanted)
    if port is None:
        return []
    return [
        Endpoint(_bracketed(address), port)
        for endpoint in endpoints
        if endpoint.ready is not False
        for address in endpoint.addresses
    ]


def ready_endpoints(reader: Reader, service: api.Service, port: api.ServicePort, zone: str) -> list[Endpoint]:
    """Those of the slices of a Service, else of its Endpoints object; `zone` is where NGINX runs, if that counts."""
    namespace, name = service.metadata.namespace, service.metadata.name
    slices = [item for item in reader.slices(namespace, name) if item.address_type != "FQDN"]
    found: list[Endpoint] = []
    if slices:
        near = near_endpoints(service, slices, zone)
        for item, endpoints in zip(slices, near, strict=True):
            found += _of_ports(item.ports, endpoints, port)
    elif listed := reader.endpoints(namespace, name):
        for subset in listed.subsets:
            found += _of_ports(subset.ports, subset.endpoints, port)
    return list(dict.fromkeys(found))


def _loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return unmapped(ipaddress.ip_address(name)).is_loopback
    except ValueError:
        return False


def _nobodys(name: str) -> bool:
    """Whether this is an address that no Service may lead to: the cloud's metadata live on such a one."""
    try:
        address = unmapped(ipaddress.ip_address(name))
    except ValueError:
        return False
    return address.is_unspecified or address.is_link_local or address.is_multicast


def _external_port(service: api.Service, port: int | str) -> int | None:
    """The target port of the Service port that has this number or name; a number that none has stands for itself."""
    for candidate in service.ports:
        if port in (candidate.port, candidate.name):
            return candidate.target_port if isinstance(candidate.target_port, int) else candidate.port
    return port if isinstance(port, int) else None


def external_endpoints(
    reader: Reader, service: api.Service, port: int, options: Options
) -> tuple[list[Endpoint], frozenset[str], str]:
    """Endpoints of an ExternalName, the name to be resolved, and why there are none."""
    name = service.external_name
    if options.disable_external_name:
        return [], frozenset(), "Services of type ExternalName are disabled (--disable-svc-external-name)"
    if _loopback(name.rstrip(".")):
        return [], frozenset(), f"the external name {name!r} is this machine itself"
    return _addresses(name, port, reader, options)


def _addresses(name: str, port: int, reader: Reader, options: Options) -> tuple[list[Endpoint], frozenset[str], str]:
    """Endpoints of an address or a name outside the cluster's Services; the name to be resolved; why there are none."""
    if _nobodys(name):
        return [], frozenset(), f"the external name {name!r} is an unspecified, link-local or multicast address"
    try:
        return [Endpoint(_bracketed(str(ipaddress.ip_address(name))), port)], frozenset(), ""
    except ValueError:
        pass
    if not is_host_name(name):
        return [], frozenset(), f"the external name {name!r} is not a valid DNS name"
    resolution = reader.resolution(name)
    addresses = resolution.addresses if resolution else ()
    allowed = [address for address in addresses if not _nobodys(address)]
    usable = [address for address in allowed if options.loopback_endpoints or not _loopback(address)]
    reason = "" if usable else f"the external name {name!r} has no address"
    return [Endpoint(_bracketed(address), port) for address in usable], frozenset([name]), reason


def translate_external(target: ExternalHost, reader: Reader, options: Options) -> BackendResult:
    """A host and port of a URL."""
    if _loopback(target.host) and not options.loopback_endpoints:
        endpoints, names, reason = [], frozenset[str](), f"the external name {target.host!r} is this machine itself"
    elif target.host == "localhost":
        endpoints, names, reason = [Endpoint("127.0.0.1", target.port)], frozenset(), ""
    else:
        endpoints, names, reason = _addresses(target.host, target.port, reader, options)
    key = ObjectKey("Host", "", target.host)
    findings = (Finding(key, "", Severity.WARNING, "NoEndpoints", reason),) if reason else ()
    return BackendResult(Backend(str(target), tuple(endpoints)), findings, names)


def hash_parts(expression: str) -> tuple[str, ...]:
    """`${a}-$b` as (`$a`, `-`, `$b`): literals, and variables with a leading `$`."""
    parts = []
    for match in HASH_PART.finditer(expression):
        variable = match[1] or match[2]
        parts.append(f"${variable}" if variable else match[3])
    return tuple(parts)


def _balancing(settings: IngressSettings | None) -> dict[str, object]:
    if settings is None:
        return {}
    expression = settings.get(ann.UPSTREAM_HASH_BY)
    if expression:
        subset = settings.get(ann.UPSTREAM_HASH_BY_SUBSET)
        size = settings.get(ann.UPSTREAM_HASH_BY_SUBSET_SIZE) or 3
        return {
            "algorithm": "hash",
            "hash_by": hash_parts(expression),
            "subset_size": min(size, LARGEST_SUBSET) if subset else 0,
        }
    return {"algorithm": "ewma"} if settings.get(ann.LOAD_BALANCE) == "ewma" else {}


def followed(users: list[IngressSettings]) -> tuple[SessionCookie, ...]:
    """The session cookies that some Ingresses of a Service port give, where it has others, too, which give none."""
    giving = [settings for settings in users if settings.get(ann.AFFINITY) == "cookie"]
    if len(giving) == len(users):
        return ()
    cookies = (
        SessionCookie(
            settings.get(ann.SESSION_COOKIE_NAME),
            "persistent" if settings.get(ann.AFFINITY_MODE) == "persistent" else "balanced",
        )
        for settings in giving
    )
    return tuple(dict.fromkeys(cookies))


def _report(name: BackendName, reason: str, message: str) -> Finding:
    key = ObjectKey("Service", name.namespace, name.service)
    return Finding(key, f"spec.ports[{name.port}]", Severity.WARNING, reason, message)


def translate_backend(
    name: BackendName,
    settings: IngressSettings | None,
    reader: Reader,
    options: Options,
    follows: tuple[SessionCookie, ...] = (),
) -> BackendResult:
    """One Service port; `settings` are those of the oldest Ingress that uses it, None when no Ingress does."""
    balancing = {**_balancing(settings), "follows": follows}

    def result(endpoints: list[Endpoint], reason: str = "", names: frozenset[str] = frozenset()) -> BackendResult:
        findings = (_report(name, "NoEndpoints", reason),) if reason else ()
        backend = Backend(str(name), tuple(endpoints), **balancing)  # type: ignore[arg-type]
        return BackendResult(backend, findings, names)

    service = reader.service(name.namespace, name.service)
    if service is None:
        finding = _report(name, "BackendNotFound", f"there is no Service {name.namespace}/{name.service}")
        return BackendResult(Backend(str(name), **balancing), (finding,), frozenset())  # type: ignore[arg-type]
    if service.type == "ExternalName":
        number = _external_port(service, name.port)
        if number is None:
            return result([], f"the Service has no TCP port {name.port}")
        endpoints, names, reason = external_endpoints(reader, service, number, options)
        return result(endpoints, reason, names)
    port = find_port(service, name.port)
    if port is None:
        return result([], f"the Service has no TCP port {name.port}")
    if settings is not None and settings.get(ann.SERVICE_UPSTREAM) and service.cluster_ip not in ("", "None"):
        return result([Endpoint(_bracketed(service.cluster_ip), port.port)])
    endpoints = ready_endpoints(reader, service, port, options.zone)
    return result(endpoints, "" if endpoints else "no endpoint is ready")
