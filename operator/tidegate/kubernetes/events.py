"""Events: short notes on objects, that `kubectl describe` shows.

Writing is bounded: a bucket of tokens lets a burst through and then a few each second; what waits is the newest of each
note, so that 5,000 bad Ingresses become a trickle and none is lost. The same note again raises the count of the first.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import random
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from tidegate.findings import ObjectKey
from tidegate.kubernetes.client import ApiError, Kubernetes, NotFoundError, UnavailableError
from tidegate.kubernetes.kinds import EVENT
from tidegate.kubernetes.leader import Role

log = logging.getLogger("tidegate")

BURST, PER_SECOND = 100, 10.0
WAITING_MOST = 10_000
REMEMBERED = 4_000
SAME_FOR = 600.0  # seconds in which the same note raises a count
COMPONENT = "tidegate"

VERSIONS = {
    "Ingress": "networking.k8s.io/v1",
    "EndpointPool": "tidegate.dev/v1alpha1",
    "TrafficPolicy": "tidegate.dev/v1alpha1",
}


class Note(NamedTuple):
    """About which object (`uid` of it), of which kind, and what."""

    object: ObjectKey
    uid: str
    warning: bool
    reason: str
    message: str


class _Written(NamedTuple):
    name: str
    times: int
    at: float


class Recorder:
    """`role` says whose task it is now: a leader writes, a follower forgets, and until that is known notes wait."""

    def __init__(self, client: Kubernetes, pod: str, role: Callable[[], Role]) -> None:
        self._client, self._pod, self._role = client, pod, role
        self._waiting: OrderedDict[Note, None] = OrderedDict()  # warnings
        self._ordinary: OrderedDict[Note, None] = OrderedDict()  # what waits until no warning does
        self._written: OrderedDict[Note, _Written] = OrderedDict()
        self._wake = asyncio.Event()

    def note(self, *notes: Note) -> None:
        """Have notes written when there is room."""
        for note in notes:
            queue = self._waiting if note.warning else self._ordinary
            queue[note] = None
            if len(queue) > WAITING_MOST:
                queue.popitem(last=False)
        self._wake.set()

    def withdraw(self, *notes: Note) -> None:
        """These are no longer true: not written if they still wait."""
        for note in notes:
            self._waiting.pop(note, None)
            self._ordinary.pop(note, None)

    async def run(self) -> None:
        """Write until cancelled."""
        loop = asyncio.get_running_loop()
        tokens, last = float(BURST), loop.time()
        while True:
            await self._wake.wait()
            tokens = min(BURST, tokens + (loop.time() - last) * PER_SECOND)
            last = loop.time()
            role = self._role()
            if role is Role.FOLLOWER:
                self._waiting.clear()
                self._ordinary.clear()
            queue = self._waiting or self._ordinary
            if not queue:
                self._wake.clear()
                continue
            if tokens < 1 or role is Role.UNKNOWN:
                await asyncio.sleep(1 / PER_SECOND)
                continue
            tokens -= 1
            note, _ = queue.popitem(last=False)
            try:
                await self._write(note)
            except UnavailableError:
                queue.setdefault(note)
                await asyncio.sleep(2)
            except ApiError as error:
                log.warning("an Event is lost: %s", error)

    async def _write(self, note: Note) -> None:
        at = asyncio.get_running_loop().time()
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        former = self._written.get(note)
        namespace = note.object.namespace or "default"
        if former is not None and at - former.at < SAME_FOR:
            times = former.times + 1
            try:
                await self._client.merge(EVENT, namespace, former.name, {"count": times, "lastTimestamp": now})
                self._written[note] = _Written(former.name, times, at)
                return
            except NotFoundError:
                pass
        name = f"{note.object.name[:200]}.{random.getrandbits(64):016x}"
        await self._client.create(EVENT, namespace, self._body(note, namespace, name, now))
        self._written[note] = _Written(name, 1, at)
        self._written.move_to_end(note)
        while len(self._written) > REMEMBERED:
            self._written.popitem(last=False)

    def _body(self, note: Note, namespace: str, name: str, now: str) -> dict[str, object]:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": VERSIONS.get(note.object.kind, "v1"),
                "kind": note.object.kind,
                "namespace": note.object.namespace,
                "name": note.object.name,
                "uid": note.uid,
            },
            "type": "Warning" if note.warning else "Normal",
            "reason": note.reason,
            "message": note.message,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": COMPONENT, "host": self._pod},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._pod,
        }
