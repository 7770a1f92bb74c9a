"""`explain`: which host, path, Ingress, policy and endpoints answer a URL, and where each setting came from."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from tidegate.findings import ObjectKey
from tidegate.model import CATCH_ALL, Backend, Host, Passthrough, Route
from tidegate.report.matching import find_host, find_route, has_tls, normalize, parse_url
from tidegate.report.patterns import UndecidedError
from tidegate.settings.registry import ANNOTATIONS
from tidegate.settings.setting import OriginKind, Support
from tidegate.translate.acceptance import View
from tidegate.translate.engine import Translator

ABSOLUTE = re.compile(r"[A-Za-z][\w+.-]*://")
BUILT_IN = ("/healthz", "/nginx_status")


class SettingOrigin(msgspec.Struct, frozen=True):
    """One setting in force: `origin` is `default`, or the object and field that say so."""

    name: str
    value: str
    origin: str


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """The way of one URL. `answer` says in words what happens; the rest is empty where it does not apply."""

    url: str
    answer: str
    host: str = ""
    match: str = ""
    path: str = ""
    ingress: str = ""
    backend: str = ""
    algorithm: str = ""
    endpoints: tuple[str, ...] = ()
    canaries: tuple[str, ...] = ()
    policy: str = ""
    settings: tuple[SettingOrigin, ...] = ()
    findings: tuple[str, ...] = ()


def _written(value: object) -> str:
    """As a manifest has it."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return str(value)
        case tuple() | list() | set() | frozenset():
            return ", ".join(map(_written, value))
    return str(value)


def _settings(view: View) -> tuple[SettingOrigin, ...]:
    rows = []
    for name, setting in ANNOTATIONS.items():
        if setting.support is not Support.SUPPORTED or name.endswith("*"):
            continue
        value = view.settings.value(setting)
        if value.origin.kind is not OriginKind.DEFAULT or setting.configmap_key:
            rows.append(SettingOrigin(name, _written(value.value), str(value.origin)))
    return tuple(rows)


def _answer(route: Route, backends: Mapping[str, Backend], plain: bool) -> str:
    """`plain`: the request comes without TLS to a host that has it."""
    backend = backends.get(route.backend)
    fallback = backends.get(route.fallback)
    rule = route.tls_redirect
    if route.status:
        return f"answers {route.status}: a setting of its Ingress cannot be carried out"
    if route.refused:
        return "answered by the default backend: its Ingress is not accepted"
    if route.redirect:
        return f"redirects with {route.redirect.status} to {route.redirect.location}"
    if route.rewrite and ABSOLUTE.match(route.rewrite.target):
        return f"redirects with 302 to {route.rewrite.target}"
    if plain and rule:
        return f"redirects with {rule.status} to https"
    if not route.backend:
        return "answered by the default backend"
    if backend is not None and backend.endpoints:
        return f"proxied to {route.backend}"
    if fallback is not None and fallback.endpoints:
        return f"answered by {fallback.id}, because {route.backend} has no ready endpoint"
    return f"answers 503: {route.backend} has no ready endpoint"


def _passed_through(url: str, found: Passthrough) -> Explanation:
    endpoints = _addresses(found)
    what = f"its TLS goes to {found.service} undecrypted" if endpoints else f"{found.service} has no ready endpoint"
    return Explanation(url, what, host=found.host, backend=found.service, endpoints=endpoints)


def _addresses(target: Backend | Passthrough) -> tuple[str, ...]:
    return tuple(f"{item.address}:{item.port}" for item in target.endpoints)


def explain(translator: Translator, url: str) -> Explanation:
    """Raises ValueError for something that is no URL. May take a moment: patterns are tried in another process."""
    scheme, name, raw = parse_url(url)
    passed = translator.passthrough.get(name.lower().rstrip("."))
    if scheme == "https" and passed is not None:
        return _passed_through(url, passed)
    path = normalize(raw)
    if path is None:
        return Explanation(url, "answers 400: the path leaves the root, or cannot be decoded")
    try:
        return _explain(translator, url, scheme, name, path)
    except UndecidedError as error:
        return Explanation(url, str(error))


def _explain(translator: Translator, url: str, scheme: str, name: str, path: str) -> Explanation:
    hosts: Mapping[str, Host] = translator.hosts
    asked, host = find_host(hosts, name)
    if (host is None or host.name == CATCH_ALL) and path.startswith(BUILT_IN):
        return Explanation(url, "answered by Tidegate itself")
    if asked is None or host is None:
        return Explanation(url, "answered by the default backend: no Ingress names this host")
    if host.closed:
        return Explanation(url, f"answers {host.closed}: what guards this host cannot be used", host=host.name)
    if host.redirect_to:
        return Explanation(url, f"redirects with {host.redirect_status} to {host.redirect_to}", host=host.name)
    if host.app_root and path == "/":
        return Explanation(url, f"redirects with 302 to {host.app_root}", host=host.name)
    route, moved = find_route(host, path)
    if route is None:
        return Explanation(url, "answered by the default backend: no rule has this path", host=host.name)
    rule = route.tls_redirect
    plain = scheme == "http" and rule is not None and (rule.force or has_tls(hosts, asked))
    backends = translator.backends
    backend = backends.get(route.backend)
    key = ObjectKey("Ingress", route.labels.namespace, route.labels.ingress)
    view = translator.views.get(key)
    return Explanation(
        url=url,
        answer=f"redirects with 301 to {path}/" if moved else _answer(route, backends, plain),
        host=host.name,
        match=route.match.value,
        path=route.path,
        ingress=f"{key.namespace}/{key.name}",
        backend=route.backend,
        algorithm=backend.algorithm if backend else "",
        endpoints=_addresses(backend) if backend else (),
        canaries=tuple(canary.backend for canary in route.canaries),
        policy=route.policy or "default",
        settings=_settings(view) if view else (),
        findings=tuple(f"{item.severity}: {item.field}: {item.message}" for item in translator.findings_of(key)),
    )
