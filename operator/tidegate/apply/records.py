"""Model values as the records of the data plane: which key, which bytes, which policies they need."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tidegate.model import Backend, Certificate, Endpoint, Host
from tidegate.render.runtime import MIB

DEFAULT_BACKEND = "b:_default"
GLOBALS = "n:globals"


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record; `policies` are digests that workers must know before they see it, `profile` that of its server.

    `guarded`: that server verifies clients, and nothing less will do.
    """

    key: str
    value: bytes | None
    policies: frozenset[str] = frozenset()
    profile: str = ""
    guarded: bool = False


def host_record(name: str, host: Host | None) -> Record:
    if host is None:
        return Record(f"h:{name}", None)
    policies = frozenset(route.policy for route in host.routes if route.policy)
    return Record(f"h:{name}", msgspec.json.encode(host), policies, host.profile, host.guarded)


def backend_record(name: str, backend: Backend | None) -> Record:
    return Record(f"b:{name}", None if backend is None else msgspec.json.encode(backend))


def certificate_record(name: str, certificate: Certificate | None) -> Record:
    return Record(f"c:{name}", None if certificate is None else msgspec.json.encode(certificate))


def globals_record(value: msgspec.Struct) -> Record:
    return Record(GLOBALS, msgspec.json.encode(value))


def built_in_backend(socket: str) -> Record:
    """The default backend that NGINX itself is, behind a Unix socket."""
    backend = Backend("_default", (Endpoint(socket, 0),))
    return Record(DEFAULT_BACKEND, msgspec.json.encode(backend))


def in_order(records: Iterable[Record]) -> list[Record]:
    """Make before break: endpoints and certificates, then routes; what is dropped comes last, routes first."""

    def rank(record: Record) -> int:
        route = record.key.startswith("h:")
        if record.value is None:
            return 2 if route else 3
        return 1 if route else 0

    return sorted(records, key=rank)


class _NeedsOnly(msgspec.Struct):
    class RoutePolicy(msgspec.Struct):
        policy: str = ""

    routes: list[RoutePolicy] = []
    profile: str = ""
    guarded: bool = False


def needs_of(key: str, value: bytes | None) -> Record:
    """An encoded record with what it needs: of hosts' records that are policies and a profile, of others nothing."""
    if value is None or not value.startswith(b'{"name"') or not (b'"policy"' in value or b'"profile"' in value):
        return Record(key, value)
    needs = msgspec.json.decode(value, type=_NeedsOnly)
    policies = frozenset(route.policy for route in needs.routes if route.policy)
    return Record(key, value, policies, needs.profile, needs.guarded)


def policies_of(value: bytes | None) -> frozenset[str]:
    """The policies that a host's encoded record names; none for other records."""
    return needs_of("", value).policies


def data_size(values: Iterable[bytes]) -> int:
    """Room for these records twice over (slab pages, the log of keys, growth), in a power of two of MiB."""
    needed = 2 * sum(len(value) + 256 for value in values)
    size = 32 * MIB
    while size < needed:
        size *= 2
    return size
