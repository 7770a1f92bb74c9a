"""The example of endpoints: each way to say where a Service is, and the client that calls ready ones."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dataplane import Server, until
from dnsserver import Dns
from up import TIDEGATE, Up

EXAMPLE = Path(__file__).parents[2] / "examples" / "endpoints"


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[Up, Server, Server]]:
    """The example as it is, but for the ports of the two backends."""
    with contextlib.ExitStack() as stack:
        one, two = stack.enter_context(Server("one")), stack.enter_context(Server("two"))
        dns_server = stack.enter_context(Dns(["127.0.0.1"]))
        flags = ("--endpoint-pool-allowed-cidrs", "127.0.0.0/8", "--resolver", f"127.0.0.1:{dns_server.port}")
        up = stack.enter_context(Up(*flags))
        for path in EXAMPLE.glob("*.yaml"):
            text = path.read_text().replace("18081", str(one.port)).replace("18082", str(two.port))
            up.write(path.stem, text)
        yield up.start(), one, two


@pytest.mark.parametrize(
    ("host", "path", "backend"),
    [
        ("slices.localhost", "/", "one"),
        ("legacy.localhost", "/", "two"),
        ("headless.localhost", "/", "one"),
        ("many.localhost", "/", "one"),
        ("many.localhost", "/admin", "two"),
        ("external.localhost", "/", "two"),
        ("pooled.localhost", "/", "one"),
        ("one-line.localhost", "/", "two"),
        ("team-b.localhost", "/", "two"),
    ],
)
def test_each_way_to_name_endpoints_is_served(
    site: tuple[Up, Server, Server], host: str, path: str, backend: str
) -> None:
    up = site[0]
    until(lambda: up.backend_of(host, path) == backend, why=f"{host}{path}: {up.get(host, path)}")


def test_the_example_has_no_mistakes(site: tuple[Up, Server, Server]) -> None:
    assert site[0].api("findings") == []
    command = [TIDEGATE, "check", EXAMPLE, "--endpoint-pool-allowed-cidrs", "127.0.0.0/8"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_client_waits_for_ready_endpoints_and_calls_them(site: tuple[Up, Server, Server]) -> None:
    up, one, _ = site
    command = [sys.executable, EXAMPLE / "client.py", "shop/pooled", "--count", "5", "--admin"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{up.admin}"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == [f"127.0.0.1:{one.port} 200"] * 5
