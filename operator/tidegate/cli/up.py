"""`tidegate up DIR`: the same program on a folder of manifests, without a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from tidegate.admin.server import AdminServer, PortBusyError
from tidegate.agent.cleanup import end_leftovers
from tidegate.agent.client import AgentClient, AgentError, AgentUnavailableError
from tidegate.agent.main import AgentOptions, AgentStartError, RunDirError
from tidegate.agent.rundir import RunDir
from tidegate.apply.applier import StartError
from tidegate.apply.nginx import NginxMissingError, find_binary, probe
from tidegate.apply.rundir import Lock, RunDirectoryError, closed_parent, default_run_dir, prepare, worker_dir
from tidegate.cli.common import (
    ConfigMapName,
    ControllerClass,
    IngressClass,
    Prefix,
    WithoutClass,
    err,
    fail,
    reference,
)
from tidegate.cli.progress import Progress
from tidegate.control import ControlPlane
from tidegate.dns import parse_server
from tidegate.logs import LogFormat, configure
from tidegate.render.configuration import MetricSettings, Runtime
from tidegate.render.template import template_folder
from tidegate.sources.directory import DirectorySource, MissingFolderError
from tidegate.translate.options import DEFAULT_PREFIX, Options

log = logging.getLogger("tidegate")

WORKER_USER = "www-data"
FATAL = (AgentStartError, RunDirError, RunDirectoryError, StartError, PortBusyError, MissingFolderError)
STOP_GRACE = 30.0  # seconds for requests to end
STOP_LIMIT = 120.0
SOCKET_LIMIT = 5.0
NO_EFFECT = "has no effect on a folder of manifests"


def _worker_user(run_dir: Path) -> str | None:
    """Root lets the workers be somebody else who can reach the run directory; an ordinary user cannot."""
    if os.geteuid() != 0:
        return None
    closed = closed_parent(run_dir)
    if closed is not None:
        err.print(
            f"warning: NGINX's workers run as root, for {closed} is closed to others", style="yellow", markup=False
        )
        return "root"
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(WORKER_USER).pw_name
    return "nobody"


def _open_files() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_048_576 if hard == resource.RLIM_INFINITY else hard


def _address(host: str, port: int) -> str:
    if not 0 < port < 65536:
        fail(f"found port {port}, allowed: 1 to 65535", 2)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _stop(run_dir: Path, binary: str) -> int:
    """End the control plane that runs here, if one does, and what agent and NGINX are left without it."""
    lock = Lock(run_dir)
    found = False
    if (holder := lock.holder()) is not None:
        found = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder, signal.SIGTERM)
        await _until(lambda: lock.holder() != holder, STOP_LIMIT)
    try:
        found = await _stop_agent(run_dir) or await end_leftovers(RunDir(run_dir), binary, STOP_GRACE) or found
    except (AgentError, RunDirError) as error:
        err.print(str(error), style="bold red", markup=False)
        return 1
    if not found:
        err.print(f"nothing runs in {run_dir}", markup=False)
    return 0 if found else 1


async def _stop_agent(run_dir: Path) -> bool:
    """End agent and NGINX; whether there was an agent. Returns when its socket is gone."""
    socket = run_dir / "agent.sock"
    async with AgentClient(socket) as client:
        try:
            await client.stop()
        except AgentUnavailableError:
            return False
    await _until(lambda: not socket.exists(), SOCKET_LIMIT)
    return True


async def _until(condition: Callable[[], bool], limit: float) -> None:
    deadline = time.monotonic() + limit
    while True:
        if condition() or time.monotonic() > deadline:
            return
        await asyncio.sleep(0.02)


async def _serve(control: ControlPlane, admin: AdminServer, progress: Progress) -> None:
    """Run until a signal, then end everything. A failure leaves an NGINX that serves alone, for the next run."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await admin.start()
    running = asyncio.create_task(control.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    running.cancel()
    failure: BaseException | None = None
    try:
        await running
    except asyncio.CancelledError:
        pass
    except BaseException as error:
        failure = error
    await admin.stop()
    serves = control.ready.is_set() or (control.agent is not None and not control.agent.started)
    if failure is None or not serves:
        progress.line("stopping")
        with contextlib.suppress(AgentError):
            await _stop_agent(control.run_dir)
        if control.agent is not None:
            await control.agent.wait()
    else:
        progress.line("NGINX goes on serving; `tidegate up` takes it over, `tidegate up --stop` ends it", "yellow")
    if failure is not None:
        raise failure


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def up(
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="The folder of manifests.")] = None,
    stop: Annotated[bool, typer.Option("--stop", help="End what runs in the run directory.")] = False,
    http_port: Annotated[int, typer.Option("--http-port", help="Where plain HTTP is served.")] = 8080,
    https_port: Annotated[int, typer.Option("--https-port", help="Where HTTPS is served.")] = 8443,
    http_address: Annotated[str, typer.Option("--http-address", help="The address of both.")] = "127.0.0.1",
    healthz_port: Annotated[int, typer.Option("--healthz-port", help="The admin port.")] = 10254,
    healthz_host: Annotated[str, typer.Option("--healthz-host", help="The admin address.")] = "127.0.0.1",
    health_check_path: Annotated[str, typer.Option("--health-check-path", help="The path of health.")] = "/healthz",
    ingress_class: IngressClass = "nginx",
    controller_class: ControllerClass = "k8s.io/ingress-nginx",
    ingress_class_by_name: Annotated[
        bool, typer.Option("--ingress-class-by-name", help="Also serve the class of that name.")
    ] = False,
    watch_ingress_without_class: WithoutClass = False,
    watch_namespace: Annotated[str, typer.Option("--watch-namespace", help="Serve this namespace only.")] = "",
    configmap: ConfigMapName = "",
    default_backend_service: Annotated[
        str, typer.Option("--default-backend-service", metavar="NS/NAME", help="Answers what nobody declares.")
    ] = "",
    default_ssl_certificate: Annotated[
        str, typer.Option("--default-ssl-certificate", metavar="NS/NAME", help="A TLS Secret for all other names.")
    ] = "",
    annotations_prefix: Prefix = DEFAULT_PREFIX,
    enable_annotation_validation: Annotated[
        bool, typer.Option("--enable-annotation-validation/--no-enable-annotation-validation")
    ] = True,
    deep_inspect: Annotated[bool, typer.Option("--deep-inspect/--no-deep-inspect")] = True,
    disable_catch_all: Annotated[bool, typer.Option("--disable-catch-all", help="Refuse default backends.")] = False,
    disable_svc_external_name: Annotated[
        bool, typer.Option("--disable-svc-external-name", help="Services of type ExternalName have no endpoints.")
    ] = False,
    host_ownership: Annotated[
        str, typer.Option("--host-ownership", metavar="merge|namespace", help="Who may add to a host.")
    ] = "merge",
    nginx_binary: Annotated[str, typer.Option("--nginx-binary", help="The NGINX to run.")] = "nginx",
    resolver: Annotated[
        list[str] | None, typer.Option("--resolver", metavar="ADDRESS[:PORT]", help="DNS servers to ask.")
    ] = None,
    run_dir: Annotated[Path | None, typer.Option("--run-dir", help="Where everything of this run lives.")] = None,
    workers: Annotated[int, typer.Option("--workers", help="NGINX workers; 0: one per core.")] = 0,
    metrics_max_series: Annotated[int, typer.Option("--metrics-max-series", help="Label sets; 0: no bound.")] = 600,
    metrics_per_host: Annotated[bool, typer.Option("--metrics-per-host/--no-metrics-per-host")] = True,
    metrics_per_undefined_host: Annotated[
        bool, typer.Option("--metrics-per-undefined-host", help="Count unknown hosts too.")
    ] = False,
    tcp_services_configmap: Annotated[str, typer.Option("--tcp-services-configmap", metavar="NS/NAME")] = "",
    udp_services_configmap: Annotated[str, typer.Option("--udp-services-configmap", metavar="NS/NAME")] = "",
    publish_service: Annotated[str, typer.Option("--publish-service", metavar="NS/NAME")] = "",
    publish_status_address: Annotated[str, typer.Option("--publish-status-address")] = "",
    update_status: Annotated[bool, typer.Option("--update-status/--no-update-status")] = True,
    election_id: Annotated[str, typer.Option("--election-id")] = "",
    enable_ssl_passthrough: Annotated[bool, typer.Option("--enable-ssl-passthrough")] = False,
    validating_webhook: Annotated[str, typer.Option("--validating-webhook")] = "",
    validating_webhook_certificate: Annotated[str, typer.Option("--validating-webhook-certificate")] = "",
    validating_webhook_key: Annotated[str, typer.Option("--validating-webhook-key")] = "",
    log_format: Annotated[LogFormat, typer.Option("--log-format", help="How messages are written.")] = LogFormat.TEXT,
    verbosity: Annotated[int, typer.Option("--v", "-v", help="0: what matters, 2: everything.")] = 0,
) -> None:
    """Serve a folder of manifests, and follow its changes. Ctrl-C ends everything."""
    configure(log_format, verbosity)
    run_dir = (run_dir or default_run_dir()).absolute()
    if stop:
        raise typer.Exit(asyncio.run(_stop(run_dir, nginx_binary)))
    if folder is None:
        fail("a folder of manifests is missing", 2)
    if not folder.is_dir():
        fail(f"there is no folder {folder}", 2)
    if enable_ssl_passthrough or validating_webhook or validating_webhook_certificate or validating_webhook_key:
        fail("--enable-ssl-passthrough and --validating-webhook* are not supported yet", 2)
    if host_ownership not in ("merge", "namespace"):
        fail(f"--host-ownership: found {host_ownership!r}, allowed: merge, namespace", 2)
    for flag, value in (
        ("--tcp-services-configmap", tcp_services_configmap),
        ("--udp-services-configmap", udp_services_configmap),
    ):
        if value:
            err.print(f"warning: {flag} is not supported yet: its ports are not opened", style="yellow", markup=False)
    for flag, value in (
        ("--publish-service", publish_service),
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
        validate_annotations=enable_annotation_validation,
        deep_inspect=deep_inspect,
        disable_catch_all=disable_catch_all,
        disable_external_name=disable_svc_external_name,
        configmap=reference("ConfigMap", configmap, "--configmap"),
        default_backend=reference("Service", default_backend_service, "--default-backend-service"),
        default_certificate=reference("Secret", default_ssl_certificate, "--default-ssl-certificate"),
        host_ownership=ownership,
        https_port=https_port,
        access_log=str(run_dir / "logs" / "access.log"),
    )
    try:
        servers = tuple(parse_server(text) for text in resolver or [])
    except ValueError as error:
        fail(f"--resolver: {error}", 2)
    metrics = MetricSettings(
        per_host=metrics_per_host, undefined_host=metrics_per_undefined_host, max_series=metrics_max_series
    )

    lock = Lock(run_dir)

    async def run() -> None:
        features = await probe(nginx_binary)
        user = _worker_user(run_dir)
        await asyncio.to_thread(prepare, run_dir, user)
        lock.take()
        runtime = Runtime(
            run_dir=str(run_dir),
            lua_dir=str(template_folder() / "lua"),
            features=features,
            http_addresses=(_address(http_address, http_port),),
            https_addresses=(_address(http_address, https_port),),
            workers=workers or os.cpu_count() or 1,
            user=user or "",
            worker_dir=str(worker_dir(run_dir)) if user else "",
            open_files=_open_files(),
            metrics=metrics,
        )
        progress = Progress(
            f"http://{_address(http_address, http_port)}",
            f"http://{_address(healthz_host, healthz_port)}",
            as_log=log_format is LogFormat.JSON,
        )
        source = DirectorySource(folder, ingress_class=ingress_class, controller_class=controller_class)
        agent_options = AgentOptions(run_dir, find_binary(nginx_binary))
        control = ControlPlane(source, options, runtime, agent_options, dns_servers=servers, on_change=progress.changed)
        progress.control = control
        await _serve(control, AdminServer(control, healthz_host, healthz_port, health_check_path), progress)

    try:
        asyncio.run(run())
    except NginxMissingError as error:
        fail(str(error))
    except FATAL as error:
        fail(str(error))
    except BaseExceptionGroup as group:
        cause = _first(group)
        if not isinstance(cause, FATAL):
            raise
        fail(str(cause))
    finally:
        lock.give_up()
