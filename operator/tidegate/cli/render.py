"""`tidegate render`: what would run, without running it."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer

from tidegate.cli.common import (
    AllowedNetworks,
    ConfigMapName,
    ControllerClass,
    IngressClass,
    Output,
    OutputOption,
    Prefix,
    TCPServices,
    UDPServices,
    WithoutClass,
    err,
    load,
    networks,
    options_from,
    print_data,
    print_findings,
)
from tidegate.findings import Severity
from tidegate.model import Backend, Globals, Host, Policy, Server, Stream
from tidegate.render.configuration import Configuration
from tidegate.render.runtime import Capacity, NginxFeatures, Runtime
from tidegate.render.streams import opened_listeners
from tidegate.render.template import render, template_folder
from tidegate.translate.options import DEFAULT_PREFIX

MODULES = "/usr/lib/nginx/modules"


class RenderedModel(msgspec.Struct, frozen=True):
    """The model; of certificates just the names, for their keys are nobody's to print."""

    globals: Globals
    hosts: dict[str, Host]
    backends: dict[str, Backend]
    policies: dict[str, Policy]
    servers: dict[str, Server]
    certificates: tuple[str, ...]
    streams: dict[str, Stream] = {}


def example_runtime() -> Runtime:
    """Debian's NGINX in a run directory of the usual name."""
    modules = ("ndk_http_module", "ngx_http_lua_module", "ngx_http_headers_more_filter_module")
    features = NginxFeatures(
        (1, 26, 3),
        tuple(f"{MODULES}/{name}.so" for name in modules),
        headers_more=True,
        stream_modules=tuple(f"{MODULES}/{name}.so" for name in ("ngx_stream_module", "ngx_stream_js_module")),
    )
    return Runtime(
        run_dir="/run/tidegate",
        lua_dir=str(template_folder() / "lua"),
        features=features,
        http_addresses=("0.0.0.0:80",),
        https_addresses=("0.0.0.0:443",),
        workers=1,
    )


def render_command(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A folder or file of manifests; - reads stdin.")],
    output: OutputOption = Output.TABLE,
    ingress_class: IngressClass = "nginx",
    controller_class: ControllerClass = "k8s.io/ingress-nginx",
    watch_ingress_without_class: WithoutClass = False,
    configmap: ConfigMapName = "",
    annotations_prefix: Prefix = DEFAULT_PREFIX,
    tcp_services_configmap: TCPServices = "",
    udp_services_configmap: UDPServices = "",
    endpoint_pool_allowed_cidrs: AllowedNetworks = "",
) -> None:
    """Print nginx.conf, or with --output json or yaml the model. Needs no NGINX."""
    options = options_from(
        ingress_class,
        controller_class,
        watch_ingress_without_class,
        configmap,
        annotations_prefix,
        tcp_services=tcp_services_configmap,
        udp_services=udp_services_configmap,
    )
    translator, findings = load(folder, options, networks(endpoint_pool_allowed_cidrs))
    policies, users = translator.policies()
    if output is Output.TABLE:
        configuration = Configuration(
            1,
            translator.globals,
            policies,
            example_runtime(),
            Capacity(),
            users,
            translator.servers(),
            opened_listeners(translator.streams),
        )
        sys.stdout.write(render(configuration))
    else:
        snapshot = translator.snapshot()
        model = RenderedModel(
            translator.globals,
            snapshot.hosts,
            snapshot.backends,
            snapshot.policies,
            snapshot.servers,
            tuple(snapshot.certificates),
            snapshot.streams,
        )
        print_data(model, output)
    if any(item.severity is Severity.ERROR for item in findings):
        print_findings(tuple(item for item in findings if item.severity is Severity.ERROR), Output.TABLE, err)
        raise typer.Exit(1)
