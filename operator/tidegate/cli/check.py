"""`tidegate check`: validate manifests as the admission webhook does."""

from __future__ import annotations

from typing import Annotated

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
    print_findings,
)
from tidegate.findings import Severity
from tidegate.translate.options import DEFAULT_PREFIX


def check(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A folder or file of manifests; - reads stdin.")],
    output: OutputOption = Output.TABLE,
    ingress_class: IngressClass = "nginx",
    controller_class: ControllerClass = "k8s.io/ingress-nginx",
    watch_ingress_without_class: WithoutClass = False,
    configmap: ConfigMapName = "",
    annotations_prefix: Prefix = DEFAULT_PREFIX,
    endpoint_pool_allowed_cidrs: AllowedNetworks = "",
    tcp_services_configmap: TCPServices = "",
    udp_services_configmap: UDPServices = "",
) -> None:
    """Print findings about manifests; exit status 1 when one of them is an error."""
    options = options_from(
        ingress_class,
        controller_class,
        watch_ingress_without_class,
        configmap,
        annotations_prefix,
        tcp_services=tcp_services_configmap,
        udp_services=udp_services_configmap,
    )
    _, findings = load(folder, options, networks(endpoint_pool_allowed_cidrs))
    print_findings(findings, output)
    errors = sum(item.severity is Severity.ERROR for item in findings)
    if output is Output.TABLE:
        warnings = sum(item.severity is Severity.WARNING for item in findings)
        err.print(f"{errors} errors, {warnings} warnings", style="bold red" if errors else "green")
    if errors:
        raise typer.Exit(1)
