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

    @property
    def lua_argument(self) -> str:
        """What the router is told about where it runs."""
        return f'"{self.digest}"' if self.digest else ""

    @property
    def verifies(self) -> bool:
        """Whether clients are asked for certificates."""
        verification = self.profile.verification
        return verification is not None and verification.mode != "off"


def native_servers(servers: dict[str, Server]) -> list[NativeServer]:
    """The catch-all, which has to be the first, and those with a profile."""
    named = servers[CATCH_ALL].hosts if CATCH_ALL in servers else ()
    found = [NativeServer("", (CATCH_ALL, *map(server_name, named)), ServerProfile(), None)]
    for digest, server in sorted(servers.items()):
        if digest != CATCH_ALL and not server.profile.stream:
            names = tuple(map(server_name, server.hosts))
            found.append(NativeServer(digest, names, server.profile, frozenset(server.policies)))
    return found


def server_name(host: str) -> str:
    """A host as NGINX's `server_name` takes it: a wildcard stands for exactly one label."""
    if host.startswith("*."):
        return f"~^{LABEL}{re.escape(host[1:])}$"
    return host


_CLIENT_HEADERS = (
    ("ssl-client-verify", "$ssl_client_verify"),
    ("ssl-client-subject-dn", "$ssl_client_s_dn"),
    ("ssl-client-issuer-dn", "$ssl_client_i_dn"),
    ("ssl-client-cert", "$tidegate_client_certificate"),
)


def client_headers(server: NativeServer, *, underscores: bool) -> list[tuple[str, str]]:
    """What backends are told of a client's certificate; a client that says it itself is never believed.

    `underscores`: names with these pass, which many programs take for the same as those with hyphens.
    """
    told = server.profile.verification is not None
    rows = [(name, variable if told else "") for name, variable in _CLIENT_HEADERS]
    return rows + [(name.replace("-", "_"), "") for name, _ in _CLIENT_HEADERS if underscores]
