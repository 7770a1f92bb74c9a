"""Ending what an agent left behind that was killed: its NGINX, and the sockets."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from tidegate.agent import ports
from tidegate.agent.orphans import Finder
from tidegate.agent.rundir import RunDir
from tidegate.agent.workers import Workers

_POLL = 0.02


async def end_leftovers(run_dir: RunDir, binary: str, grace: float) -> bool:
    """Ends all NGINX processes of a run directory that has no agent; whether there were any.

    Requests have `grace` seconds to end. Raises `AgentLockedError` when an agent lives after all.
    """
    if not run_dir.path.is_dir():
        return False
    run_dir.lock()
    try:
        finder = Finder(run_dir.path, run_dir.conf, binary)
        if pid := run_dir.master_pid():
            finder.sessions.add(pid)
        workers = Workers(run_dir, finder)
        found = bool(workers.send(finder.ours(), signal.SIGQUIT))
        deadline = asyncio.get_running_loop().time() + grace
        while left := finder.ours():
            if asyncio.get_running_loop().time() > deadline:
                await workers.end(left, 1.0)
                break
            await asyncio.sleep(_POLL)
        _remove(run_dir.pid_file, run_dir.agent_socket, run_dir.push_socket)
        _remove(*ports.unix_sockets(run_dir.read_conf() or ""))
        return found
    finally:
        run_dir.unlock()


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
