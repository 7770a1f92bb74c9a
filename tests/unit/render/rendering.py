"""From annotations and ConfigMap keys to nginx.conf, for one Ingress whose own names are easy to recognise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tidegate.findings import ObjectKey
from tidegate.model import Globals, Listener, Policy
from tidegate.render.configuration import Configuration
from tidegate.render.runtime import Capacity, NginxFeatures, Runtime
from tidegate.render.template import render
from tidegate.resources.changes import Change
from tidegate.resources.model import (
    ConfigMap,
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
from tidegate.translate.engine import Translator
from tidegate.translate.options import DEFAULT_PREFIX, Options

CONFIGMAP = ObjectKey("ConfigMap", "zqmapnamespace", "zqmap")
OWN = "zq"
"""Each name of the Ingress begins so; none of them has any business in nginx.conf."""

RUNTIME = Runtime(
    run_dir="/run/tidegate",
    lua_dir="/usr/share/tidegate/lua",
    features=NginxFeatures((1, 22, 1), ("/modules/lua.so",), headers_more=True),
    http_addresses=("0.0.0.0:80", "[::]:80"),
    https_addresses=("0.0.0.0:443",),
    workers=2,
)


LISTENERS = (Listener("tcp", 9000, read_proxy=True, send_proxy=True), Listener("udp", 9000))


class Wanted(NamedTuple):
    """What the template is given; policies by short names that do not depend on their content."""

    settings: Globals
    policies: dict[str, Policy]

    def conf(self, runtime: Runtime = RUNTIME) -> str:
        return render(Configuration(1, self.settings, self.policies, runtime, Capacity(), listeners=LISTENERS))


def ingress(number: int, annotations: Mapping[str, str]) -> Ingress:
    backend = ServiceBackend("zqservice", 80)
    paths = (IngressPath("/zqpath", "Prefix", backend), IngressPath(f"/zq{number}(/|$)", "Exact", backend))
    return Ingress(
        Metadata(
            f"zqname{number}",
            "zqnamespace",
            uid=f"zquid{number}",
            created=number,
            annotations={f"{DEFAULT_PREFIX}/{name}": text for name, text in annotations.items()},
        ),
        "nginx",
        None,
        (IngressRule(f"zqhost{number}.test", paths),),
        (IngressTLS((f"zqhost{number}.test",), "zqsecret"),),
    )


def wanted(
    ingresses: Iterable[Mapping[str, str]] = (), data: Mapping[str, str] | None = None, *, access_log: str = ""
) -> Wanted:
    """Each mapping of annotations is one Ingress on a host of its own."""
    store, translator = Store(), Translator(Options(configmap=CONFIGMAP, access_log=access_log))
    resources: list[Resource] = [
        IngressClass(Metadata("nginx"), "k8s.io/ingress-nginx"),
        ConfigMap(Metadata(CONFIGMAP.name, CONFIGMAP.namespace), dict(data or {})),
        Service(Metadata("zqservice", "zqnamespace"), ports=(ServicePort(80, target_port=8080),)),
        Secret(Metadata("users", "zqnamespace"), "Opaque", {"auth": b"zquser:zqhash"}),
        *(ingress(number, annotations) for number, annotations in enumerate(ingresses)),
    ]
    translator.update(store, store.apply(Change(item.key, item) for item in resources))
    policies, _ = translator.policies()
    names = sorted(policies)
    return Wanted(translator.globals, {f"{number:016x}": policies[name] for number, name in enumerate(names)})
