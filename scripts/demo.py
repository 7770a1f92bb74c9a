"""The demo: two echo backends, `tidegate up` on a folder of manifests, and real requests through it.

Prints each request with its answer. Stays up until Ctrl-C; with --check it works on a copy of the folder, changes that
while it is served, and ends: status 0 if each answer was right, 1 if not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from rich.console import Console
from rich.markup import escape
from yarl import URL

PROJECT = Path(__file__).resolve().parent.parent
TIDEGATE = Path(sys.executable).with_name("tidegate")
BACKENDS = {"one": 18081, "two": 18082}
START_SECONDS = 30

NEW_SHOP = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: new-shop, namespace: shop}
spec:
  ingressClassName: nginx
  rules:
    - host: new.shop.localhost
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: {service: {name: web, port: {name: http}}}
"""

console = Console(highlight=False, soft_wrap=True)


class DemoError(Exception):
    """Something that a person has to put right; the message says what."""


@dataclass(frozen=True)
class Answer:
    status: str  # or why there is none
    location: str
    backend: str  # which backend answered; empty: NGINX itself
    path: str  # the path that it saw
    milliseconds: float


@dataclass
class Demo:
    http_port: int
    https_port: int
    admin_port: int
    session: aiohttp.ClientSession
    wrong: list[str] = field(default_factory=list)

    async def ask(self, host: str, path: str, headers: dict[str, str] | None = None, *, tls: bool = False) -> Answer:
        scheme, port = ("https", self.https_port) if tls else ("http", self.http_port)
        url = URL(f"{scheme}://127.0.0.1:{port}{path}", encoded=True)  # sent as it is written here
        started = time.perf_counter()
        try:
            async with self.session.get(
                url,
                headers={"Host": host, **(headers or {})},
                allow_redirects=False,
                ssl=False,  # the built-in certificate is nobody's
                server_hostname=host if tls else None,
            ) as response:
                body = await response.text()
                elapsed = (time.perf_counter() - started) * 1000
                backend = response.headers.get("X-Demo-Backend", "")
                location = response.headers.get("Location", "")
                return Answer(str(response.status), location, backend, body if backend else "", elapsed)
        except (aiohttp.ClientError, TimeoutError) as error:
            elapsed = (time.perf_counter() - started) * 1000
            return Answer(f"no answer: {error or type(error).__name__}", "", "", "", elapsed)

    async def admin(self, path: str) -> Any:
        async with self.session.get(f"http://127.0.0.1:{self.admin_port}{path}") as response:
            if response.status != 200:
                raise DemoError(f"the admin port answered {response.status} to {path}: {await response.text()}")
            return await response.json()

    def verdict(self, right: bool, what: str) -> str:
        if not right:
            self.wrong.append(what)
        return "[green]✓[/]" if right else "[red]✗[/]"

    async def show(
        self,
        title: str,
        host: str,
        path: str,
        right: Callable[[Answer], bool],
        headers: dict[str, str] | None = None,
        *,
        tls: bool = False,
    ) -> None:
        """One request and its answer."""
        answer = await self.ask(host, path, headers, tls=tls)
        mark = self.verdict(right(answer), title)
        extra = "".join(f"  [dim]{name}: {value}[/]" for name, value in (headers or {}).items())
        said = escape(answer.status)
        if answer.location:
            said += f" to {answer.location}"
        if answer.backend:
            said += f" from backend [bold]{answer.backend}[/], which saw {escape(answer.path)}"
        console.print(f"{mark} [bold]{title}[/]")
        console.print(f"    GET {'https' if tls else 'http'}://{host}{escape(path)}{extra}")
        console.print(f"    → {said}  [dim]{answer.milliseconds:.1f} ms[/]")

    async def show_many(
        self,
        title: str,
        host: str,
        path: str,
        number: int,
        right: Callable[[Counter[str]], bool],
        *,
        at_once: bool = False,
    ) -> None:
        """Many requests of one kind, counted by who answered."""
        if at_once:
            answers = await asyncio.gather(*(self.ask(host, path) for _ in range(number)))
        else:
            answers = [await self.ask(host, path) for _ in range(number)]
        counts = Counter(f"{a.status} from {a.backend}" if a.backend else a.status for a in answers)
        mark = self.verdict(right(counts), title)
        console.print(f"{mark} [bold]{title}[/]")
        console.print(f"    {number} x GET http://{host}{path}")
        console.print(f"    → {escape(', '.join(f'{n} x {what}' for what, n in sorted(counts.items())))}")

    async def requests(self) -> None:
        shop = "shop.localhost"
        plain = {"X-Preview": "never"}
        await self.show("Prefix path", shop, "/", lambda a: (a.status, a.backend, a.path) == ("200", "one", "/"), plain)
        await self.show(
            "The URI arrives as it was sent",
            shop,
            "/caf%C3%A9/a%2Fb//c?q=%20",
            lambda a: a.path == "/caf%C3%A9/a%2Fb//c?q=%20",
            plain,
        )
        await self.show_many(
            "The longest prefix wins; the API has two backends, asked in turn",
            shop,
            "/api/items",
            10,
            lambda c: c["200 from one"] + c["200 from two"] == 10 and min(c["200 from one"], c["200 from two"]) >= 3,
        )
        await self.show("Exact path, a service with nothing behind it", shop, "/reports", lambda a: a.status == "503")
        await self.show(
            "Exact means exact", shop, "/reports/2026", lambda a: (a.status, a.backend) == ("200", "one"), plain
        )
        await self.show("A host that nobody has", "nobody.localhost", "/", lambda a: a.status == "404")
        await self.show(
            "Rewrite",
            "api.shop.localhost",
            "/v1/items/7?full=1",
            lambda a: (a.status, a.path) == ("200", "/api/items/7?full=1"),
        )
        await self.show(
            "Redirect",
            "old.shop.localhost",
            "/",
            lambda a: (a.status, a.location) == ("301", "http://shop.localhost/welcome"),
        )
        await self.show(
            "HTTP to HTTPS",
            "pay.shop.localhost",
            "/",
            lambda a: a.status == "308" and a.location.startswith("https://pay.shop.localhost"),
        )
        await self.show(
            "TLS with the built-in certificate",
            "pay.shop.localhost",
            "/cart",
            lambda a: (a.status, a.backend, a.path) == ("200", "one", "/cart"),
            tls=True,
        )
        await self.show(
            "Canary: asked for by a header",
            shop,
            "/",
            lambda a: (a.status, a.backend) == ("200", "two"),
            {"X-Preview": "always"},
        )
        await self.show_many(
            "Canary: a weight of 20 %",
            shop,
            "/",
            300,
            lambda c: c["200 from one"] + c["200 from two"] == 300 and 24 <= c["200 from two"] <= 105,
        )
        await self.show_many(
            "Rate limit: 5 a second",
            "login.shop.localhost",
            "/",
            30,
            lambda c: c["200 from one"] >= 1 and c["503"] >= 1 and c["200 from one"] + c["503"] == 30,
            at_once=True,
        )

    async def change(self, what: str, edit: Callable[[], object]) -> None:
        """Edit a manifest and wait until the change is confirmed."""
        before = await self.admin("/api/v1/status")
        started = time.perf_counter()
        edit()
        after = await self.admin(f"/api/v1/status?wait={before['revision']['wanted'] + 1}&timeout=20")
        elapsed = (time.perf_counter() - started) * 1000
        reloads = after["reloads"] - before["reloads"]
        mark = self.verdict(reloads == 0, f"{what}: {reloads} reloads")
        console.print(f"{mark} [bold]{what}[/]: live after {elapsed:.0f} ms, {reloads or 'no'} reload")

    async def live_changes(self, folder: Path) -> None:
        """Needs a folder that may be written to."""
        console.print("\n[bold]Changes while it runs[/]")
        new, file = "new.shop.localhost", folder / "new-shop.yaml"
        await self.show("Before", new, "/", lambda a: a.status == "404")
        await self.change("A new Ingress", lambda: write(file, NEW_SHOP))
        await self.show("After", new, "/", lambda a: (a.status, a.backend) == ("200", "one"))
        services = folder / "services.yaml"
        text = services.read_text()
        head, api = text.split("name: api-1\n", 1)
        moved = head + "name: api-1\n" + api.replace("port: 18081", "port: 18082", 1)
        await self.change("The API leaves backend one", lambda: write(services, moved))
        await self.show_many(
            "All requests go to backend two", "shop.localhost", "/api", 10, lambda c: c["200 from two"] == 10
        )
        await self.change("The new Ingress is deleted", file.unlink)
        await self.show("Afterwards", new, "/", lambda a: a.status == "404")


def write(path: Path, text: str) -> None:
    """Whole or not at all."""
    part = path.with_name(path.name + ".tmp")
    part.write_text(text)
    part.replace(path)


@contextlib.asynccontextmanager
async def backends() -> AsyncIterator[None]:
    """Each answers with the path that it saw and says who it is."""
    runners = []
    try:
        for name, port in BACKENDS.items():

            async def echo(request: web.BaseRequest, name: str = name) -> web.Response:
                return web.Response(text=request.raw_path, headers={"X-Demo-Backend": name})

            runner = web.ServerRunner(web.Server(echo))
            runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        for runner in runners:
            await runner.cleanup()


def need_free_ports(ports: dict[int, str]) -> None:
    for port, use in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
                why = "is in use" if error.errno == errno.EADDRINUSE else "needs root"
                raise DemoError(f"port {port} of 127.0.0.1, {use}, {why}") from None


@contextlib.asynccontextmanager
async def tidegate(
    folder: Path, run_dir: Path, options: argparse.Namespace
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`tidegate up`, ready to serve; ended with everything that belongs to it."""
    command = [
        str(TIDEGATE),
        "up",
        str(folder),
        "--run-dir",
        str(run_dir),
        "--http-port",
        str(options.http_port),
        "--https-port",
        str(options.https_port),
        "--healthz-host",
        "127.0.0.1",
        "--healthz-port",
        str(options.admin_port),
    ]
    # Its words are of interest when a person watches, or when something goes wrong.
    log = run_dir.parent / "up.log"
    with log.open("w") as stream:
        output = stream if options.check else None
        # A session of its own: Ctrl-C comes to this process, which then ends the other in order.
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        await until_ready(process, options.admin_port)
        yield process
    except DemoError as error:
        raise DemoError(f"{error}\n{log.read_text(errors='replace')[-4000:]}".rstrip()) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 30)
            except TimeoutError:
                process.kill()
                await process.wait()


async def until_ready(process: asyncio.subprocess.Process, admin_port: int) -> None:
    end = time.monotonic() + START_SECONDS
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        while time.monotonic() < end:
            if process.returncode is not None:
                raise DemoError(f"tidegate up ended with status {process.returncode}")
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(f"http://127.0.0.1:{admin_port}/readyz") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.05)
    raise DemoError(f"tidegate up was not ready after {START_SECONDS} s")


async def run(options: argparse.Namespace) -> int:
    need_free_ports(
        {
            options.http_port: "for HTTP (make demo HTTP_PORT=… takes another)",
            options.https_port: "for HTTPS (make demo HTTPS_PORT=… takes another)",
            options.admin_port: "for the admin API (make demo ADMIN_PORT=… takes another)",
            **{port: f"of the demo's backend {name}" for name, port in BACKENDS.items()},
        }
    )
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    timeout = aiohttp.ClientTimeout(total=25)
    with tempfile.TemporaryDirectory(prefix="tidegate-demo-") as temporary:
        folder, run_dir = options.folder, Path(temporary, "run")
        if options.check:
            folder = Path(shutil.copytree(folder, Path(temporary, "manifests")))
        console.print(f"[dim]Serving the manifests of {folder} …[/]")
        async with (
            backends(),
            tidegate(folder, run_dir, options) as process,
            aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=50)) as session,
        ):
            demo = Demo(options.http_port, options.https_port, options.admin_port, session)
            work = asyncio.create_task(show_all(demo, folder, options.check))
            ended = asyncio.create_task(process.wait())
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait({work, ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await work
                if not options.check:
                    invite(options)
                    await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
            for task in (work, ended, stopped):
                task.cancel()
            if process.returncode is not None:
                raise DemoError(f"tidegate up ended with status {process.returncode}")
            if options.check and stop.is_set():
                demo.wrong.append("interrupted")
    for what in demo.wrong:
        console.print(f"[red]wrong:[/] {escape(what)}")
    if not demo.wrong:
        console.print("\n[green]Each answer was right.[/]" if options.check else "\nStopped.")
    return 1 if demo.wrong and options.check else 0


async def show_all(demo: Demo, folder: Path, check: bool) -> None:
    console.print()
    await demo.requests()
    if check:
        await demo.live_changes(folder)


def invite(options: argparse.Namespace) -> None:
    folder = options.folder
    with contextlib.suppress(ValueError):
        folder = folder.relative_to(Path.cwd())
    console.print(
        f"\n[bold]It goes on serving.[/] The shop: http://shop.localhost:{options.http_port}/"
        f"\nWhat Tidegate knows: http://127.0.0.1:{options.admin_port}/ (/api/v1/routes, /api/v1/status, /metrics)"
        f"\nEdit a file in {folder}/ and ask again:"
        f"\n    curl -i http://shop.localhost:{options.http_port}/"
        f"\n    curl -i -H 'Host: api.shop.localhost' http://127.0.0.1:{options.http_port}/v1/items"
        "\nCtrl-C ends everything.\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--http-port", type=int, default=8080)
    parser.add_argument("--https-port", type=int, default=8443)
    parser.add_argument("--admin-port", type=int, default=10254)
    parser.add_argument(
        "--check", action="store_true", help="end after the requests; status 0 if each answer was right"
    )
    parser.add_argument("folder", type=Path, nargs="?", default=PROJECT / "examples" / "demo")
    try:
        return asyncio.run(run(parser.parse_args()))
    except (DemoError, aiohttp.ClientError, TimeoutError) as error:
        console.print(f"[red]demo:[/] {escape(str(error) or type(error).__name__)}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
