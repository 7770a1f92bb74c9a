"""Which native server takes a host's requests, and whether a record can be served there.

A location of one server is out of reach in another, so a server needs the policies of all its hosts: of the records
that are to come, and of those that are still there when its workers start.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from tidegate.apply.records import Record
from tidegate.model import CATCH_ALL, Server, Verification


def placement(servers: Mapping[str, Server]) -> dict[str, str]:
    """For each host that a server names, the digest of its profile."""
    return {name: digest for digest, server in servers.items() for name in server.hosts}


def fits(record: Record, places: Mapping[str, str], servers: Mapping[str, Server], policies: Collection[str]) -> bool:
    """Whether workers with these servers and policies can serve by this record."""
    place = places.get(record.key[2:], "") if record.key.startswith("h:") else ""
    known = policies if place in ("", CATCH_ALL) else servers[place].policies
    return record.policies.issubset(known) and record.profile in ("", place)


def verifications(servers: Mapping[str, Server]) -> dict[str, Verification]:
    """For each host whose clients are verified, how."""
    return {
        name: server.profile.verification
        for server in servers.values()
        if server.profile.verification is not None
        for name in server.hosts
    }


def loses_verification(former: Mapping[str, Server], servers: Mapping[str, Server]) -> bool:
    """Whether some host's clients are no longer verified as they were: TLS sessions made before must not be resumed."""
    now = verifications(servers)
    return any(now.get(name) != verification for name, verification in verifications(former).items())


def same_places(one: Mapping[str, Server], other: Mapping[str, Server]) -> bool:
    """Whether both have the same servers with the same hosts."""
    return {digest: server.hosts for digest, server in one.items()} == {
        digest: server.hosts for digest, server in other.items()
    }


def stream_lines(servers: Mapping[str, Server]) -> frozenset[str]:
    """The digests of lines for the `stream` block."""
    return frozenset(digest for digest, server in servers.items() if server.profile.stream)


def with_policies(server: Server, more: Iterable[str], known: Collection[str]) -> Server:
    """The server with further policies, as far as they are known."""
    return replace(server, policies=tuple(sorted({*server.policies, *more} & set(known))))
