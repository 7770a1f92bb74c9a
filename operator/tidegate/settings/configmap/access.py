"""ConfigMap keys that say who gets in."""

from __future__ import annotations

from typing import Final

from tidegate.settings.blocking import BlockList
from tidegate.settings.family import Family
from tidegate.settings.lists import CidrList
from tidegate.settings.setting import Becomes, OnInvalid, Scope

_FAMILY: Final = Family("Access", scope=Scope.GLOBAL, becomes=Becomes.GLOBAL, on_invalid=OnInvalid.DENY, security=True)

WHITELIST_SOURCE_RANGE: Final = _FAMILY.setting(
    "whitelist-source-range",
    CidrList(lenient=True),
    (),
    "Clients that may enter; others get 403. An allow list on an Ingress takes its place; empty: everybody.",
    scope=Scope.LOCATION,
    becomes=Becomes.POLICY,
)
DENYLIST_SOURCE_RANGE: Final = _FAMILY.setting(
    "denylist-source-range",
    CidrList(lenient=True),
    (),
    "Clients that get 403, whatever an allow list says. A deny list on an Ingress takes its place.",
    scope=Scope.LOCATION,
    becomes=Becomes.POLICY,
)
BLOCK_CIDRS: Final = _FAMILY.setting(
    "block-cidrs",
    CidrList(lenient=True),
    (),
    "Clients that get 403 everywhere.",
    note="Paths with lists of their own are no exception, nor are redirects.",
)
BLOCK_USER_AGENTS: Final = _FAMILY.setting(
    "block-user-agents",
    BlockList(),
    (),
    "User-Agent values that get 403 on every host: exact texts, or patterns that begin with ~ or ~*.",
)
BLOCK_REFERERS: Final = _FAMILY.setting(
    "block-referers",
    BlockList(),
    (),
    "Referer values that get 403 on every host: exact texts, or patterns that begin with ~ or ~*.",
)
_STATUS: Final = Family("Access", scope=Scope.GLOBAL, becomes=Becomes.GLOBAL)

NGINX_STATUS_IPV4_WHITELIST: Final = _STATUS.setting(
    "nginx-status-ipv4-whitelist",
    CidrList(lenient=True),
    ("127.0.0.1/32",),
    "IPv4 clients that may read NGINX's status page.",
)
NGINX_STATUS_IPV6_WHITELIST: Final = _STATUS.setting(
    "nginx-status-ipv6-whitelist", CidrList(lenient=True), ("::1/128",), "IPv6 clients that may read it."
)
