"""A way to an API server that can be bad: it throttles, is slow, and loses connections."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import Counter

import aiohttp
from aiohttp import web
from apiserver import ApiServer
from yarl import URL

THROTTLED = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "TooManyRequests", "code": 429}
KEPT_BACK = ("Content-Type", "Accept")  # headers that are sent on; the rest is the connection's own


class BadWay:
    """Plain HTTP on this side, and an administrator on the other.

    `throttle`: one in so many requests for each path is let through; `delay`: seconds that each is held back.
    """

    def __init__(self, cluster: ApiServer) -> None:
        certificate, key = cluster.authority.issue("way", user="way", group="system:masters")
        self._context = ssl.create_default_context(cafile=str(cluster.folder / "ca.crt"))
        self._context.load_cert_chain(certificate, key)
        self._target = cluster.url
        self.throttle, self.delay = 1, 0.0
        self.throttled = self.slow = self.lost = 0
        self._counts: Counter[str] = Counter()
        self._open: set[asyncio.Transport] = set()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)
        self.url = ""

    def __enter__(self) -> BadWay:
        self._thread.start()
        assert self._started.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)

    def cut(self) -> None:
        """End all connections, in the middle of whatever they carry."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(self._cut, done)
        assert done.wait(30)

    def _cut(self, done: threading.Event) -> None:
        for transport in self._open:
            self.lost += not transport.is_closing()
            transport.abort()
        done.set()

    async def _run(self) -> None:
        app = web.Application(client_max_size=2**25)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        connector = aiohttp.TCPConnector(limit=0, ssl=self._context)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as self._session:
            self._started.set()
            await self._end.wait()
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        self._counts[request.path] += 1
        if self._counts[request.path] % self.throttle:
            self.throttled += 1
            return web.json_response(THROTTLED, status=429, headers={"Retry-After": "1"})
        if self.delay:
            self.slow += 1
            await asyncio.sleep(self.delay)
        body = await request.read()
        headers = {name: request.headers[name] for name in KEPT_BACK if name in request.headers}
        url = URL(self._target + request.raw_path, encoded=True)
        async with self._session.request(request.method, url, headers=headers, data=body or None) as answer:
            response = web.StreamResponse(status=answer.status)
            response.headers["Content-Type"] = answer.headers.get("Content-Type", "application/json")
            await response.prepare(request)
            if transport is not None:
                self._open.add(transport)
            try:
                async for piece in answer.content.iter_any():
                    await response.write(piece)
            finally:
                if transport is not None:
                    self._open.discard(transport)
            return response
