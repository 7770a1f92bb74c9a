"""A small cluster for tests: resources as Python values, a store and a translator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tidegate.findings import Finding, ObjectKey
from tidegate.model import Host, Route
from tidegate.resources.changes import Change
from tidegate.resources.model import (
    ConfigMap,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Ingress,
    IngressClass,
    IngressPath,
    IngressRule,
    IngressTLS,
    Metadata,
    Resource,
    Secret,
    Service,
    ServiceBackend,
    ServicePort,
)
from tidegate.store import Store
from tidegate.translate.acceptance import View
from tidegate.translate.delta import Delta
from tidegate.translate.engine import Translator
from tidegate.translate.options import DEFAULT_PREFIX, Options

CONFIGMAP = ObjectKey("ConfigMap", "tidegate", "config")
OPTIONS = Options(configmap=CONFIGMAP)
NGINX = IngressClass(Metadata("nginx"), "k8s.io/ingress-nginx")

BAD = "x.test; }"
"""As `server-alias`, this rejects a revision."""


def path(text: str = "/", service: str = "app", port: int | str = 80, kind: str = "Prefix") -> IngressPath:
    return IngressPath(text, kind, ServiceBackend(service, port) if service else None)


def ingress(
    name: str = "web",
    *paths: IngressPath | str,
    host: str = "a.test",
    created: int = 0,
    namespace: str = "n",
    tls: Iterable[IngressTLS] = (),
    default: str = "",
    rules: tuple[IngressRule, ...] | None = None,
    class_name: str | None = "nginx",
    class_annotation: str | None = None,
    **annotations: str,
) -> Ingress:
    """Keyword arguments are annotations, with `_` for `-`."""
    written = {f"{DEFAULT_PREFIX}/{key.replace('_', '-')}": text for key, text in annotations.items()}
    if class_annotation is not None:
        written["kubernetes.io/ingress.class"] = class_annotation
    listed = tuple(item if isinstance(item, IngressPath) else path(item) for item in paths or ("/",))
    return Ingress(
        Metadata(name, namespace, uid=f"uid-{name}", created=created, annotations=written),
        class_name,
        ServiceBackend(default, 80) if default else None,
        (IngressRule(host, listed),) if rules is None else rules,
        tuple(tls),
    )


def service(name: str = "app", *ports: ServicePort, namespace: str = "n", **fields: Any) -> Service:
    return Service(Metadata(name, namespace), ports=ports or (ServicePort(80, target_port=8080),), **fields)


def endpoints(of: str = "app", *addresses: str, name: str = "", namespace: str = "n") -> EndpointSlice:
    listed = tuple(Endpoint((address,)) for address in addresses or ("10.0.0.1",))
    return EndpointSlice(Metadata(name or f"{of}-1", namespace), of, "IPv4", (EndpointPort("", 8080),), listed)


def secret(name: str, namespace: str = "n", **data: str) -> Secret:
    decoded = {key.replace("_", "."): text.encode() for key, text in data.items()}
    return Secret(Metadata(name, namespace), "Opaque", decoded)


def configmap(**data: str) -> ConfigMap:
    return ConfigMap(
        Metadata(CONFIGMAP.name, CONFIGMAP.namespace), {key.replace("_", "-"): text for key, text in data.items()}
    )


class World:
    """What is put becomes true at once; `last` is what the last change did to the model."""

    def __init__(
        self, *resources: Resource, options: Options = OPTIONS, accepted: dict[ObjectKey, Ingress] | None = None
    ) -> None:
        self.store = Store()
        self.translator = Translator(options, accepted)
        self.accepted = dict(accepted or {})
        self.last: Delta | None = None
        self.put(NGINX, *resources)

    def put(self, *resources: Resource) -> Delta:
        return self.change(*(Change(resource.key, resource) for resource in resources))

    def delete(self, *resources: Resource) -> Delta:
        return self.change(*(Change(resource.key, None) for resource in resources))

    def change(self, *changes: Change) -> Delta:
        self.last = delta = self.translator.update(self.store, self.store.apply(changes))
        for key, revision in delta.accepted.items():
            if revision is None:
                self.accepted.pop(key, None)
            else:
                self.accepted[key] = revision
        return delta

    def host(self, name: str = "a.test") -> Host:
        return self.translator.hosts[name]

    def routes(self, name: str = "a.test") -> list[tuple[str, str, str]]:
        """Match, path and Ingress of the routes of a host, in order."""
        return [(route.match.value, route.path, route.labels.ingress) for route in self.host(name).routes]

    def route(self, text: str = "/", name: str = "a.test") -> Route:
        """The first route of this path."""
        return next(route for route in self.host(name).routes if route.path == text)

    def view(self, name: str = "web") -> View:
        return self.translator.views[ObjectKey("Ingress", "n", name)]

    def reasons(self) -> list[str]:
        return [finding.reason for finding in self.translator.findings()]

    def findings(self, name: str = "web") -> tuple[Finding, ...]:
        return self.translator.findings_of(ObjectKey("Ingress", "n", name))
