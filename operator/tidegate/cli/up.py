"""`tidegate up DIR`: the same program on a folder of manifests, without a cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer

from tidegate.admin.server import AdminServer
from tidegate.agent.main import AgentOptions
from tidegate.apply.geo import STANDARD_FOLDER, find_databases
from tidegate.apply.nginx import find_binary
from tidegate.apply.rundir import Lock, default_run_dir
from tidegate.cli.common import (
    HTTP3,
    AgentKind,
    AgentOption,
    AllowedNetworks,
    ConfigMapName,
    ControllerClass,
    ExcludedMetrics,
    GeoFolder,
    HTTP3Port,
    IngressClass,
    Passthrough,
    Prefix,
    StatusClasses,
    StreamPort,
    TCPServices,
    UDPServices,
    WithoutClass,
    err,
    excluded_metrics,
    fail,
    http3_port,
    networks,
    reference,
    reserved_ports,
)
from tidegate.cli.options import (
    ChainCompletion,
    ClassByName,
    DeepInspect,
    DefaultBackendService,
    DefaultCertificate,
    Format,
    HealthPath,
    HealthPort,
    HostOwnership,
    HTTPPort,
    HTTPSPort,
    MaxSeries,
    NginxBinary,
    NoCatchAll,
    NoExternalName,
    PerHost,
    PerUndefinedHost,
    PublishService,
    Resolvers,
    RunDir,
    UpdateStatus,
    Validation,
    Verbosity,
    WatchNamespace,
    Workers,
)
from tidegate.cli.progress import Progress
from tidegate.cli.serving import address, make_runtime, run_to_end, serve, stop_everything
from tidegate.control import ControlPlane
from tidegate.dns import parse_server
from tidegate.endpointpools.source import PooledSource
from tidegate.logs import LogFormat, configure
from tidegate.render.runtime import MetricSettings
from tidegate.sources.directory import DirectorySource
from tidegate.translate.options import DEFAULT_PREFIX, Options

NO_EFFECT = "has no effect on a folder of manifests"


def up(
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="The folder of manifests.")] = None,
    stop: Annotated[bool, typer.Option("--stop", help="End what runs in the run directory.")] = False,
    http_port: HTTPPort = 8080,
    https_port: HTTPSPort = 8443,
    http_address: Annotated[str, typer.Option("--http-address", help="The address of both.")] = "127.0.0.1",
    healthz_port: HealthPort = 10254,
    healthz_host: Annotated[str, typer.Option("--healthz-host", help="The admin address.")] = "127.0.0.1",
    health_check_path: HealthPath = "/healthz",
    ingress_class: IngressClass = "nginx",
    controller_class: ControllerClass = "k8s.io/ingress-nginx",
    ingress_class_by_name: ClassByName = False,
    watch_ingress_without_class: WithoutClass = False,
    watch_namespace: WatchNamespace = "",
    configmap: ConfigMapName = "",
    default_backend_service: DefaultBackendService = "",
    default_ssl_certificate: DefaultCertificate = "",
    annotations_prefix: Prefix = DEFAULT_PREFIX,
    enable_annotation_validation: Validation = True,
    deep_inspect: DeepInspect = True,
    disable_catch_all: NoCatchAll = False,
    disable_svc_external_name: NoExternalName = False,
    enable_ssl_chain_completion: ChainCompletion = False,
    enable_topology_aware_routing: Annotated[
        bool,
        typer.Option("--enable-topology-aware-routing", help="Keep to endpoints hinted for --zone where Services ask."),
    ] = False,
    zone: Annotated[str, typer.Option("--zone", help="The zone of this machine, for the former.")] = "",
    endpoint_pool_allowed_cidrs: AllowedNetworks = "",
    host_ownership: HostOwnership = "merge",
    nginx_binary: NginxBinary = "nginx",
    resolver: Resolvers = None,
    run_dir: RunDir = None,
    agent: AgentOption = AgentKind.OWN,
    workers: Workers = 0,
    metrics_max_series: MaxSeries = 600,
    exclude_socket_metrics: ExcludedMetrics = "",
    metrics_per_host: PerHost = True,
    metrics_per_undefined_host: PerUndefinedHost = False,
    report_status_classes: StatusClasses = False,
    tcp_services_configmap: TCPServices = "",
    udp_services_configmap: UDPServices = "",
    stream_port: StreamPort = 10247,
    publish_service: PublishService = "",
    publish_status_address: Annotated[str, typer.Option("--publish-status-address")] = "",
    update_status: UpdateStatus = True,
    election_id: Annotated[str, typer.Option("--election-id")] = "",
    enable_ssl_passthrough: Passthrough = False,
    enable_http3: HTTP3 = False,
    http3_advertised_port: HTTP3Port = 0,
    validating_webhook: Annotated[str, typer.Option("--validating-webhook")] = "",
    validating_webhook_certificate: Annotated[str, typer.Option("--validating-webhook-certificate")] = "",
    validating_webhook_key: Annotated[str, typer.Option("--validating-webhook-key")] = "",
    geoip_dir: GeoFolder = STANDARD_FOLDER,
    log_format: Format = LogFormat.TEXT,
    verbosity: Verbosity = 0,
) -> None:
    """Serve a folder of manifests, and follow its changes. Ctrl-C ends everything."""
    configure(log_format, verbosity)
    run_dir = (run_dir or default_run_dir()).absolute()
    if stop:
        raise typer.Exit(asyncio.run(stop_everything(run_dir, nginx_binary)))
    if folder is None:
        fail("a folder of manifests is missing", 2)
    if not folder.is_dir():
        fail(f"there is no folder {folder}", 2)
    if validating_webhook or validating_webhook_certificate or validating_webhook_key:
        fail("--validating-webhook* are not supported yet", 2)
    if enable_topology_aware_routing and not zone:
        fail("--enable-topology-aware-routing needs --zone, for no node says which it is here", 2)
    if host_ownership not in ("merge", "namespace"):
        fail(f"--host-ownership: found {host_ownership!r}, allowed: merge, namespace", 2)
    for flag, value in (
        ("--publish-status-address", publish_status_address),
        ("--election-id", election_id),
        ("--update-status", "" if update_status else "false"),
    ):
        if value:
            err.print(f"note: {flag} {NO_EFFECT}", markup=False)
    ownership: Literal["merge", "namespace"] = "namespace" if host_ownership == "namespace" else "merge"
    options = Options(
        ingress_class=ingress_class,
        controller_class=controller_class,
        ingress_class_by_name=ingress_class_by_name,
        watch_ingress_without_class=watch_ingress_without_class,
        watch_namespace=watch_namespace,
        annotations_prefix=annotations_prefix,
        geo_folder=geoip_dir,
        geo_databases=find_databases(geoip_dir),
        validate_annotations=enable_annotation_validation,
        deep_inspect=deep_inspect,
        disable_catch_all=disable_catch_all,
        disable_external_name=disable_svc_external_name,
        complete_chains=enable_ssl_chain_completion,
        configmap=reference("ConfigMap", configmap, "--configmap"),
        default_backend=reference("Service", default_backend_service, "--default-backend-service"),
        default_certificate=reference("Secret", default_ssl_certificate, "--default-ssl-certificate"),
        tcp_services=reference("ConfigMap", tcp_services_configmap, "--tcp-services-configmap"),
        udp_services=reference("ConfigMap", udp_services_configmap, "--udp-services-configmap"),
        publish_service=reference("Service", publish_service, "--publish-service"),
        reserved_ports=reserved_ports(http_port, https_port, healthz_port),
        ssl_passthrough=enable_ssl_passthrough,
        host_ownership=ownership,
        https_port=https_port,
        zone=zone if enable_topology_aware_routing else "",
        access_log=str(run_dir / "logs" / "access.log"),
    )
    try:
        servers = tuple(parse_server(text) for text in resolver or [])
    except ValueError as error:
        fail(f"--resolver: {error}", 2)
    metrics = MetricSettings(
        per_host=metrics_per_host,
        undefined_host=metrics_per_undefined_host,
        max_series=metrics_max_series,
        excluded=excluded_metrics(exclude_socket_metrics),
        status_classes=report_status_classes,
    )

    allowed = networks(endpoint_pool_allowed_cidrs)
    told_port = http3_port(enable_http3, enable_ssl_passthrough, http3_advertised_port, https_port)
    lock = Lock(run_dir)

    async def main() -> None:
        runtime = await make_runtime(
            run_dir,
            lock,
            nginx_binary,
            (address(http_address, http_port),),
            (address(http_address, https_port),),
            workers=workers,
            external_agent=agent is AgentKind.EXTERNAL,
            metrics=metrics,
            stream_port=stream_port,
            streams=bool(options.tcp_services or options.udp_services),
            ssl_passthrough=enable_ssl_passthrough,
            own=(healthz_port, stream_port),
            http3_port=told_port,
        )
        progress = Progress(
            f"http://{address(http_address, http_port)}",
            f"http://{address(healthz_host, healthz_port)}",
            as_log=log_format is LogFormat.JSON,
        )
        source = PooledSource.of_folder(
            DirectorySource(folder, ingress_class=ingress_class, controller_class=controller_class), allowed, servers
        )
        agent_options = AgentOptions(run_dir, find_binary(nginx_binary))
        control = ControlPlane(
            source,
            options,
            runtime,
            agent_options,
            dns_servers=servers,
            on_change=progress.changed,
            external_agent=agent is AgentKind.EXTERNAL,
        )
        progress.control = control
        admin = AdminServer(control, healthz_host, healthz_port, health_check_path, pools=source.pools)
        await serve(control, admin, progress)

    run_to_end(main, lock)
