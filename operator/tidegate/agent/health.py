"""The agent's probes over TCP, for the kubelet: they need neither the control plane nor NGINX's own listeners.

NGINX's ports would not do: with `use-proxy-protocol` they refuse a plain request.
"""

from __future__ import annotations

from aiohttp import web

from tidegate.agent.probe import probe
from tidegate.agent.protocol import AgentState
from tidegate.agent.rundir import RunDir
from tidegate.agent.supervisor import Supervisor


class HealthPortError(Exception):
    """The port of the probes cannot be opened; the message names it."""


class HealthServer:
    """`/healthz`: nothing here needs a new container. `/readyz`: NGINX takes requests, and is to get them."""

    def __init__(self, supervisor: Supervisor, run_dir: RunDir, host: str, port: int) -> None:
        self._supervisor = supervisor
        self._dir = run_dir
        self._host, self._port = host, port
        app = web.Application()
        app.add_routes([web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self) -> None:
        """Raises HealthPortError."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host or None, self._port, reuse_address=True).start()
        except OSError as error:
            place = f"{self._host or '*'}:{self._port}"
            raise HealthPortError(f"the port of the probes, {place}, cannot be opened: {error.strerror}") from error

    async def close(self) -> None:
        """Stops listening."""
        await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        """NGINX that was never configured, is starting or on its way out is well."""
        state = self._supervisor.state
        if state is AgentState.FAILED:
            return _unwell("NGINX does not come up")
        if state is AgentState.RUNNING and await probe(self._dir.push_socket) is None:
            return _unwell("NGINX does not answer")
        return _well()

    async def _readyz(self, _: web.Request) -> web.Response:
        state = self._supervisor.state
        if state is not AgentState.RUNNING:
            return _unwell(f"NGINX is not to get requests: {state}")
        if not self._supervisor.confirmed:
            return _unwell("NGINX has not confirmed its configuration yet")
        return _well()


def _well() -> web.Response:
    return web.Response(text="ok\n")


def _unwell(why: str) -> web.Response:
    return web.Response(status=503, text=why + "\n")
