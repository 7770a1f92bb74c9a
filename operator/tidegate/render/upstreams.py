"""Upstream blocks: one for each set of settings that connections to an endpoint must share to be used again.

NGINX finds an idle connection again by the endpoint's address alone, within one block. So what else makes a connection
what it is (protocol, TLS and all its settings) has to be told apart by blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tidegate.model import Policy, Upstream

_ALWAYS: Final = ("tidegate_http", "tidegate_https")  # the first is what error and default backends are asked through
_SINGLE: Final = ("tidegate_fcgi",)  # a FastCGI process that keeps a connection open serves nobody else

MODULES: Final = {
    "http": "proxy",
    "https": "proxy",
    "auto": "proxy",
    "grpc": "grpc",
    "grpcs": "grpc",
    "fcgi": "fastcgi",
}
"""NGINX's module for each protocol: the prefix of its directives."""


@dataclass(frozen=True)
class UpstreamBlock:
    """`keepalive`: whether connections may be used again."""

    name: str
    keepalive: bool = True


def _names(upstream: Upstream) -> tuple[str, ...]:
    protocols = ("http", "https") if upstream.protocol == "auto" else (upstream.protocol,)
    return tuple(f"tidegate_{protocol}" for protocol in protocols)


def next_conditions(module: str, conditions: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the conditions for another try that a module knows: FastCGI has neither 502 nor 504."""
    if module != "fastcgi":
        return conditions
    known = tuple(item for item in conditions if item not in ("http_502", "http_504"))
    return known or ("off",)


def target_of(upstream: Upstream) -> str:
    """What the pass directive of a location names: scheme and block."""
    if upstream.protocol == "auto":
        return "$scheme://tidegate_$scheme"
    name = _names(upstream)[0]
    return name if upstream.protocol == "fcgi" else f"{upstream.protocol}://{name}"


def blocks_of(policies: Iterable[Policy]) -> list[UpstreamBlock]:
    """The blocks that these policies need, and those that are always there."""
    names = {*_ALWAYS, *(name for policy in policies for name in _names(policy.upstream))}
    return [UpstreamBlock(name, keepalive=name not in _SINGLE) for name in sorted(names)]
