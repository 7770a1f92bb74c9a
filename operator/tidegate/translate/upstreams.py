"""How requests of a location reach its backend: the protocol, and what a connection to it is like."""

from __future__ import annotations

from typing import Final

from tidegate.model import Protocol, Upstream
from tidegate.settings import annotations as ann
from tidegate.settings.resolve import IngressSettings

_PROTOCOLS: Final[dict[str, Protocol]] = {
    "HTTP": "http",
    "HTTPS": "https",
    "AUTO_HTTP": "auto",
    "GRPC": "grpc",
    "GRPCS": "grpcs",
    "FCGI": "fcgi",
}


def upstream_of(settings: IngressSettings, *, own: bool) -> Upstream:
    """`own`: the location has a backend of its own; the default backend always speaks HTTP."""
    return Upstream(_PROTOCOLS[settings.get(ann.BACKEND_PROTOCOL)] if own else "http")
