"""The agent beside which a control plane works: found, watched, brought back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from tidegate.agent.attach import find_agent
from tidegate.agent.client import AgentError
from tidegate.agent.main import AgentHandle, AgentOptions, AgentStartError, RunDirError
from tidegate.agent.protocol import AgentStatus, ProcessUsage

log = logging.getLogger("tidegate")

WATCH = 0.5


class AgentKeeper:
    """`external`: the agent is somebody else's to start and end. `handle` is None until it was found."""

    def __init__(self, options: AgentOptions, *, external: bool) -> None:
        self._options = options
        self.external = external
        self.handle: AgentHandle | None = None

    async def find(self) -> AgentHandle:
        """The agent, started if need be. Raises AgentStartError, RunDirError."""
        self.handle = await find_agent(self._options, external=self.external)
        return self.handle

    async def status(self) -> AgentStatus:
        """Raises AgentError."""
        assert self.handle is not None
        async with self.handle.client() as client:
            return await client.status()

    async def usage(self) -> ProcessUsage:
        """What NGINX's processes use. Raises AgentError."""
        assert self.handle is not None
        async with self.handle.client() as client:
            return await client.usage()

    async def watch(self, on_return: Callable[[], None]) -> None:
        """Until cancelled: bring the agent back when it is gone; `on_return` when it or NGINX was away."""
        seen = (await self._incarnation()) or ("", 0)
        while True:
            await asyncio.sleep(WATCH)
            now = await self._incarnation()
            if now is None:
                log.warning("the agent does not answer%s", "" if self.external else ", starting it again")
                try:
                    await self.find()
                except (AgentError, AgentStartError, RunDirError, OSError) as error:
                    log.error("the agent cannot be started: %s", error)
            elif now != seen:
                seen = now
                on_return()

    async def _incarnation(self) -> tuple[str, int] | None:
        """Which agent this is and how often it had to start NGINX again; None when there is no answer."""
        try:
            status = await self.status()
        except AgentError:
            return None
        return status.instance, status.restarts
