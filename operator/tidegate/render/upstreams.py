"""Upstream blocks: one for each set of settings that connections to an endpoint must share to be used again.

NGINX finds an idle connection again by the endpoint's address alone, within one block. So what else makes a connection
what it is (protocol, TLS and all its settings) has to be told apart by blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from tidegate.model import BackendTLS, Policy, Upstream

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
    """`keepalive`: whether connections may be used again. A FastCGI process that keeps one open serves nobody else."""

    name: str
    keepalive: bool = True


_ALWAYS: Final = (UpstreamBlock("tidegate_http"), UpstreamBlock("tidegate_https"))
"""The first is what error and default backends are asked through."""


@dataclass(frozen=True)
class TLSDirectives:
    """What a location says about TLS to its backends; files are paths, empty for none."""

    tls: BackendTLS
    certificate: str
    trusted: str


def tls_directives(upstream: Upstream, folder: str) -> TLSDirectives | None:
    """`folder` holds the PEM files."""
    tls = upstream.tls
    if tls is None:
        return None
    certificate, trusted = (f"{folder}/{digest}.pem" if digest else "" for digest in (tls.certificate, tls.trusted))
    return TLSDirectives(tls, certificate, trusted)


def _suffix(upstream: Upstream) -> str:
    if upstream.tls is None:
        return ""
    return "_" + hashlib.sha256(msgspec.json.encode(upstream.tls)).hexdigest()[:16]


def _blocks(upstream: Upstream) -> tuple[UpstreamBlock, ...]:
    """A name that depends on the request says nothing of a connection made for another one: each gets its own."""
    protocols = ("http", "https") if upstream.protocol == "auto" else (upstream.protocol,)
    keepalive = upstream.protocol != "fcgi" and not (upstream.tls and "$" in upstream.tls.name)
    return tuple(UpstreamBlock(f"tidegate_{protocol}{_suffix(upstream)}", keepalive) for protocol in protocols)


def next_conditions(module: str, conditions: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the conditions for another try that a module knows: FastCGI has neither 502 nor 504."""
    if module != "fastcgi":
        return conditions
    known = tuple(item for item in conditions if item not in ("http_502", "http_504"))
    return known or ("off",)


def target_of(upstream: Upstream) -> str:
    """What the pass directive of a location names: scheme and block."""
    if upstream.protocol == "auto":
        return f"$scheme://tidegate_${{scheme}}{_suffix(upstream)}"
    name = _blocks(upstream)[0].name
    return name if upstream.protocol == "fcgi" else f"{upstream.protocol}://{name}"


def blocks_of(policies: Iterable[Policy]) -> list[UpstreamBlock]:
    """The blocks that these policies need, and those that are always there."""
    blocks = {*_ALWAYS, *(block for policy in policies for block in _blocks(policy.upstream))}
    return sorted(blocks, key=lambda block: block.name)


@dataclass(frozen=True)
class RedirectDirective:
    """The arguments of `proxy_redirect`, in which `$` begins a variable."""

    old: str
    new: str


_ASKED_BY: Final = "upstream_balancer"
"""The name by which the retired controller asks its backends."""


def redirect_directive(policy: Policy) -> RedirectDirective | None:
    """How Location headers of the backend are rewritten."""
    redirect = policy.answers.redirect
    if redirect is None:
        return None
    scheme = "$scheme" if policy.upstream.protocol == "auto" else policy.upstream.protocol
    base = ""
    if redirect.new.startswith("/") and not redirect.relative:
        base = "$scheme://$host:$server_port" if redirect.port else "$scheme://$host"
    return RedirectDirective(redirect.old or f"{scheme}://{_ASKED_BY}/", base + redirect.new)
