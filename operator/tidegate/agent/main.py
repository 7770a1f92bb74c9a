"""Running the agent, and starting it from the control plane."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from tidegate.agent.client import AgentClient, AgentError
from tidegate.agent.console import Console
from tidegate.agent.health import HealthPortError, HealthServer
from tidegate.agent.process import Reaper, become_subreaper
from tidegate.agent.protocol import AgentStatus
from tidegate.agent.rundir import RunDir, RunDirError
from tidegate.agent.server import Server
from tidegate.agent.supervisor import Supervisor

log = logging.getLogger("tidegate.agent")


class AgentOptions(msgspec.Struct, frozen=True):
    """How an agent runs. `worker_user` owns the run directory when the agent is root. Times are in seconds.

    `shared`: the control plane is another user of the same group. `drain`: how long NGINX still serves after a signal
    to stop. `health`: where probes are answered. `console`: NGINX's messages go to stderr.
    """

    run_dir: Path
    nginx_binary: str = "nginx"
    worker_user: str | None = None
    stop_timeout: float = 30.0
    confirm_timeout: float = 30.0
    shared: bool = False
    drain: float = 0.0
    health: tuple[str, int] | None = None
    console: bool = False


class AgentStartError(Exception):
    """The agent did not come up; the message says why."""


async def run_agent(options: AgentOptions) -> None:
    """Runs the agent until it is told to stop, by signal or by its API.

    It takes over the process: its children, SIGCHLD, SIGTERM, SIGINT, SIGQUIT and SIGHUP. Raises `RunDirError` when
    the run directory cannot be used or belongs to another agent, `AgentStartError` when there is no NGINX.
    """
    binary = shutil.which(options.nginx_binary, path=_search_path())
    if binary is None:
        raise AgentStartError(f"there is no NGINX: {options.nginx_binary!r} was not found on PATH")
    if options.shared and os.geteuid() == 0:
        raise AgentStartError("root shares no run directory: run the agent as an ordinary user")
    run_dir = RunDir(options.run_dir, shared=options.shared)
    run_dir.prepare(options.worker_user)
    run_dir.lock()
    loop = asyncio.get_running_loop()
    become_subreaper()
    reaper = Reaper(loop)
    supervisor = Supervisor(run_dir, reaper, binary=binary, confirm_timeout=options.confirm_timeout)
    server = Server(supervisor, run_dir, options.stop_timeout)
    health = HealthServer(supervisor, run_dir, *options.health) if options.health else None
    console = asyncio.create_task(Console(run_dir.error_log, sys.stderr.buffer).run()) if options.console else None
    stops: set[asyncio.Task[None]] = set()

    async def stop(drain: float) -> None:
        if drain:
            log.info("serving for %g s more", drain)
            supervisor.drain()
            await asyncio.sleep(drain)
        await supervisor.stop(options.stop_timeout)
        server.finished.set()

    def on_signal(sig: signal.Signals) -> None:
        log.info("%s: stopping", sig.name)
        stops.add(asyncio.create_task(stop(0 if stops else options.drain)))  # a second one will not wait

    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        loop.add_signal_handler(sig, on_signal, sig)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        await supervisor.start()
        await server.start()
        if health is not None:
            await health.start()
        log.info("agent %d owns %s", os.getpid(), run_dir.path)
        await server.finished.wait()
    except HealthPortError as error:
        raise AgentStartError(str(error)) from error
    finally:
        await server.close()
        if health is not None:
            await health.close()
        if console is not None:
            console.cancel()
            await asyncio.wait([console])
        reaper.close()
        run_dir.unlock()


def _search_path() -> str:
    return os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin:/sbin"


class AgentHandle:
    """An agent that answers. `process` is set when this process started it; then `wait` reaps it."""

    def __init__(self, run_dir: RunDir, status: AgentStatus, process: subprocess.Popen[bytes] | None) -> None:
        self.run_dir = run_dir
        self.status = status
        self.process = process

    @property
    def started(self) -> bool:
        """Whether this call started it; false when it ran already."""
        return self.process is not None

    @property
    def pid(self) -> int:
        """The agent's process."""
        return self.status.agent_pid

    def client(self) -> AgentClient:
        """A new client for it."""
        return AgentClient(self.run_dir.agent_socket)

    async def wait(self, limit: float = 60.0) -> bool:
        """Waits until an agent that we started has ended, and reaps it."""
        deadline = asyncio.get_running_loop().time() + limit
        while self.process is not None and self.process.poll() is None:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True


async def answering(run_dir: RunDir) -> AgentStatus | None:
    """The status of a run directory's agent, or None where none answers."""
    async with AgentClient(run_dir.agent_socket, timeout=5.0) as client:
        with contextlib.suppress(AgentError):
            return await client.status()
    return None


async def spawn_agent(options: AgentOptions, *, limit: float = 30.0) -> AgentHandle:
    """The agent of a run directory: the one that runs already, else a new one in a session of its own.

    It outlives this process. What it says goes to `logs/agent.log`. Returns once it answers.
    """
    run_dir = RunDir(options.run_dir)
    if (status := await answering(run_dir)) is not None:
        return AgentHandle(run_dir, status, None)
    run_dir.prepare(options.worker_user)
    argv = [
        sys.executable,
        "-m",
        "tidegate.agent",
        "--run-dir",
        str(run_dir.path),
        "--nginx-binary",
        options.nginx_binary,
    ]
    argv += ["--stop-timeout", str(options.stop_timeout), "--confirm-timeout", str(options.confirm_timeout)]
    if options.worker_user is not None:
        argv += ["--worker-user", options.worker_user]
    with run_dir.agent_log.open("ab") as output:
        offset = output.tell()
        process = subprocess.Popen(  # noqa: ASYNC220 (it must outlive the event loop)
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=run_dir.path, start_new_session=True
        )
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit
    while True:
        if (status := await answering(run_dir)) is not None:
            return AgentHandle(run_dir, status, process if status.agent_pid == process.pid else None)
        if process.poll() is not None or loop.time() > deadline:
            said = run_dir.agent_log.read_bytes()[offset:].decode(errors="replace").strip()
            if process.returncode is None:
                process.kill()
                process.wait()
                raise AgentStartError(f"the agent did not answer within {limit:g} s: {said[-2000:]}")
            raise AgentStartError(said[-2000:] or f"the agent ended with exit status {process.returncode}")
        await asyncio.sleep(0.01)


__all__ = ["AgentHandle", "AgentOptions", "AgentStartError", "RunDirError", "answering", "run_agent", "spawn_agent"]
