"""What `up` and `run` do alike: prepare a run directory and an NGINX, serve until a signal, end everything."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from types import MappingProxyType

from tidegate.admin.server import AdminServer, PortBusyError
from tidegate.admission.server import WebhookPortError
from tidegate.agent.attach import until_drained
from tidegate.agent.cleanup import end_leftovers
from tidegate.agent.client import AgentClient, AgentError, AgentUnavailableError
from tidegate.agent.main import AgentStartError, RunDirError
from tidegate.agent.rundir import RunDir
from tidegate.apply.applier import StartError
from tidegate.apply.nginx import NginxMissingError, probe, require_http3, require_streams
from tidegate.apply.own import own_ports
from tidegate.apply.rundir import Lock, RunDirectoryError, closed_parent, prepare, worker_dir
from tidegate.cli.common import err, fail
from tidegate.cli.progress import Progress
from tidegate.control import ControlPlane
from tidegate.kubernetes.client import ConnectError
from tidegate.operator import OperatorError
from tidegate.render.runtime import HEALTH_PATH, MetricSettings, Runtime
from tidegate.render.template import template_folder
from tidegate.sources.directory import MissingFolderError

log = logging.getLogger("tidegate")

WORKER_USER = "www-data"
FATAL: tuple[type[Exception], ...] = (
    AgentStartError,
    ConnectError,
    MissingFolderError,
    NginxMissingError,
    OperatorError,
    PortBusyError,
    RunDirError,
    RunDirectoryError,
    StartError,
    WebhookPortError,
)
"""What ends the program with a message instead of a trace."""
Companion = Callable[[], Awaitable[None]]
AGAIN_FIRST, AGAIN_MOST = 1.0, 30.0  # seconds before a companion that failed is begun again
SWITCH = 0.0005  # seconds after which a busy thread lets the event loop go on; Python's own 5 ms add up in each request
STOP_GRACE = 30.0  # seconds for requests to end
STOP_LIMIT = 120.0
SOCKET_LIMIT = 5.0


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


def address(host: str, port: int) -> str:
    return addresses(host, port)[0]


def addresses(host: str, port: int) -> tuple[str, ...]:
    """Where to listen; without a host on all addresses of this machine."""
    if not 0 < port < 65536:
        fail(f"found port {port}, allowed: 1 to 65535", 2)
    if host:
        return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}",)
    return (f"0.0.0.0:{port}", f"[::]:{port}") if _has_ipv6() else (f"0.0.0.0:{port}",)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def stop_everything(run_dir: Path, binary: str) -> int:
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


async def make_runtime(
    run_dir: Path,
    lock: Lock,
    nginx_binary: str,
    http: tuple[str, ...],
    https: tuple[str, ...],
    *,
    workers: int,
    metrics: MetricSettings,
    external_agent: bool = False,
    stream_port: int = 10247,
    streams: bool = False,
    ssl_passthrough: bool = False,
    own: tuple[int, ...] = (),
    http3_port: int = 0,
    health_path: str = HEALTH_PATH,
) -> Runtime:
    """A run directory that is ours, and what NGINX can do. Raises one of FATAL.

    An external agent may be another user of this group. `streams`: TCP or UDP services may come. `own` are the ports
    that no endpoint may lead to.
    """
    features = await probe(nginx_binary)
    if streams or ssl_passthrough:
        require_streams(features)
    if http3_port:
        require_http3(features)
    user = None if external_agent else _worker_user(run_dir)
    await asyncio.to_thread(prepare, run_dir, user, shared=external_agent)
    lock.take()
    return Runtime(
        run_dir=str(run_dir),
        lua_dir=str(template_folder() / "lua"),
        features=features,
        http_addresses=http,
        https_addresses=https,
        workers=workers,
        user=user or "",
        worker_dir=str(worker_dir(run_dir)) if user else "",
        metrics=metrics,
        stream_port=stream_port,
        ssl_passthrough=ssl_passthrough,
        own=await asyncio.to_thread(own_ports, *own),
        http3_port=http3_port,
        health_path=health_path,
    )


async def keep(what: str, companion: Companion, pause: float = AGAIN_FIRST) -> None:
    """Run it for ever. A fault of it must not end what serves; raises one of FATAL, which nothing mends."""
    loop = asyncio.get_running_loop()
    while True:
        started = loop.time()
        try:
            await companion()
            log.error("%s has ended, trying again in %.0f s", what, pause)
        except FATAL:
            raise
        except Exception:
            log.exception("%s failed, trying again in %.0f s", what, pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, AGAIN_MOST) if loop.time() - started < AGAIN_MOST else AGAIN_FIRST


async def _run(control: ControlPlane, first: Companion | None) -> None:
    if first is not None:
        await first()
    await control.run()


async def serve(
    control: ControlPlane,
    admin: AdminServer,
    progress: Progress,
    companions: Mapping[str, Companion] = MappingProxyType({}),
    *,
    first: Companion | None = None,
    grace: float = 0,
    linger: float = 0,
) -> None:
    """Run until a signal, then end everything. A failure leaves an NGINX that serves alone, for the next run.

    `first` is awaited, with the admin port open, before the control plane runs. `companions`, by what they do, run
    beside it, and are cancelled before it; one that fails is begun again. For `grace` seconds after the signal
    everything goes on, but says that it is not healthy; for `linger` seconds after NGINX has ended nothing happens.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await admin.start()
    running = asyncio.create_task(_run(control, first))
    beside = [asyncio.create_task(keep(what, companion)) for what, companion in companions.items()]
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping, *beside}, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set() and control.agents.external and control.agents.handle is not None:
        control.stopping = True
        drained = asyncio.create_task(until_drained(control.agents.handle))
        await asyncio.wait({running, drained}, return_when=asyncio.FIRST_COMPLETED)
        drained.cancel()
    elif stop.is_set() and grace:
        control.stopping = True
        await asyncio.wait({running}, timeout=grace)
    stopping.cancel()
    for task in beside:
        task.cancel()
    ended = await asyncio.gather(*beside, return_exceptions=True)
    failure: BaseException | None = next((item for item in ended if isinstance(item, Exception)), None)
    running.cancel()
    try:
        await running
    except asyncio.CancelledError:
        pass
    except BaseException as error:
        failure = error
    await admin.stop()
    serves = control.ready.is_set() or (control.agents.handle is not None and not control.agents.handle.started)
    if control.agents.external:
        progress.line("ending; NGINX's agent is somebody else's to end")
    elif isinstance(failure, OperatorError):
        progress.line("ending; nothing was begun")
    elif failure is None or not serves:
        progress.line("stopping")
        with contextlib.suppress(AgentError):
            await _stop_agent(control.run_dir)
        if control.agents.handle is not None:
            await control.agents.handle.wait()
        await asyncio.sleep(linger)
    else:
        progress.line("NGINX goes on serving; `tidegate up` takes it over, `tidegate up --stop` ends it", "yellow")
    if failure is not None:
        raise failure


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def run_to_end(main: Callable[[], Coroutine[None, None, None]], lock: Lock) -> None:
    """Run a program; what is fatal ends it with a message and status 1."""
    sys.setswitchinterval(SWITCH)
    try:
        asyncio.run(main())
    except FATAL as error:
        fail(str(error))
    except BaseExceptionGroup as group:
        cause = _first(group)
        if not isinstance(cause, FATAL):
            raise
        fail(str(cause))
    finally:
        lock.give_up()
