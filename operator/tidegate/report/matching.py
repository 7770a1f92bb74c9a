"""Which route answers a URL: the rules of `nginx-templates/lua/tidegate/{router,host}.lua`, for `explain`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from tidegate.model import CATCH_ALL, Host, Match, Route, is_pattern

LABEL = re.compile(r"[A-Za-z0-9_-]+\.")


def normalize(path: str) -> str | None:
    """The path as NGINX matches it: decoded, slashes merged, dot segments resolved; None when it leaves the root."""
    segments: list[str] = []
    parts = re.sub(r"/+", "/", unquote(path.split("#")[0])).split("/")[1:]
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


def find_host(hosts: Mapping[str, Host], name: str) -> Host | None:
    """The host that takes a request: exact name, else wildcard of one label, else alias pattern, else catch-all."""
    name = name.lower().rstrip(".")
    found = hosts.get(name)
    if found is None and LABEL.match(name):
        found = hosts.get("*." + name.partition(".")[2])
    if found is None:
        patterns = sorted(filter(is_pattern, hosts))
        found = next((hosts[item] for item in patterns if re.search(item[1:], name, re.IGNORECASE)), None)
    found = found or hosts.get(CATCH_ALL)
    if found is not None and found.alias_of:
        return hosts.get(found.alias_of)
    return found


def find_route(host: Host, path: str) -> Route | None:
    """The route of a normalised path, or None."""
    if host.regex:
        for route in host.routes:
            if re.match(route.path, path, re.IGNORECASE):
                return route
        return None
    best: tuple[int, Route] | None = None
    for route in host.routes:
        if route.match is Match.EXACT:
            if route.path == path:
                return route
            continue
        form = route.path if route.path.endswith("/") else route.path + "/"
        if path == route.path or path.startswith(form):
            length = len(form) + (path == route.path)
            if best is None or length > best[0]:
                best = (length, route)
    return best[1] if best else None


def parse_url(url: str) -> tuple[str, str, str]:
    """Scheme, host and path of a URL; one without scheme counts as http. Raises ValueError."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"found {url!r}, allowed: http(s)://host/path")
    return parts.scheme, parts.hostname, parts.path or "/"
