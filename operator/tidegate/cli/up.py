"""`tidegate up DIR`: the same program on a folder of manifests, without a cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer

from tidegate.admin.server import AdminServer
from tidegate.admission.certificate import FileKeeper
from tidegate.admission.counts import AdmissionCounts
from tidegate.admission.judge import Judge
from tidegate.admission.metrics import admission_families
from tidegate.admission.server import AdmissionServer
from tidegate.agent.main import AgentOptions
from tidegate.apply.geo import STANDARD_FOLDER, find_databases
from tidegate.apply.nginx import find_binary
from tidegate.apply.rundir import Lock, RunDirectoryError, default_run_dir
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
    buckets,
    excluded_metrics,
    fail,
    health_path,
    http3_port,
    networks,
    reference,
    reserved_ports,
    selector,
    webhook_address,
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
    LengthBuckets,
    MaxSeries,
    NamespaceSelector,
    NginxBinary,
    NoCatchAll,
    NoExternalName,
    PerHost,
    PerUndefinedHost,
    PostShutdownGrace,
    PublishService,
    Resolvers,
    RunDir,
    ShutdownGrace,
    SizeBuckets,
    TimeBuckets,
    Validation,
    Verbosity,
    WatchNamespace,
    Webhook,
    WebhookCertificate,
    WebhookKey,
    Workers,
)
from tidegate.cli.progress import Progress
from tidegate.cli.serving import Companion, address, make_runtime, run_to_end, serve, stop_everything
from tidegate.cluster import Reporter
from tidegate.control import ControlPlane
from tidegate.dns import parse_server
from tidegate.endpointpools.source import PooledSource
from tidegate.findings import ObjectKey
from tidegate.logs import LogFormat, configure
from tidegate.render.runtime import HEALTH_PATH, MetricSettings
from tidegate.report.changes import ChangeRecord
from tidegate.report.events import KeptEvents
from tidegate.sources.directory import DirectorySource, MissingFolderError
from tidegate.sources.reader import check_folder
from tidegate.translate.options import DEFAULT_PREFIX, Options

PROGRAM = ObjectKey("Program", "", "tidegate")
"""What Events are about that concern no object of the folder."""


def up(
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="The folder of manifests.")] = None,
    stop: Annotated[bool, typer.Option("--stop", help="End what runs in the run directory.")] = False,
    http_port: HTTPPort = 8080,
    https_port: HTTPSPort = 8443,
    http_address: Annotated[str, typer.Option("--http-address", help="The address of both.")] = "127.0.0.1",
    healthz_port: HealthPort = 10254,
    healthz_host: Annotated[str, typer.Option("--healthz-host", help="The admin address.")] = "127.0.0.1",
    health_check_path: HealthPath = HEALTH_PATH,
    ingress_class: IngressClass = "nginx",
    controller_class: ControllerClass = "k8s.io/ingress-nginx",
    ingress_class_by_name: ClassByName = False,
    watch_ingress_without_class: WithoutClass = False,
    watch_namespace: WatchNamespace = "",
    watch_namespace_selector: NamespaceSelector = "",
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
    time_buckets: TimeBuckets = "",
    length_buckets: LengthBuckets = "",
    size_buckets: SizeBuckets = "",
    report_status_classes: StatusClasses = False,
    tcp_services_configmap: TCPServices = "",
    udp_services_configmap: UDPServices = "",
    stream_port: StreamPort = 10247,
    publish_service: PublishService = "",
    enable_ssl_passthrough: Passthrough = False,
    enable_http3: HTTP3 = False,
    http3_advertised_port: HTTP3Port = 0,
    validating_webhook: Webhook = "",
    validating_webhook_certificate: WebhookCertificate = "",
    validating_webhook_key: WebhookKey = "",
    geoip_dir: GeoFolder = STANDARD_FOLDER,
    shutdown_grace_period: ShutdownGrace = 0,
    post_shutdown_grace_period: PostShutdownGrace = 0,
    log_format: Format = LogFormat.TEXT,
    verbosity: Verbosity = 0,
) -> None:
    """Serve a folder of manifests, and follow its changes. Ctrl-C ends everything."""
    configure(log_format, verbosity)
    run_dir = (run_dir or default_run_dir()).absolute()
    if stop:
        try:
            raise typer.Exit(asyncio.run(stop_everything(run_dir, nginx_binary)))
        except RunDirectoryError as error:
            fail(str(error))
    if folder is None:
        fail("a folder of manifests is missing", 2)
    try:
        check_folder(folder)
    except MissingFolderError as error:
        fail(str(error), 2)
    if validating_webhook and not (validating_webhook_certificate and validating_webhook_key):
        fail(
            "--validating-webhook needs --validating-webhook-certificate and --validating-webhook-key, "
            "for there is no cluster to keep them in",
            2,
        )
    if enable_topology_aware_routing and not zone:
        fail("--enable-topology-aware-routing needs --zone, for no node says which it is here", 2)
    if host_ownership not in ("merge", "namespace"):
        fail(f"--host-ownership: found {host_ownership!r}, allowed: merge, namespace", 2)
    ownership: Literal["merge", "namespace"] = "namespace" if host_ownership == "namespace" else "merge"
    options = Options(
        ingress_class=ingress_class,
        controller_class=controller_class,
        ingress_class_by_name=ingress_class_by_name,
        watch_ingress_without_class=watch_ingress_without_class,
        watch_namespace=watch_namespace,
        namespace_selector=selector(watch_namespace_selector),
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
        reserved_ports=reserved_ports(http_port, https_port, healthz_port, validating_webhook),
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
    default = MetricSettings()
    metrics = MetricSettings(
        per_host=metrics_per_host,
        undefined_host=metrics_per_undefined_host,
        max_series=metrics_max_series,
        excluded=excluded_metrics(exclude_socket_metrics),
        time=buckets(time_buckets, "--time-buckets", default.time),
        length=buckets(length_buckets, "--length-buckets", default.length),
        size=buckets(size_buckets, "--size-buckets", default.size),
        status_classes=report_status_classes,
    )

    allowed = networks(endpoint_pool_allowed_cidrs)
    told_port = http3_port(enable_http3, enable_ssl_passthrough, http3_advertised_port, https_port)
    health_check_path = health_path(health_check_path)
    webhook_host, webhook_port = webhook_address(validating_webhook) if validating_webhook else ("", 0)
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
            own=(healthz_port, stream_port, *((webhook_port,) if webhook_port else ())),
            http3_port=told_port,
            health_path=health_check_path,
        )
        progress = Progress(
            f"http://{address(http_address, http_port)}",
            f"http://{address(healthz_host, healthz_port)}",
            as_log=log_format is LogFormat.JSON,
        )
        source = PooledSource.of_folder(
            DirectorySource(folder, ingress_class=ingress_class, controller_class=controller_class), allowed, servers
        )
        events = KeptEvents()
        settings = (options.configmap, options.tcp_services, options.udp_services)
        reporter = Reporter(events, None, PROGRAM, frozenset(key for key in settings if key is not None))

        def changed(record: ChangeRecord | None) -> None:
            reporter.changed(record)
            progress.changed(record)

        agent_options = AgentOptions(run_dir, find_binary(nginx_binary))
        control = ControlPlane(
            source,
            options,
            runtime,
            agent_options,
            dns_servers=servers,
            on_change=changed,
            external_agent=agent is AgentKind.EXTERNAL,
        )
        progress.control = control
        reporter.control = control
        counts = AdmissionCounts()
        companions: dict[str, Companion] = {"looking for what to tell": reporter.run}
        if webhook_port:
            keeper = FileKeeper(Path(validating_webhook_certificate), Path(validating_webhook_key))
            judge = Judge(control.store, control.translator, options)
            companions["the webhook"] = AdmissionServer(judge, keeper, webhook_host, webhook_port, counts).run
        admin = AdminServer(
            control,
            healthz_host,
            healthz_port,
            health_check_path,
            more=(lambda constant: admission_families(counts, constant)) if webhook_port else None,
            pools=source.pools,
            events=events,
        )
        await serve(
            control,
            admin,
            progress,
            companions,
            grace=shutdown_grace_period,
            linger=post_shutdown_grace_period,
        )

    run_to_end(main, lock)
