"""The admin port before the control plane has got anywhere: whoever waits for a revision, waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from tidegate.admin.server import AdminServer
from tidegate.agent.main import AgentOptions
from tidegate.cli.render import example_runtime
from tidegate.control import ControlPlane
from tidegate.sources.directory import DirectorySource
from tidegate.translate.options import Options

Client = tuple[ControlPlane, "TestClient[object, object]"]


@pytest.fixture
async def idle(tmp_path: Path) -> AsyncIterator[Client]:
    """A control plane that was not begun yet, and its admin port."""
    control = ControlPlane(DirectorySource(tmp_path), Options(), example_runtime(), AgentOptions(tmp_path))
    async with TestClient(TestServer(AdminServer(control, "127.0.0.1", 0).app)) as client:
        yield control, client


async def test_a_revision_can_be_waited_for_before_anything_runs(idle: Client) -> None:
    control, client = idle
    asked = asyncio.create_task(client.get("/api/v1/status?wait=1&timeout=60"))
    async with client.get("/readyz") as answer:
        assert (answer.status, asked.done()) == (503, False)
    control.revisions.want(1, 0)
    assert control.revisions.reach([]) is not None
    await control.revisions.tell()
    async with await asked as answer:
        assert (answer.status, (await answer.json())["revision"]) == (200, {"wanted": 1, "running": 1})


async def test_a_wait_that_comes_to_nothing_is_said_to_have(idle: Client) -> None:
    async with idle[1].get("/api/v1/status?wait=1&timeout=0") as answer:
        assert (answer.status, (await answer.json())["revision"]) == (504, {"wanted": 0, "running": 0})


@pytest.mark.parametrize("query", ["wait=1&timeout=nan", "wait=1&timeout=-1", "wait=1.5", "wait="])
async def test_what_is_no_time_or_revision_is_refused(idle: Client, query: str) -> None:
    async with idle[1].get(f"/api/v1/status?{query}") as answer:
        assert answer.status == 400
        assert "seconds" in (await answer.json())["error"]
