"""`explain`: which host, path, Ingress, policy and endpoints answer a URL, and where each setting came from."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidegate.findings import ObjectKey
from tidegate.model import Backend, Host, Route
from tidegate.report.matching import find_host, find_route, normalize, parse_url
from tidegate.settings.registry import ANNOTATIONS
from tidegate.settings.setting import OriginKind, Support
from tidegate.translate.acceptance import View
from tidegate.translate.engine import Translator


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


def _settings(view: View) -> tuple[SettingOrigin, ...]:
    rows = []
    for name, setting in ANNOTATIONS.items():
        if setting.support is not Support.SUPPORTED or name.endswith("*"):
            continue
        value = view.settings.value(setting)
        if value.origin.kind is not OriginKind.DEFAULT or setting.configmap_key:
            rows.append(SettingOrigin(name, str(value.value), str(value.origin)))
    return tuple(rows)


def _answer(route: Route, backend: Backend | None) -> str:
    if route.status:
        return f"answers {route.status}: a setting of its Ingress cannot be carried out"
    if route.refused:
        return "answered by the default backend: its Ingress is not accepted"
    if route.redirect:
        return f"redirects with {route.redirect.status} to {route.redirect.location}"
    if not route.backend:
        return "answered by the default backend"
    if backend is None or not backend.endpoints:
        return f"answers 503: {route.backend} has no ready endpoint"
    return f"proxied to {route.backend}"


def explain(translator: Translator, url: str) -> Explanation:
    """Raises ValueError for something that is no URL."""
    _, name, raw = parse_url(url)
    hosts: Mapping[str, Host] = translator.hosts
    host = find_host(hosts, name)
    path = normalize(raw)
    if host is None:
        return Explanation(url, "answered by the default backend: no Ingress names this host")
    if host.redirect_to:
        return Explanation(url, f"redirects with {host.redirect_status} to {host.redirect_to}", host=host.name)
    if path is None:
        return Explanation(url, "answers 400: the path leaves the root", host=host.name)
    if host.app_root and path == "/":
        return Explanation(url, f"redirects with 302 to {host.app_root}", host=host.name)
    route = find_route(host, path)
    if route is None:
        return Explanation(url, "answered by the default backend: no rule has this path", host=host.name)
    backend = translator.backends.get(route.backend)
    key = ObjectKey("Ingress", route.labels.namespace, route.labels.ingress)
    view = translator.views.get(key)
    endpoints = tuple(f"{item.address}:{item.port}" for item in backend.endpoints) if backend else ()
    return Explanation(
        url=url,
        answer=_answer(route, backend),
        host=host.name,
        match=route.match.value,
        path=route.path,
        ingress=f"{key.namespace}/{key.name}",
        backend=route.backend,
        algorithm=backend.algorithm if backend else "",
        endpoints=endpoints,
        canaries=tuple(canary.backend for canary in route.canaries),
        policy=route.policy or "default",
        settings=_settings(view) if view else (),
        findings=tuple(f"{item.severity}: {item.field}: {item.message}" for item in translator.findings_of(key)),
    )
