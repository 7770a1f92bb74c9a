"""What runs beside the control plane is begun again when it fails: a fault in it must not end what serves."""

from __future__ import annotations

import asyncio
import logging

import pytest
from tidegate.admission.server import WebhookPortError
from tidegate.cli.serving import keep


async def test_a_companion_that_fails_or_ends_is_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    begun: list[int] = []
    third = asyncio.Event()

    async def companion() -> None:
        begun.append(len(begun))
        if len(begun) == 1:
            raise ValueError("a fault")
        if len(begun) == 3:
            third.set()
            await asyncio.Event().wait()

    with caplog.at_level(logging.ERROR, "tidegate"):
        task = asyncio.create_task(keep("telling", companion, 0.001))
        await asyncio.wait_for(third.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert begun == [0, 1, 2]
    assert [record.message.partition(",")[0] for record in caplog.records] == ["telling failed", "telling has ended"]


async def test_what_nothing_mends_ends_the_program() -> None:
    async def companion() -> None:
        raise WebhookPortError("the webhook's port *:8443 cannot be opened")

    with pytest.raises(WebhookPortError):
        await keep("the webhook", companion)
