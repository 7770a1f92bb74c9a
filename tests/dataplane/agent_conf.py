"""What the tests of the agent share: a small hand-written NGINX configuration, a running site, a little load.

The configuration keeps the agent's contract: `/status` on `push.sock`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from claims import free_ports
from tidegate.agent.client import AgentClient
from tidegate.agent.main import AgentHandle, AgentOptions, spawn_agent
from tidegate.agent.orphans import Finder
from tidegate.agent.protocol import ApplyResult
from tidegate.agent.rundir import RunDir

_T = TypeVar("_T")
_MODULES = Path("/usr/lib/nginx/modules")

_TEMPLATE = """\
worker_processes {workers};
{user}
pid {run}/nginx.pid;
error_log {run}/logs/error.log notice;
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
worker_shutdown_timeout 20s;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {run}/tmp/body;
    proxy_temp_path {run}/tmp/proxy;
    fastcgi_temp_path {run}/tmp/fastcgi;
    uwsgi_temp_path {run}/tmp/uwsgi;
    scgi_temp_path {run}/tmp/scgi;
    lua_shared_dict agent_workers 256k;
    lua_package_path "/usr/share/lua/5.1/?.lua;;";
    {http}
    init_worker_by_lua_block {{
        local id = ngx.worker.id()
        if id then
            ngx.shared.agent_workers:safe_set("{generation}:" .. id, ngx.worker.pid())
        end
        {init_worker}
    }}
    server {{
        listen unix:{run}/push.sock;
        location = /status {{
            content_by_lua_block {{
                local count, workers = ngx.worker.count(), {{}}
                for id = 0, count - 1 do
                    local pid = ngx.shared.agent_workers:get("{generation}:" .. id)
                    if pid then
                        workers[#workers + 1] = string.format('"%d": %d', id, pid)
                    end
                end
                ngx.say(string.format('{{"generation": {generation}, "worker_count": %d, "workers": {{%s}}}}',
                    count, table.concat(workers, ", ")))
            }}
        }}
    }}
    server {{
        listen {listen};
        location = / {{ return 200 "generation {generation}\\n"; }}
        location = /pid {{ content_by_lua_block {{ ngx.say(ngx.worker.pid()) }} }}
        location = /slow {{
            content_by_lua_block {{
                ngx.print("begun "); ngx.flush(true)
                for _ = 1, 1000 do
                    local file = io.open("{run}/tmp/release")
                    if file then file:close() break end
                    ngx.sleep(0.02)
                end
                ngx.print("ended")
            }}
        }}
        {server}
    }}
}}
"""


def configuration(
    run_dir: Path,
    port: int,
    *,
    generation: int = 1,
    workers: int = 2,
    http: str = "",
    server: str = "",
    init_worker: str = "",
    listen: str = "127.0.0.1:{port} reuseport",
) -> str:
    """A configuration that serves `generation N` on the port."""
    return _TEMPLATE.format(
        run=run_dir,
        modules=_MODULES,
        user="user www-data;" if os.geteuid() == 0 else "",
        workers=workers,
        generation=generation,
        http=http,
        server=server,
        init_worker=init_worker,
        listen=listen.format(port=port),
    )


async def eventually(what: Callable[[], Awaitable[_T]], limit: float = 20.0) -> _T:
    """Asks again until the answer is true; the limit is generous and never waited for."""
    deadline = time.monotonic() + limit
    while True:
        answer = await what()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"still {answer!r} after {limit} s")
        await asyncio.sleep(0.01)


class Site:
    """One agent with its run directory and the port that its NGINX serves."""

    def __init__(self, base: Path) -> None:
        self.dir = RunDir(base / "run")
        (self.port,) = free_ports(1)
        self.options = AgentOptions(
            run_dir=self.dir.path, worker_user="www-data" if os.geteuid() == 0 else None, stop_timeout=20.0
        )
        self.client = AgentClient(self.dir.agent_socket)
        self.finder = Finder(self.dir.path, self.dir.conf, "nginx")
        self.handles: list[AgentHandle] = []

    async def spawn(self) -> AgentHandle:
        """The agent, started if need be."""
        handle = await spawn_agent(self.options)
        self.handles.append(handle)
        return handle

    def kill_agent(self) -> None:
        """SIGKILL for the agent, and its reaping."""
        process = self.handles[-1].process
        assert process is not None
        process.kill()
        process.wait()

    def conf(self, generation: int = 1, **more: Any) -> str:
        """A configuration for this site."""
        return configuration(self.dir.path, self.port, generation=generation, **more)

    async def apply(self, generation: int = 1, *, workers: int = 2, **more: Any) -> ApplyResult:
        """Applies a configuration and expects nothing of the answer."""
        return await self.client.apply(generation, self.conf(generation, workers=workers, **more), workers)

    async def applied(self, generation: int = 1, **more: Any) -> ApplyResult:
        """Applies a configuration that must be accepted."""
        result = await self.apply(generation, **more)
        assert result.ok, result
        return result

    async def get(self, path: str = "/") -> str:
        """The body of one request on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            async with asyncio.timeout(30):
                head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        finally:
            writer.close()
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(f"answer {head[:60]!r}")
        return body.decode()

    async def serves(self, text: str) -> bool:
        """Whether a request is answered, with this text in it."""
        try:
            return text in await self.get()
        except (OSError, TimeoutError):
            return False

    def left(self) -> list[str]:
        """Processes and sockets of the run directory."""
        sockets = [str(path) for path in self.dir.path.rglob("*") if path.is_socket()]
        return sockets + [f"{one.pid} {one.title}" for one in self.finder.ours()]

    async def close(self) -> None:
        """Ends all of it."""
        await self.client.close()
        for handle in self.handles:
            if handle.process is not None and handle.process.poll() is None:
                handle.process.kill()
                handle.process.wait()
        while rest := self.finder.ours():
            for one in rest:
                self.finder.send(one, signal.SIGKILL)
            await asyncio.sleep(0.01)


class Load:
    """A few clients that ask without pause, each request on a connection of its own."""

    def __init__(self, site: Site, clients: int = 3) -> None:
        self._site = site
        self._clients = clients
        self._tasks: list[asyncio.Task[None]] = []
        self.good = 0
        self.failures: list[str] = []

    async def _ask(self) -> None:
        while True:
            try:
                await self._site.get()
                self.good += 1
            except (OSError, TimeoutError) as error:
                self.failures.append(repr(error))
            await asyncio.sleep(0.001)

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._ask()) for _ in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def more(self, count: int = 30) -> None:
        """Returns when so many more requests were answered well."""
        goal = self.good + count

        async def reached() -> bool:
            return self.good >= goal

        await eventually(reached)


@contextlib.asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """A site in a directory of its own, under a short path (Unix sockets) that the workers can reach."""
    base = Path(tempfile.mkdtemp(dir="/tmp", prefix="tga"))
    base.chmod(0o755)  # noqa: ASYNC240
    one = Site(base)
    try:
        yield one
    finally:
        await one.close()
        shutil.rmtree(base, ignore_errors=True)
