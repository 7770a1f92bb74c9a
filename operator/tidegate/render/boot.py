"""What a generation of workers starts from: the settings of the modules in Lua, as one JSON text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import UNSET, UnsetType

from tidegate.model import CATCH_ALL, Globals, Server
from tidegate.render.forwarding import Peers
from tidegate.render.runtime import HEALTH_PATH, MetricSettings, OwnPorts, Runtime


class _ServerNames(msgspec.Struct, frozen=True):
    hosts: tuple[str, ...]
    policies: tuple[str, ...]


class _Router(msgspec.Struct, frozen=True, kw_only=True):
    body_limit: int
    outer_body_limit: int
    users_folder: str
    log_variables: str | bool
    log_default_backend: bool
    default_location: bool
    limit_by: tuple[str, ...] | UnsetType
    health_path: str | UnsetType


class _Balancer(msgspec.Struct, frozen=True):
    tries: int
    connect_timeout: int
    send_timeout: int
    read_timeout: int


class _Certificates(msgspec.Struct, frozen=True):
    reject_unknown: bool
    kept: int


class _Blocked(msgspec.Struct, frozen=True):
    networks: tuple[str, ...]
    agents: tuple[str, ...]
    referers: tuple[str, ...]
    replaced: bool


class _Boot(msgspec.Struct, frozen=True, kw_only=True):
    generation: int
    state: str
    policies: tuple[str, ...]
    servers: dict[str, _ServerNames]
    router: _Router
    balancer: _Balancer
    metrics: MetricSettings
    peers: Peers | UnsetType
    clear_http2: str | UnsetType
    tracing: dict[str, object]
    certificates: _Certificates
    own: OwnPorts | UnsetType
    blocked: _Blocked


def boot_text(
    generation: int,
    settings: Globals,
    runtime: Runtime,
    policies: Iterable[str],
    servers: Mapping[str, Server],
    *,
    outer_body_limit: int,
    log_variables: str | bool,
    peers: Peers | None,
    clear_http2: str,
    parsed: int,
) -> str:
    """The text for a Lua long bracket.

    `policies` are digests, `servers` are by the digest of their profile, `parsed` are the bytes of certificates that a
    worker keeps parsed; all else as `Configuration` calls it.
    """
    health_path = runtime.health_path
    boot = _Boot(
        generation=generation,
        state=f"{runtime.run_dir}/state",
        policies=tuple(policies),
        servers={
            digest: _ServerNames(server.hosts, () if digest == CATCH_ALL else server.policies)
            for digest, server in sorted(servers.items())
            if not server.profile.stream
        },
        router=_Router(
            body_limit=settings.default_policy.body_limit,
            outer_body_limit=outer_body_limit,
            users_folder=f"{runtime.worker_place}/users/",
            log_variables=log_variables,
            log_default_backend=settings.log_default_backend,
            default_location=bool(settings.location_snippet or settings.firewall),
            limit_by=settings.limit_by or UNSET,
            health_path=health_path if health_path not in ("", "/", HEALTH_PATH) else UNSET,
        ),
        balancer=_Balancer(settings.tries, settings.connect_timeout, settings.send_timeout, settings.read_timeout),
        metrics=runtime.metrics or MetricSettings(),
        peers=peers or UNSET,
        clear_http2=clear_http2 or UNSET,
        tracing=_tracing(settings),
        certificates=_Certificates(settings.ssl_reject_handshake, parsed),
        own=runtime.own or UNSET,
        blocked=_Blocked(
            settings.blocked_networks,
            settings.blocked_agents,
            settings.blocked_referers,
            403 in settings.default_policy.intercept,
        ),
    )
    text = msgspec.json.encode(boot).decode()
    return text.replace("]=", "]\\u003d")  # in a text of the JSON; it would end Lua's bracket


def _tracing(settings: Globals) -> dict[str, object]:
    given: dict[str, object] = msgspec.to_builtins(settings.tracing)
    return {name: value for name, value in given.items() if name != "name" or value}
