"""`tidegate up` with more data than the shared memory was made for: it grows ahead of need, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from dataplane import Setup, until
from steadyload import Load
from tidegate.agent.main import AgentOptions, spawn_agent
from tidegate.apply import applier as applier_module
from tidegate.apply.applier import Applier, Refused
from tidegate.apply.nginx import probe
from tidegate.apply.records import Record, host_record
from tidegate.apply.revisions import Revisions
from tidegate.apply.rundir import prepare
from tidegate.model import Host, Labels, Match, Route
from tidegate.render.runtime import MIB, Runtime
from tidegate.render.template import template_folder
from up import Up, free_ports, ingress, running

HOSTS = 70
PATHS = 20
LONG = "long-" * 600


def many(first: int) -> list[dict[str, object]]:
    """Ingresses with long paths: about 9 MB of routes."""
    found = []
    for number in range(first, first + HOSTS):
        one = ingress(f"many{number}", f"many{number}.test")
        rule = one["spec"]["rules"][0]["http"]["paths"][0]
        one["spec"]["rules"][0]["http"]["paths"] = [
            {**rule, "path": f"/{place}/" + LONG + str(number)} for place in range(PATHS)
        ]
        found.append(one)
    return found


def test_memory_grows_ahead_of_need_and_no_route_is_lost_meanwhile() -> None:
    with running(manifests=lambda port: [ingress("shop", "shop.test")]) as (up, _):
        before = up.status()["memory"]["capacity"]
        assert before == 32 * 1024 * 1024
        with Load(up, "shop.test") as load:
            for turn in range(3):
                revision = up.status()["revision"]["wanted"]
                up.write_json(f"many{turn}", many(turn * HOSTS))
                up.wait(revision + 1)
                load.more(10)
            until(lambda: up.status()["memory"]["capacity"] > before)
            check(up, range(0, 3 * HOSTS, 9))
            load.more(10)
        assert not load.failures
        memory = up.status()["memory"]
        assert memory["free"] > 0.3 * memory["capacity"]
        assert not [item for item in up.api("findings") if item["reason"] == "DataPlaneFull"]
        up.kill()  # a later control plane finds all of it
        up.spawn()
        up.wait_ready()
        assert up.status()["reloads"] == 0
        check(up, range(0, 3 * HOSTS, 19))


def check(up: Up, numbers: range) -> None:
    for number in numbers:
        path = f"/{number % PATHS}/" + LONG + str(number)
        assert up.backend_of(f"many{number}.test", path) == "echo"


def big(name: str) -> Record:
    """A host of 200 kB."""
    return host_record(name, Host(name, (Route(Match.PREFIX, "/" + 200_000 * "x", Labels()),)))


async def test_what_exceeds_the_largest_memory_is_refused_and_comes_when_something_else_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(applier_module, "LARGEST_DATA", 32 * MIB)
    run = Path(tempfile.mkdtemp(prefix="tgm", dir="/tmp")) / "r"
    prepare(run, None)
    http, https = free_ports(2)
    runtime = Runtime(
        run_dir=str(run),
        lua_dir=str(template_folder() / "lua"),
        features=await probe("nginx"),
        http_addresses=(f"127.0.0.1:{http}",),
        https_addresses=(f"127.0.0.1:{https}",),
        workers=1,
        user="root" if os.geteuid() == 0 else "",
    )
    handle = await spawn_agent(AgentOptions(run))
    refused: list[Refused] = []
    full = asyncio.Event()

    def on_refused(item: Refused) -> None:
        refused.append(item)
        full.set()

    settings = Setup().settings
    async with handle.client() as client:
        revisions = Revisions()
        applier = Applier(run, runtime, client, settings, revisions, on_applied=lambda _: None, on_refused=on_refused)
        running_task = asyncio.create_task(applier.run())
        try:

            def want(revision: int, *records: Record) -> None:
                applier.want(records, settings, {}, {}, revision)

            want(1, *(big(f"first{number}.test") for number in range(60)))
            assert await revisions.wait(1, 30)
            want(2, *(big(f"second{number}.test") for number in range(120)))
            async with asyncio.timeout(30):
                await full.wait()
            assert "full" in refused[0].memory
            assert revisions.running == 1
            assert applier.loader.reloads == 0
            want(3, *(host_record(f"first{number}.test", None) for number in range(60)))
            assert await revisions.wait(3, 30)
            assert len(refused) == 1
        finally:
            running_task.cancel()
            await asyncio.gather(running_task, return_exceptions=True)
            await applier.close()
            await client.stop(0)
            await handle.wait()
            shutil.rmtree(run.parent)
