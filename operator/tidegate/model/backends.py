"""Endpoints and where they are used: backends, hosts whose TLS is passed through, TCP and UDP services."""

from __future__ import annotations

from typing import Literal

import msgspec


class SessionCookie(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What is needed to follow an affinity cookie that another route gives."""

    cookie: str
    mode: Literal["balanced", "persistent"] = "balanced"


class Endpoint(msgspec.Struct, frozen=True, omit_defaults=True, order=True, gc=False):
    """Where NGINX connects to: an IPv4 address, an IPv6 one in brackets, or `unix:` with a path and port 0."""

    address: str
    port: int


class Backend(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The ready endpoints of one Service port; `id` is `namespace/service:port` as the Ingress wrote it."""

    id: str
    endpoints: tuple[Endpoint, ...] = ()
    algorithm: Literal["round_robin", "ewma", "hash"] = "round_robin"
    hash_by: tuple[str, ...] = ()  # literals and, with a leading `$`, variables, joined for the key
    subset_size: int = 0
    follows: tuple[SessionCookie, ...] = ()  # that routes without affinity follow, if a client shows one


class Passthrough(msgspec.Struct, frozen=True, gc=False):
    """A host whose TLS goes to the endpoints of a backend undecrypted; data."""

    host: str
    service: str
    endpoints: tuple[Endpoint, ...] = ()


class Listener(msgspec.Struct, frozen=True, order=True, gc=False):
    """Where a TCP or UDP service is reached; a change of the set of these is one reload."""

    protocol: Literal["tcp", "udp"]
    port: int
    read_proxy: bool = False  # clients begin with a PROXY line
    send_proxy: bool = False  # the endpoint is sent one

    @property
    def name(self) -> str:
        return f"{self.protocol}-{self.port}"


class Stream(msgspec.Struct, frozen=True, gc=False):
    """A TCP or UDP service. Nothing listens without endpoints; a change of them is data.

    `service` is `namespace/service:port` as the ConfigMap has it.
    """

    listener: Listener
    service: str
    endpoints: tuple[Endpoint, ...] = ()
    by_address: bool = False  # a client's address decides which endpoint it gets
