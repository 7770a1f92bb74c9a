"""`tidegate run`: the operator in a cluster."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from tidegate import __version__
from tidegate.admin.server import AdminServer
from tidegate.admission.certificate import SecretPlan
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
    buckets,
    excluded_metrics,
    fail,
    health_path,
    http3_port,
    networks,
    out,
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
from tidegate.cli.serving import addresses, make_runtime, run_to_end, serve
from tidegate.control import ControlPlane
from tidegate.dns import parse_server
from tidegate.findings import ObjectKey
from tidegate.kubernetes.addresses import Pods, Published
from tidegate.kubernetes.client import Access
from tidegate.logs import LogFormat, configure
from tidegate.operator import Operator, OperatorOptions, PoolOptions, WebhookOptions
from tidegate.render.runtime import HEALTH_PATH, MetricSettings
from tidegate.translate.options import DEFAULT_PREFIX, Options

DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")


def seconds(text: str, flag: str) -> float:
    """A duration as Go writes it (`1h2m3s`), or a number of seconds."""
    with contextlib.suppress(ValueError):
        return float(text)
    match = DURATION.fullmatch(text)
    if match is None or not text:
        fail(f"{flag}: found {text!r}, allowed: a duration such as 30s, 5m or 1h", 2)
    hours, minutes, rest = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(rest or 0)


def _published(addresses: str, service: ObjectKey | None, pod: ObjectKey | None, *, internal: bool) -> Published:
    if addresses and service is not None:
        fail("--publish-service and --publish-status-address exclude each other", 2)
    return Published(
        tuple(part.strip() for part in addresses.split(",") if part.strip()),
        service,
        Pods(pod.namespace, pod.name, internal) if pod is not None else None,
    )


def _webhook(
    place: str, certificate: str, key: str, secret: str, service: str, configuration: str, namespace: str
) -> WebhookOptions | None:
    if not place:
        return None
    host, port = webhook_address(place)
    if certificate and key:
        return WebhookOptions(host, port, Path(certificate), Path(key))
    named = reference("Secret", secret, "--validating-webhook-secret")
    if named is None or not service:
        fail(
            "--validating-webhook needs --validating-webhook-certificate and --validating-webhook-key, or "
            "--validating-webhook-secret and --validating-webhook-service",
            2,
        )
    names = (f"{service}.{namespace}.svc", f"{service}.{namespace}", service)
    return WebhookOptions(host, port, plan=SecretPlan(named, names, configuration))


def run(
    # the cluster
    kubeconfig: Annotated[str, typer.Option("--kubeconfig", help="How to reach the API server; else as a pod.")] = "",
    apiserver_host: Annotated[str, typer.Option("--apiserver-host", help="URL of the API server.")] = "",
    certificate_authority: Annotated[str, typer.Option("--certificate-authority", help="CA of that.")] = "",
    sync_period: Annotated[
        str, typer.Option("--sync-period", help="How often everything is compared with the cluster; 0: every 10m.")
    ] = "0",
    watch_namespace: WatchNamespace = "",
    watch_namespace_selector: NamespaceSelector = "",
    # what is ours
    ingress_class: IngressClass = "nginx",
    controller_class: ControllerClass = "k8s.io/ingress-nginx",
    ingress_class_by_name: ClassByName = False,
    watch_ingress_without_class: WithoutClass = False,
    annotations_prefix: Prefix = DEFAULT_PREFIX,
    enable_annotation_validation: Validation = True,
    deep_inspect: DeepInspect = True,
    disable_catch_all: NoCatchAll = False,
    disable_svc_external_name: NoExternalName = False,
    enable_ssl_chain_completion: ChainCompletion = False,
    enable_topology_aware_routing: Annotated[
        bool, typer.Option("--enable-topology-aware-routing", help="Keep to endpoints of this zone where Services ask.")
    ] = False,
    enable_endpoint_pools: Annotated[
        bool,
        typer.Option("--enable-endpoint-pools/--no-enable-endpoint-pools", help="Keep endpoints for Services."),
    ] = True,
    endpoint_pool_allowed_cidrs: AllowedNetworks = "",
    host_ownership: HostOwnership = "merge",
    # settings
    configmap: ConfigMapName = "",
    tcp_services_configmap: TCPServices = "",
    udp_services_configmap: UDPServices = "",
    default_backend_service: DefaultBackendService = "",
    default_ssl_certificate: DefaultCertificate = "",
    # status
    update_status: Annotated[
        bool, typer.Option("--update-status/--no-update-status", help="Write status.loadBalancer.")
    ] = True,
    update_status_on_shutdown: Annotated[
        bool, typer.Option("--update-status-on-shutdown/--no-update-status-on-shutdown")
    ] = True,
    status_update_interval: Annotated[int, typer.Option("--status-update-interval", min=1, help="Seconds.")] = 60,
    publish_service: PublishService = "",
    publish_status_address: Annotated[str, typer.Option("--publish-status-address", metavar="A,B")] = "",
    report_node_internal_ip_address: Annotated[bool, typer.Option("--report-node-internal-ip-address")] = False,
    election_id: Annotated[str, typer.Option("--election-id", help="The Lease.")] = "ingress-controller-leader",
    election_ttl: Annotated[str, typer.Option("--election-ttl", help="How long it lasts.")] = "30s",
    disable_leader_election: Annotated[bool, typer.Option("--disable-leader-election")] = False,
    disable_sync_events: Annotated[bool, typer.Option("--disable-sync-events")] = False,
    # where
    http_port: HTTPPort = 80,
    https_port: HTTPSPort = 443,
    stream_port: StreamPort = 10247,
    enable_ssl_passthrough: Passthrough = False,
    enable_http3: HTTP3 = False,
    http3_advertised_port: HTTP3Port = 0,
    http_address: Annotated[str, typer.Option("--http-address", help="The address of both; empty: all.")] = "",
    healthz_port: HealthPort = 10254,
    healthz_host: Annotated[str, typer.Option("--healthz-host", help="The admin address; empty: all.")] = "",
    health_check_path: HealthPath = HEALTH_PATH,
    # the webhook
    validating_webhook: Webhook = "",
    validating_webhook_certificate: WebhookCertificate = "",
    validating_webhook_key: WebhookKey = "",
    validating_webhook_secret: Annotated[
        str,
        typer.Option(
            "--validating-webhook-secret", metavar="NS/NAME", help="Instead of files: a Secret that the leader keeps."
        ),
    ] = "",
    validating_webhook_service: Annotated[
        str, typer.Option("--validating-webhook-service", metavar="NAME", help="The Service that certificate is for.")
    ] = "",
    validating_webhook_configuration: Annotated[
        str, typer.Option("--validating-webhook-configuration", metavar="NAME", help="What gets its authority.")
    ] = "",
    # metrics
    metrics_max_series: MaxSeries = 600,
    exclude_socket_metrics: ExcludedMetrics = "",
    metrics_per_host: PerHost = True,
    metrics_per_undefined_host: PerUndefinedHost = False,
    time_buckets: TimeBuckets = "",
    length_buckets: LengthBuckets = "",
    size_buckets: SizeBuckets = "",
    report_status_classes: StatusClasses = False,
    # the program
    nginx_binary: NginxBinary = "nginx",
    resolver: Resolvers = None,
    geoip_dir: GeoFolder = STANDARD_FOLDER,
    run_dir: RunDir = None,
    agent: AgentOption = AgentKind.OWN,
    workers: Workers = 0,
    log_format: Format = LogFormat.TEXT,
    shutdown_grace_period: ShutdownGrace = 0,
    post_shutdown_grace_period: PostShutdownGrace = 0,
    verbosity: Verbosity = 0,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Serve the Ingresses of a cluster. Takes the flags of the retired controller."""
    if version:
        out.print(__version__)
        return
    configure(log_format, verbosity)
    pod_name, pod_namespace = os.environ.get("POD_NAME", ""), os.environ.get("POD_NAMESPACE", "")
    if not pod_name or not pod_namespace:
        fail("the environment variables POD_NAME and POD_NAMESPACE have to name this pod")
    if watch_namespace and watch_namespace_selector:
        fail("--watch-namespace and --watch-namespace-selector exclude each other", 2)
    if metrics_per_undefined_host and not metrics_per_host:
        fail("--metrics-per-undefined-host needs --metrics-per-host", 2)
    if host_ownership not in ("merge", "namespace"):
        fail(f"--host-ownership: found {host_ownership!r}, allowed: merge, namespace", 2)
    ownership: Literal["merge", "namespace"] = "namespace" if host_ownership == "namespace" else "merge"
    pod = ObjectKey("Pod", pod_namespace, pod_name)
    run_dir = (run_dir or default_run_dir()).absolute()
    service = reference("Service", publish_service, "--publish-service")
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
        loopback_endpoints=False,
        configmap=reference("ConfigMap", configmap, "--configmap"),
        default_backend=reference("Service", default_backend_service, "--default-backend-service"),
        default_certificate=reference("Secret", default_ssl_certificate, "--default-ssl-certificate"),
        tcp_services=reference("ConfigMap", tcp_services_configmap, "--tcp-services-configmap"),
        udp_services=reference("ConfigMap", udp_services_configmap, "--udp-services-configmap"),
        publish_service=service,
        reserved_ports=reserved_ports(http_port, https_port, healthz_port, validating_webhook),
        ssl_passthrough=enable_ssl_passthrough,
        host_ownership=ownership,
        https_port=https_port,
        # of another container's NGINX: what that container writes
        access_log="/dev/stdout" if agent is AgentKind.EXTERNAL else str(run_dir / "logs" / "access.log"),
        pod_name=pod_name,
        pod_namespace=pod_namespace,
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
    ttl = seconds(election_ttl, "--election-ttl")
    allowed = networks(endpoint_pool_allowed_cidrs)
    webhook = _webhook(
        validating_webhook,
        validating_webhook_certificate,
        validating_webhook_key,
        validating_webhook_secret,
        validating_webhook_service,
        validating_webhook_configuration,
        pod_namespace,
    )
    operator_options = OperatorOptions(
        pools=PoolOptions(allowed, servers) if enable_endpoint_pools else None,
        topology=enable_topology_aware_routing,
        access=Access(kubeconfig, apiserver_host, certificate_authority),
        pod=pod,
        published=_published(publish_status_address, service, pod, internal=report_node_internal_ip_address),
        update_status=update_status,
        clear_status=update_status_on_shutdown,
        status_interval=status_update_interval,
        election=None if disable_leader_election else election_id,
        election_ttl=ttl if ttl > 0 else 30,
        sync_events=not disable_sync_events,
        census_every=seconds(sync_period, "--sync-period") or 600,
        webhook=webhook,
        configmaps=frozenset(
            key for key in (options.configmap, options.tcp_services, options.udp_services) if key is not None
        ),
    )
    told_port = http3_port(enable_http3, enable_ssl_passthrough, http3_advertised_port, 443)
    health_check_path = health_path(health_check_path)
    lock = Lock(run_dir)

    async def main() -> None:
        operator = await Operator.connect(operator_options, options)
        try:
            runtime = await make_runtime(
                run_dir,
                lock,
                nginx_binary,
                addresses(http_address, http_port),
                addresses(http_address, https_port),
                workers=workers,
                metrics=metrics,
                external_agent=agent is AgentKind.EXTERNAL,
                stream_port=stream_port,
                streams=bool(options.tcp_services or options.udp_services),
                ssl_passthrough=enable_ssl_passthrough,
                own=(healthz_port, stream_port, *((webhook.port,) if webhook else ())),
                http3_port=told_port,
                health_path=health_check_path,
            )
            progress = Progress(f"port {http_port}", f"port {healthz_port}", as_log=log_format is LogFormat.JSON)
            control = ControlPlane(
                operator.source,
                options,
                runtime,
                AgentOptions(run_dir, find_binary(nginx_binary)),
                dns_servers=servers,
                on_change=operator.and_then(progress.changed),
                external_agent=agent is AgentKind.EXTERNAL,
            )
            progress.control = control
            operator.attach(control)
            admin = AdminServer(
                control,
                healthz_host,
                healthz_port,
                health_check_path,
                leads=operator.leads,
                more=operator.families,
                pools=operator.pools,
            )
            await serve(
                control,
                admin,
                progress,
                operator.companions(),
                first=operator.prepare,
                grace=shutdown_grace_period,
                linger=post_shutdown_grace_period,
            )
        finally:
            await operator.close()

    run_to_end(main, lock)
