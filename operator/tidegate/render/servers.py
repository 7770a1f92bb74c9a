"""The native servers of a configuration: the catch-all, and one for each server profile."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tidegate.model import CATCH_ALL, Server, ServerProfile

LABEL = r"(?<subdomain>[\w-]+)"


@dataclass(frozen=True)
class NativeServer:
    """`digest` is that of the profile, empty for the catch-all; `names` are written as they are given to NGINX."""

    digest: str
    names: tuple[str, ...]
    profile: ServerProfile
    policies: frozenset[str] | None  # None: every one


def native_servers(servers: dict[str, Server]) -> list[NativeServer]:
    """The catch-all, which has to be the first, and those with a profile."""
    named = servers[CATCH_ALL].hosts if CATCH_ALL in servers else ()
    found = [NativeServer("", (CATCH_ALL, *map(server_name, named)), ServerProfile(), None)]
    for digest, server in sorted(servers.items()):
        if digest != CATCH_ALL:
            names = tuple(map(server_name, server.hosts))
            found.append(NativeServer(digest, names, server.profile, frozenset(server.policies)))
    return found


def server_name(host: str) -> str:
    """A host as NGINX's `server_name` takes it: a wildcard stands for exactly one label."""
    if host.startswith("*."):
        return f"~^{LABEL}{re.escape(host[1:])}$"
    return host
