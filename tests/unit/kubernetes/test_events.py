"""Events: bounded, counted, and written by the leader alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tidegate.findings import ObjectKey
from tidegate.kubernetes import events
from tidegate.kubernetes.client import ConflictError, Kubernetes, NotFoundError, UnavailableError
from tidegate.kubernetes.events import Note, Recorder
from tidegate.kubernetes.kinds import Kind
from tidegate.kubernetes.leader import Role


class Api(Kubernetes):
    """Notes what is written; `fault` is raised once."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.merged: list[tuple[str, dict[str, Any]]] = []
        self.fault: Exception | None = None
        self.wrote = asyncio.Event()

    def _raise(self) -> None:
        fault, self.fault = self.fault, None
        self.wrote.set()
        if fault is not None:
            raise fault

    async def create(self, kind: Kind, namespace: str, body: Any) -> dict[str, Any]:
        self._raise()
        self.created.append(body)
        return {}

    async def merge(self, kind: Kind, namespace: str, name: str, body: Any, part: str = "") -> dict[str, Any]:
        self._raise()
        self.merged.append((name, body))
        return {}


def note(number: int = 1, *, warning: bool = True) -> Note:
    return Note(ObjectKey("Ingress", "shop", f"web{number}"), f"uid{number}", warning, "Rejected", "found 'many'")


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def recorder(api: Api) -> AsyncIterator[Recorder]:
    one = Recorder(api, "tidegate-0", lambda: Role.LEADER)
    running = asyncio.create_task(one.run())
    yield one
    running.cancel()


async def settled(recorder: Recorder) -> None:
    """Until nothing can be written any more without waiting for time to pass."""
    for _ in range(2000):
        await asyncio.sleep(0)


async def test_thousands_of_notes_are_a_burst_and_then_a_trickle(
    api: Api, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PER_SECOND", 1e-6)
    monkeypatch.setattr(events, "BURST", 100)
    recorder.note(*(note(number) for number in range(5000)))
    await settled(recorder)
    assert len(api.created) == 100


async def test_warnings_come_first_and_what_is_no_longer_true_is_not_told(api: Api, recorder: Recorder) -> None:
    recorder.note(note(1, warning=False), note(2), note(3), note(4))
    recorder.withdraw(note(3))
    await settled(recorder)
    assert [body["involvedObject"]["name"] for body in api.created] == ["web2", "web4", "web1"]
    assert [body["type"] for body in api.created] == ["Warning", "Warning", "Normal"]


async def test_the_same_note_again_raises_the_count_of_the_first(api: Api, recorder: Recorder) -> None:
    for _ in range(3):
        recorder.note(note())
        await settled(recorder)
    (first,) = api.created
    assert first["count"] == 1
    assert [(name, body["count"]) for name, body in api.merged] == [
        (first["metadata"]["name"], 2),
        (first["metadata"]["name"], 3),
    ]


async def test_an_event_that_somebody_deleted_is_written_anew(api: Api, recorder: Recorder) -> None:
    recorder.note(note())
    await settled(recorder)
    api.fault = NotFoundError(404, "gone")
    recorder.note(note())
    await settled(recorder)
    assert [body["count"] for body in api.created] == [1, 1]


async def test_one_that_is_refused_does_not_hold_up_the_others(api: Api, recorder: Recorder) -> None:
    """Its object or namespace may be on its way out."""
    api.fault = ConflictError(409, "namespace is being terminated")
    recorder.note(note(1), note(2))
    await settled(recorder)
    assert [body["involvedObject"]["name"] for body in api.created] == ["web2"]


async def test_what_could_not_be_written_is_written_later(
    api: Api, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def short(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    api.fault = UnavailableError(503, "away")
    monkeypatch.setattr(events.asyncio, "sleep", short)
    recorder.note(note())
    for _ in range(50):
        await sleep(0)
    assert len(api.created) == 1
    assert 2 in pauses


async def test_a_follower_forgets_and_who_does_not_know_yet_waits(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    role = Role.UNKNOWN
    monkeypatch.setattr(events, "PER_SECOND", 1e9)  # it looks again at once
    recorder = Recorder(api, "tidegate-1", lambda: role)
    running = asyncio.create_task(recorder.run())
    recorder.note(note(1))
    await settled(recorder)
    assert (api.created, len(recorder._waiting)) == ([], 1)
    role = Role.FOLLOWER
    recorder.note(note(2))
    await settled(recorder)
    assert (api.created, len(recorder._waiting)) == ([], 0)
    running.cancel()
