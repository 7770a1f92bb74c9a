"""The agent from the control plane's side, when somebody else starts and ends it: in a pod it has its own container."""

from __future__ import annotations

import asyncio
import logging

from tidegate.agent.main import AgentHandle, AgentOptions, answering, spawn_agent
from tidegate.agent.protocol import AgentState
from tidegate.agent.rundir import RunDir

log = logging.getLogger("tidegate.agent")

_POLL = 0.1
_TELL_EVERY = 10.0
_LEAVING = frozenset({AgentState.DRAINING, AgentState.STOPPING})


async def find_agent(options: AgentOptions, *, external: bool) -> AgentHandle:
    """The agent of a run directory: started if need be or, when it is `external`, awaited for as long as it takes.

    Raises `AgentStartError` and `RunDirError` when it cannot be started.
    """
    if not external:
        return await spawn_agent(options)
    run_dir = RunDir(options.run_dir)
    loop = asyncio.get_running_loop()
    tell = loop.time()
    while (status := await answering(run_dir)) is None:
        if loop.time() >= tell:
            log.warning("waiting for the agent of %s", run_dir.path)
            tell = loop.time() + _TELL_EVERY
        await asyncio.sleep(_POLL)
    return AgentHandle(run_dir, status, None)


async def until_drained(agent: AgentHandle, patience: float = 3.0) -> None:
    """Returns when NGINX needs no more news because the agent ends, or when it has not begun to within `patience`.

    A pod's containers are told to end at the same moment: while NGINX still serves, its endpoints must stay fresh.
    When the control plane's container alone ends, its successor takes over.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while (status := await answering(agent.run_dir)) is not None and status.state is not AgentState.STOPPING:
        if status.state not in _LEAVING and loop.time() > deadline:
            return
        await asyncio.sleep(_POLL)
