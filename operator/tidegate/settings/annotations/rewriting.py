"""Annotations that choose the host names and paths of a route, and what the backend sees of them."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.lists import CommaList
from tidegate.settings.setting import Becomes, OnInvalid, Risk, Scope
from tidegate.settings.texts import CharClass, Template, Text
from tidegate.settings.types import GoBool

_FAMILY: Final = Family("Rewriting", becomes=Becomes.DATA)

REWRITE_TARGET: Final = _FAMILY.setting(
    "rewrite-target",
    Text(CharClass.PATHCAP),
    "",
    "The URI that the backend gets, with $1 and so on from the path's pattern. Paths of the host become patterns.",
    risk=Risk.MEDIUM,
    exact=True,
)
USE_REGEX: Final = _FAMILY.setting(
    "use-regex",
    GoBool(),
    False,
    "Whether paths are patterns. If one Ingress of a host says so, all paths of that host are.",
)
SERVER_ALIAS: Final = _FAMILY.setting(
    "server-alias",
    CommaList(CharClass.REGEX, "server names", lenient=True, ordered=False),
    (),
    "Further names of the host: names, wildcards (*.name, .name, name.*) or ~patterns, which are tried for names that"
    " nothing else takes. A name that is a host of an Ingress is left out.",
    scope=Scope.SERVER,
    risk=Risk.HIGH,
    on_invalid=OnInvalid.REJECT,
)
UPSTREAM_VHOST: Final = _FAMILY.setting(
    "upstream-vhost",
    Template(CharClass.REGEX),
    "",
    "The Host header that the backend gets; NGINX's variables and `$namespace`, `$service_name`, `$service_port` and"
    " the like stand for their values.",
    on_invalid=OnInvalid.REJECT,
)
X_FORWARDED_PREFIX: Final = _FAMILY.setting(
    "x-forwarded-prefix",
    Text(CharClass.PATHCAP, spaces_ignored=True),
    "",
    "The X-Forwarded-Prefix header that the backend gets where `rewrite-target` acts.",
    risk=Risk.MEDIUM,
    on_invalid=OnInvalid.REJECT,
)
