"""Which route answers a URL: the rules of `nginx-templates/lua/tidegate/{router,host}.lua`, for `explain`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from tidegate.model import CATCH_ALL, PATTERN, Host, Match, Route, patterns_in_order
from tidegate.report.patterns import first_match

LABEL = re.compile(r"[A-Za-z0-9_-]+\.")


class FoundHost(NamedTuple):
    """The record under which a request comes in, and the one whose routes take it: another one for an alias."""

    asked: Host | None = None
    routed: Host | None = None


class FoundRoute(NamedTuple):
    """`moved`: the request is redirected to the path of the route, which is its own with a slash at the end."""

    route: Route | None = None
    moved: bool = False


def normalize(path: str) -> str | None:
    """The path as NGINX matches it: decoded, slashes merged, dot segments resolved; None when it is refused."""
    path = path.split("#")[0]
    if re.search("%(?![0-9A-Fa-f]{2})", path):
        return None
    decoded = unquote(path)
    if "\0" in decoded:
        return None
    segments: list[str] = []
    parts = re.sub(r"/+", "/", decoded).split("/")[1:]
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "..":
            if not segments:
                return None
            segments.pop()
        elif part != ".":
            segments.append(part)
            continue
        if last:
            segments.append("")
    return "/" + "/".join(segments)


def find_host(hosts: Mapping[str, Host], name: str) -> FoundHost:
    """The host that takes a request: exact name, else wildcard of one label, else alias pattern, else catch-all.

    Raises UndecidedError for an alias pattern that only NGINX can try.
    """
    name = name.lower().rstrip(".")
    found = None if name.startswith(("*", PATTERN)) else hosts.get(name) or _wildcard(hosts, name)
    if found is None:
        patterns = patterns_in_order(hosts)
        number = first_match([item.removeprefix(PATTERN) for item in patterns], name)
        found = hosts.get(CATCH_ALL) if number is None else hosts[patterns[number]]
    return FoundHost(found, hosts.get(found.alias_of) if found is not None and found.alias_of else found)


def _wildcard(hosts: Mapping[str, Host], name: str) -> Host | None:
    return hosts.get("*." + name.partition(".")[2]) if LABEL.match(name) else None


def has_tls(hosts: Mapping[str, Host], host: Host) -> bool:
    """Whether it has TLS of its own or from a wildcard."""
    wildcard = _wildcard(hosts, host.name)
    return host.tls or (wildcard is not None and wildcard.tls)


def find_route(host: Host, path: str) -> FoundRoute:
    """The route of a normalised path. Raises UndecidedError for a pattern that only NGINX can try."""
    if host.regex:
        number = first_match([f"^{route.path}" for route in host.routes], path)
        return FoundRoute() if number is None else FoundRoute(host.routes[number])
    exact = {route.path: route for route in host.routes if route.match is Match.EXACT}
    prefixes = {route.path: route for route in host.routes if route.match is Match.PREFIX}
    if (own := exact.get(path) or prefixes.get(path)) is not None:
        return FoundRoute(own)
    if (slash := prefixes.get(f"{path}/")) is not None:
        return FoundRoute(slash, moved=True)
    below = [text for text in prefixes if path.startswith(text if text.endswith("/") else f"{text}/")]
    return FoundRoute(prefixes[max(below, key=len)]) if below else FoundRoute()  # of `/a` and `/a/` the latter


def parse_url(url: str) -> tuple[str, str, str]:
    """Scheme, host and path of a URL; one without scheme counts as http. Raises ValueError."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"found {url!r}, allowed: http(s)://host/path")
    return parts.scheme, parts.hostname, parts.path or "/"
