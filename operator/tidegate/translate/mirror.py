"""Copies of requests: from `mirror-*` to where they go and what they look like (reference: annotations 11)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tidegate.findings import brief
from tidegate.model import Mirror, Mirroring
from tidegate.settings import annotations as ann
from tidegate.settings.resolve import IngressSettings
from tidegate.translate.backends import ExternalHost, is_host_name
from tidegate.translate.expressions import UnsoundExpression, expression_parts

_URL: Final = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[^/?$:\[\]]+)(?::([0-9]{1,5}))?(?![^/?$])(.*)", re.IGNORECASE)
_ALLOWED: Final = "http(s)://host[:port][/path], the host without variables"


class NoMirror(Exception):
    """Why nothing is copied although it is asked for; `field` is the annotation's name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{message}; nothing is mirrored")
        self.field = field


class Mirrored(NamedTuple):
    """What the route, the policy and the resolver need to know."""

    mirror: Mirror
    mirroring: Mirroring
    target: ExternalHost


def _uri(rest: str) -> str:
    """What is asked for: as it is if there is a variable, else with the query of the request; the same by default."""
    if not rest:
        return "$request_uri"
    rest = rest if rest.startswith(("/", "$")) else f"/{rest}"
    if "$" in rest:
        return rest
    return f"{rest}&$args" if "?" in rest else f"{rest}$is_args$args"


def _parts(field: str, text: str, more: frozenset[str]) -> tuple[str, ...]:
    try:
        return expression_parts(text, more)
    except UnsoundExpression as error:
        raise NoMirror(field, str(error)) from None


def mirrored(settings: IngressSettings) -> Mirrored | None:
    """Where copies of the requests of an Ingress go; None if nowhere. Raises NoMirror."""
    url, field = settings.get(ann.MIRROR_TARGET), ann.MIRROR_TARGET.name
    if url in ("", "off"):
        return None
    found = _URL.fullmatch(url)
    if found is None:
        raise NoMirror(field, f"found {brief(url)}, allowed: {_ALLOWED}")
    scheme, bracketed, port, rest = found.groups()
    tls, name = scheme.lower() == "https", bracketed.strip("[]").lower()
    number = int(port) if port else 443 if tls else 80
    if not (bracketed.startswith("[") or is_host_name(name)) or not 0 < number < 65536:
        raise NoMirror(field, f"found {brief(url)}, allowed: {_ALLOWED}")
    target, more = ExternalHost(name, number), settings.globals.own_variables
    host = _parts(ann.MIRROR_HOST.name, settings.get(ann.MIRROR_HOST) or bracketed, more)
    mirror = Mirror(str(target), name, _parts(field, _uri(rest), more), host)
    return Mirrored(mirror, Mirroring(tls, settings.get(ann.MIRROR_REQUEST_BODY)), target)
