"""NGINX as a process: children and their reaping, testing, starting, signalling, noticing its death."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from tidegate.agent.rundir import RunDir

_PR_SET_CHILD_SUBREAPER = 36
_GLOBALS = "daemon off; master_process on;"


def become_subreaper() -> None:
    """Makes this process the parent of its orphaned descendants, as process 1 is anyway."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl(PR_SET_CHILD_SUBREAPER): {os.strerror(code)}")


class Reaper:
    """Starts children and reaps whatever ends, its own children and adopted ones alike.

    It reaps with `waitpid(-1)`: a process that has a reaper uses it for all its children.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._children: dict[int, tuple[subprocess.Popen[bytes], asyncio.Future[int]]] = {}
        loop.add_signal_handler(signal.SIGCHLD, self.reap)

    def spawn(
        self, argv: Sequence[str], output: IO[bytes], cwd: Path, env: dict[str, str], *, own_stdout: bool = False
    ) -> tuple[int, asyncio.Future[int]]:
        """Starts a child in a session of its own; the future is its exit status (negative: the signal).

        What it says goes to `output`; with `own_stdout` its stdout is this process's.
        """
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=None if own_stdout else output,
            stderr=output,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        future: asyncio.Future[int] = self._loop.create_future()
        self._children[child.pid] = (child, future)
        return child.pid, future

    def reap(self) -> None:
        """Collects every child that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child, future = self._children.pop(pid, (None, None))
            code = os.waitstatus_to_exitcode(status)
            if child is not None:
                child.returncode = code
            if future is not None and not future.done():
                future.set_result(code)

    def close(self) -> None:
        """Stops reaping."""
        self._loop.remove_signal_handler(signal.SIGCHLD)


class Master:
    """A live NGINX master, our child or not: its death is noticed at once through a pidfd."""

    def __init__(self, pid: int, on_death: Callable[[Master], None]) -> None:
        """Raises `ProcessLookupError` when there is no such process."""
        self.pid = pid
        self.died = asyncio.Event()
        self._on_death = on_death
        self._loop = asyncio.get_running_loop()
        self._fd = os.pidfd_open(pid)
        self.since = self._loop.time()
        self._loop.add_reader(self._fd, self._dead)

    @property
    def alive(self) -> bool:
        """Whether it lives, as far as the event loop has heard."""
        return not self.died.is_set()

    def _dead(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self.died.set()
        self._on_death(self)

    def send(self, sig: signal.Signals) -> None:
        """Sends a signal; nothing happens when the process is gone."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, sig)

    async def wait(self, limit: float) -> bool:
        """Waits for its death; false when it still lives after `limit` seconds."""
        try:
            await asyncio.wait_for(self.died.wait(), limit)
        except TimeoutError:
            return False
        return True


class Nginx:
    """How the NGINX binary is called for one run directory."""

    def __init__(self, binary: str, run_dir: RunDir, reaper: Reaper) -> None:
        self._binary = binary
        self._dir = run_dir
        self._reaper = reaper

    def _argv(self, conf: Path, *more: str) -> list[str]:
        # -e stderr: until NGINX has read its configuration it would try the compiled-in log, which is root's.
        return [self._binary, *more, "-e", "stderr", "-g", _GLOBALS, "-c", str(conf)]

    def _environment(self) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if name != "NGINX"}  # NGINX: inherited sockets
        env["TIDEGATE_RUN_DIR"] = str(self._dir.path)
        return env

    async def test(self, conf: Path) -> tuple[bool, str]:
        """Whether `nginx -t` accepts a configuration, and all that it said."""
        with self._dir.test_log.open("wb") as output:
            _, ended = self._reaper.spawn(self._argv(conf, "-t"), output, self._dir.path, self._environment())
            code = await ended
        text = self._dir.test_log.read_text(errors="replace")
        return code == 0, text

    def start(self) -> tuple[int, asyncio.Future[int]]:
        """Starts NGINX on the run directory's configuration; what it says goes to `logs/start.log`.

        Its `/dev/stdout` is the agent's: a container's access log.
        """
        argv = self._argv(self._dir.conf)
        with self._dir.start_log.open("wb") as output:
            return self._reaper.spawn(argv, output, self._dir.path, self._environment(), own_stdout=True)
