"""The admin port: health, metrics, and what is served and why (contract 3). It reads, and changes nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from tidegate import __version__
from tidegate.admin.exposition import Exposition, More
from tidegate.agent.client import AgentError
from tidegate.control import ControlPlane
from tidegate.endpointpools.controller import EndpointPools
from tidegate.endpointpools.shown import pool_row
from tidegate.findings import Severity
from tidegate.model import Host, Policy
from tidegate.render.runtime import HEALTH_PATH
from tidegate.report.endpoints import count_endpoints, endpoint_rows
from tidegate.report.events import KeptEvents
from tidegate.report.explain import explain
from tidegate.report.states import ingress_states

WAIT_DEFAULT = 30.0
WAIT_MOST = 600.0


class PortBusyError(Exception):
    """The admin port cannot be opened; the message names it."""


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def _refuse(message: str) -> web.Response:
    return _json({"error": message}, 400)


def _seconds(text: str | float) -> float:
    """Raises ValueError for what is no time to wait."""
    seconds = float(text)
    if not seconds >= 0:  # also what is not a number
        raise ValueError(text)
    return min(seconds, WAIT_MOST)


class AdminServer:
    """Serves one control plane on one address."""

    def __init__(
        self,
        control: ControlPlane,
        host: str,
        port: int,
        health_path: str = HEALTH_PATH,
        *,
        leads: Callable[[], bool] = lambda: True,
        more: More | None = None,
        pools: EndpointPools | None = None,
        events: KeptEvents | None = None,
    ) -> None:
        self._control, self._host, self._port, self._leads = control, host, port, leads
        self._exposition = Exposition(control, more)
        self._pools, self._events = pools, events
        self._runner: web.AppRunner | None = None
        self.app = web.Application()
        routes: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
            "/": self._index,
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/check_endpoint": self._check_endpoint,
            "/api/v1/ingresses": self._ingresses,
            "/api/v1/routes": self._routes,
            "/api/v1/backends": self._backends,
            "/api/v1/endpointpools": self._endpoint_pools,
            "/api/v1/certificates": self._certificates,
            "/api/v1/policies": self._policies,
            "/api/v1/findings": self._findings,
            "/api/v1/changes": self._changes,
            "/api/v1/events": self._kept_events,
            "/api/v1/explain": self._explain,
            "/api/v1/status": self._status,
        }
        routes[health_path] = self._healthz  # whatever else would be there: that is what was asked for
        for path, handler in routes.items():
            self.app.router.add_get(path, handler)

    async def start(self) -> None:
        """Raises PortBusyError."""
        self._runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host or None, self._port, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            place = f"{self._host or '*'}:{self._port}"
            raise PortBusyError(
                f"the admin port {place} cannot be opened: {error.strerror} (--healthz-port)"
            ) from error

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _index(self, request: web.Request) -> web.Response:
        """Where everything is, for a person who looks in."""
        paths = sorted({resource.canonical for resource in self.app.router.resources()} - {"/"})
        rows = "".join(f'<li><a href="{path}">{path}</a></li>' for path in paths)
        text = f"<!doctype html><title>Tidegate</title><h1>Tidegate {__version__}</h1><ul>{rows}</ul>\n"
        return web.Response(text=text, content_type="text/html")

    # -- health -------------------------------------------------------------------------------------------------------

    async def _healthz(self, request: web.Request) -> web.Response:
        control = self._control
        if control.stopping:
            return web.Response(status=500, text="stopping\n")
        if control.agents.handle is None:
            return web.Response(status=500, text="no agent\n")
        try:
            status = await control.agents.status()
        except AgentError as error:
            return web.Response(status=500, text=f"{error}\n")
        if not status.running:
            return web.Response(status=500, text="NGINX does not run\n")
        return web.Response(text="ok")

    async def _livez(self, request: web.Request) -> web.Response:
        """Whether this process is well, whatever NGINX does: it would not help NGINX to end it."""
        return web.Response(text="ok")

    async def _readyz(self, request: web.Request) -> web.Response:
        ready = self._control.ready.is_set() and not self._control.stopping
        return web.Response(status=200 if ready else 503, text="ok" if ready else "not yet")

    # -- metrics ------------------------------------------------------------------------------------------------------

    async def _metrics(self, request: web.Request) -> web.Response:
        await self._control.collect()
        text = await self._exposition.text(leads=self._leads())
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    # -- what is served -----------------------------------------------------------------------------------------------

    async def _check_endpoint(self, request: web.Request) -> web.Response:
        service = request.query.get("service")
        if not service:
            return _refuse("the parameter service is missing")
        namespace, port = request.query.get("namespace", "default"), request.query.get("port")
        async with self._control.lock:
            return _json(count_endpoints(self._control.store, namespace, service, port))

    async def _answer(self, make: Callable[[], Any]) -> web.Response:
        """What may be thousands of rows: read under the lock in a worker thread, which holds up nobody."""
        async with self._control.lock:
            body = await asyncio.to_thread(lambda: msgspec.json.encode(make()))
        return web.Response(body=body, content_type="application/json")

    async def _ingresses(self, request: web.Request) -> web.Response:
        control = self._control
        running = control.revisions.running
        return await self._answer(lambda: ingress_states(control.translator, control.served_generations, running))

    async def _routes(self, request: web.Request) -> web.Response:
        wanted = request.query.get("host")
        return await self._answer(lambda: _route_rows(self._control.translator.hosts, wanted))

    async def _backends(self, request: web.Request) -> web.Response:
        control = self._control
        return await self._answer(
            lambda: [
                {"name": name, "algorithm": backend.algorithm, "endpoints": endpoint_rows(control.store, backend)}
                for name, backend in sorted(control.translator.backends.items())
            ]
        )

    async def _endpoint_pools(self, request: web.Request) -> web.Response:
        return _json([pool_row(state) for state in self._pools.states()] if self._pools else [])

    async def _certificates(self, request: web.Request) -> web.Response:
        return await self._answer(
            lambda: [
                {
                    "host": host,
                    "names": info.names,
                    "issuer": info.issuer,
                    "notAfter": info.not_after,
                    "fingerprint": info.fingerprint,
                    "secret": info.secret,
                }
                for host, info in self._control.certificates
            ]
        )

    async def _policies(self, request: web.Request) -> web.Response:
        return await self._answer(lambda: _policy_rows(*self._control.translator.policies()))

    async def _findings(self, request: web.Request) -> web.Response:
        control = self._control
        return await self._answer(
            lambda: [*control.source_findings, *control.translator.findings(), *control.own_findings]
        )

    async def _changes(self, request: web.Request) -> web.Response:
        return _json(list(self._control.changes))

    async def _kept_events(self, request: web.Request) -> web.Response:
        """Where there is a cluster, it has them."""
        return _json(self._events.rows() if self._events else [])

    async def _explain(self, request: web.Request) -> web.Response:
        url = request.query.get("url")
        if not url:
            return _refuse("the parameter url is missing")
        async with self._control.lock:
            try:
                return _json(await asyncio.to_thread(explain, self._control.translator, url))
            except ValueError as error:
                return _refuse(str(error))

    async def _status(self, request: web.Request) -> web.Response:
        control = self._control
        status = 200
        if "wait" in request.query:
            try:
                wanted = int(request.query["wait"])
                timeout = _seconds(request.query.get("timeout", WAIT_DEFAULT))
            except ValueError:
                return _refuse("wait is a revision number and timeout a number of seconds")
            if not await control.revisions.wait(wanted, timeout):
                status = 504
        return _json(await self._describe(), status)

    async def _describe(self) -> dict[str, Any]:
        control, applier = self._control, self._control.applier
        async with control.lock:
            counts = await asyncio.to_thread(_counts, control)
        capacity, free = applier.memory if applier else (0, 0)
        return {
            "version": __version__,
            "revision": {
                "wanted": control.revisions.wanted,
                "running": control.revisions.running,
            },
            "reloads": applier.loader.reloads if applier else 0,
            "leader": self._leads(),
            "counts": counts,
            "nginx": ".".join(map(str, control.runtime.features.version)),
            "uptime": round(time.monotonic() - control.started, 3),
            "longestHoldSeconds": round(control.loop_lag.longest, 4),
            "memory": {"capacity": capacity, "free": free},
        }


def _counts(control: ControlPlane) -> dict[str, int]:
    """How much there is of everything."""
    translator = control.translator
    findings = [*control.source_findings, *translator.findings(), *control.own_findings]
    return {
        "ingresses": len(translator.views),
        "hosts": len(translator.hosts),
        "backends": len(translator.backends),
        "policies": len(translator.policies()[0]),
        "certificates": len(translator.certificates),
        "errors": sum(item.severity is Severity.ERROR for item in findings),
        "warnings": sum(item.severity is Severity.WARNING for item in findings),
    }


def _route_rows(hosts: Mapping[str, Host], wanted: str | None) -> list[dict[str, Any]]:
    """Of one host, or of all."""
    rows: list[dict[str, Any]] = []
    for name, host in sorted(hosts.items()):
        if wanted is not None and name != wanted:
            continue
        if host.alias_of or host.redirect_to:
            target = {"aliasOf": host.alias_of} if host.alias_of else {"redirectTo": host.redirect_to}
            rows.append({"host": name, **target})
        for route in host.routes:
            labels = route.labels
            rows.append(
                {
                    "host": name,
                    "path": route.path,
                    "match": route.match.value,
                    "backend": route.backend,
                    "policy": route.policy or "default",
                    "ingress": f"{labels.namespace}/{labels.ingress}",
                }
            )
    return rows


def _policy_rows(policies: Mapping[str, Policy], users: Mapping[str, int]) -> list[dict[str, Any]]:
    return [
        {"digest": digest, "directives": policy, "routes": users.get(digest, 0)}
        for digest, policy in sorted(policies.items())
    ]


async def serve(server: AdminServer, stop: asyncio.Event) -> None:
    """Serve until told to stop."""
    await server.start()
    try:
        await stop.wait()
    finally:
        await server.stop()
