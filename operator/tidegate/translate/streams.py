"""TCP and UDP services from their two ConfigMaps (reference: behaviour 19).

An entry is a unit of translation of its own: what changes in an endpoint touches the entries of its Service alone.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.model import Endpoint, Listener, Stream
from tidegate.resources import model as api
from tidegate.resources.checks import is_label, is_subdomain
from tidegate.store import Store
from tidegate.translate.backends import external_endpoints, ready_endpoints
from tidegate.translate.options import Options
from tidegate.translate.reader import Dependencies, Reader, Unit
from tidegate.translate.tally import Tally

FORM = "NAMESPACE/SERVICE:PORT[:PROXY[:PROXY]]"
PROXY = "PROXY"

Protocol = Literal["tcp", "udp"]


class StreamEntry(NamedTuple):
    """One entry of a ConfigMap; `service_port` is a number or a name of a Service port."""

    source: ObjectKey
    listener: Listener
    namespace: str
    service: str
    service_port: str

    @property
    def field(self) -> str:
        return f"data[{self.listener.port}]"


class StreamResult(NamedTuple):
    """`names` are host names whose addresses are wanted from DNS."""

    stream: Stream
    findings: tuple[Finding, ...]
    names: frozenset[str]


class InvalidEntry(ValueError):
    """An entry that cannot be served; the message says what was found and what is allowed."""


def parse_entry(protocol: Protocol, source: ObjectKey, key: str, value: str, options: Options) -> StreamEntry:
    """Raises InvalidEntry."""
    port = int(key) if key.isascii() and key.isdigit() and len(key) <= 5 else 0
    if not 0 < port < 65536:
        raise InvalidEntry(f"found the port {key!r}, allowed: 1 to 65535")
    if use := options.reserved_ports.get(port):
        raise InvalidEntry(f"found port {port}, which Tidegate itself uses ({use})")
    service, *rest = value.strip().split(":")
    namespace, slash, name = service.partition("/")
    if not slash or not rest or not rest[0] or not is_label(namespace) or not is_subdomain(name):
        raise InvalidEntry(f"found {value[:100]!r}, allowed: {FORM}")
    proxy = [text.upper() == PROXY and protocol == "tcp" for text in rest[1:]]
    listener = Listener(protocol, port, read_proxy=proxy[:1] == [True], send_proxy=len(proxy) == 2 and proxy[1])
    return StreamEntry(source, listener, namespace, name, rest[0])


def _remarks(entry: StreamEntry, value: str) -> list[Finding]:
    """What in the value of a sound entry has no effect."""
    found = []
    fields = value.strip().split(":")[2:]
    if entry.listener.protocol == "udp" and any(fields):
        found.append("the PROXY protocol is for TCP: this port neither reads nor sends it")
    elif len(fields) > 2:
        found.append(f"found {len(fields)} fields after the port, allowed: 2; no PROXY line is sent to the endpoints")
    elif any(text and text.upper() != PROXY for text in fields):
        found.append(f"found {value[:100]!r}, allowed after the port: {PROXY} or nothing")
    return [Finding(entry.source, entry.field, Severity.WARNING, "InvalidEntry", text) for text in found]


def find_port(service: api.Service, wanted: str, protocol: Protocol) -> api.ServicePort | None:
    """The port of that number, else of that name; a target port does not count."""
    ports = [port for port in service.ports if port.protocol == protocol.upper()]
    by_number = (port for port in ports if wanted == str(port.port))
    by_name = (port for port in ports if wanted == port.name)
    return next(by_number, None) or next(by_name, None)


def translate_entry(entry: StreamEntry, reader: Reader, options: Options) -> StreamResult:
    """One entry with the endpoints that it has now."""
    service = reader.service(entry.namespace, entry.service)
    text = f"{entry.namespace}/{entry.service}:{entry.service_port}"

    def result(
        endpoints: list[Endpoint], reason: str = "", names: frozenset[str] = frozenset(), why: str = "NoEndpoints"
    ) -> StreamResult:
        message = f"{text}: {reason}; nothing listens on port {entry.listener.port}"
        findings = (Finding(entry.source, entry.field, Severity.WARNING, why, message),) if reason else ()
        by_address = service is not None and service.client_affinity
        return StreamResult(Stream(entry.listener, text, tuple(endpoints), by_address), findings, names)

    if options.watch_namespace and entry.namespace != options.watch_namespace:
        return result([], f"only the namespace {options.watch_namespace} is served", why="BackendNotFound")
    if service is None:
        return result([], "there is no such Service", why="BackendNotFound")
    port = find_port(service, entry.service_port, entry.listener.protocol)
    if port is None:
        return result([], f"the Service has no {entry.listener.protocol.upper()} port of that number or name")
    if service.type == "ExternalName":
        if not isinstance(port.target_port, int):
            return result([], "the target port of an ExternalName has to be a number")
        endpoints, names, reason = external_endpoints(reader, service, port.target_port, options)
        return result(endpoints, reason, names)
    endpoints = ready_endpoints(reader, service, port, options.zone)
    return result(endpoints, "" if endpoints else "no endpoint is ready")


class Streams:
    """All entries, each translated again when something that it read changes."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._sources: dict[Protocol, ObjectKey | None] = {"tcp": options.tcp_services, "udp": options.udp_services}
        self._started = False
        self._entries: dict[Protocol, dict[str, StreamEntry]] = {"tcp": {}, "udp": {}}
        self._faults: dict[Protocol, tuple[Finding, ...]] = {"tcp": (), "udp": ()}
        self._results: dict[str, StreamResult] = {}
        self._dependencies = Dependencies()
        self._names: Tally[str] = Tally()

    @property
    def streams(self) -> dict[str, Stream]:
        """By the name of their listener, in the order of names."""
        return {name: result.stream for name, result in sorted(self._results.items())}

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._names)

    @property
    def findings(self) -> tuple[Finding, ...]:
        own = (finding for result in self._results.values() for finding in result.findings)
        return (*self._faults["tcp"], *self._faults["udp"], *own)

    def entry(self, name: str) -> StreamEntry | None:
        """The entry that asks for the listener of this name."""
        return self._entries["tcp"].get(name) or self._entries["udp"].get(name)

    def update(self, store: Store, changed: set[ObjectKey]) -> dict[str, Stream | None]:
        """What changed, None for what is gone."""
        dirty = {unit.name for key in changed for unit in self._dependencies.of(key)}
        for protocol, source in self._sources.items():
            if source is not None and (source in changed or not self._started):
                dirty |= self._read(protocol, source, store)
        self._started = True
        delta: dict[str, Stream | None] = {}
        for name in dirty:
            former, result = self._results.pop(name, None), None
            entry, reader = self.entry(name), Reader(store)
            if entry is not None:
                result = self._results[name] = translate_entry(entry, reader, self.options)
            self._dependencies.replace(Unit("stream", name), reader.read)
            self._names.replace(former.names if former else (), result.names if result else ())
            before, after = former.stream if former else None, result.stream if result else None
            if before != after:
                delta[name] = after
        return delta

    def _read(self, protocol: Protocol, source: ObjectKey, store: Store) -> set[str]:
        """Take over a ConfigMap; the names of the listeners whose entries changed."""
        configmap = store.configmap(source.namespace, source.name)
        entries: dict[str, StreamEntry] = {}
        faults: list[Finding] = []
        for key, value in sorted((configmap.data if configmap else {}).items()):
            try:
                entry = parse_entry(protocol, source, key, value, self.options)
            except InvalidEntry as error:
                faults.append(Finding(source, f"data[{key}]", Severity.ERROR, "InvalidEntry", str(error)))
                continue
            if entry.listener.name in entries:  # 09000 beside 9000
                message = f"found port {entry.listener.port} twice; the entry {entry.field} counts"
                faults.append(Finding(source, f"data[{key}]", Severity.ERROR, "InvalidEntry", message))
            if entry.listener.name not in entries or key == str(entry.listener.port):
                entries[entry.listener.name] = entry
                faults += _remarks(entry, value)
        former, self._entries[protocol] = self._entries[protocol], entries
        self._faults[protocol] = tuple(faults)
        return {name for name in former.keys() | entries.keys() if former.get(name) != entries.get(name)}
