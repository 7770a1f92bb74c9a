"""What the operator tells the cluster of its work: Events, and that status is due. It reads the control plane."""

from __future__ import annotations

import asyncio
from typing import Protocol

from tidegate.control import ControlPlane
from tidegate.findings import ObjectKey
from tidegate.kubernetes.events import Note
from tidegate.kubernetes.status import StatusWriter
from tidegate.report.changes import ChangeRecord
from tidegate.report.happenings import SYNC, Happening, of_ingress
from tidegate.resources.model import Ingress

AT_ONCE = 100  # Ingresses that are looked at without letting others have a turn


class Notes(Protocol):
    """Who takes what is told of objects: the cluster, or the memory of a program that has none."""

    def note(self, *notes: Note) -> None: ...

    def withdraw(self, *notes: Note) -> None: ...


class Reporter:
    """`changed` is the control plane's `on_change`. `pod` and `pod_uid`, once it is known, are this program's own."""

    def __init__(
        self,
        recorder: Notes,
        status: StatusWriter | None,
        pod: ObjectKey,
        configmaps: frozenset[ObjectKey],
        *,
        objects: bool = True,
    ) -> None:
        self._recorder, self._status, self._pod, self.pod_uid = recorder, status, pod, ""
        self._configmaps, self._objects = configmaps, objects
        self._told: dict[ObjectKey, frozenset[Happening]] = {}
        self._wanted: dict[ObjectKey, Ingress] = {}
        self._known: set[ObjectKey] = set()
        self._first = True
        self._pending: dict[ObjectKey, bool] = {}  # Ingresses to look at, and whether as found at the start
        self._due = asyncio.Event()
        self.control: ControlPlane | None = None

    def changed(self, record: ChangeRecord | None) -> None:
        """Something has happened; `record` is None for a finding that came without a change. Called under the lock."""
        control = self.control
        if control is None or not control.ready.is_set():
            return
        news = control.take_news()
        if record is not None and record.reloaded and not self._first:
            self._about_pod(Happening(False, "RELOAD", "NGINX reload triggered due to a change in configuration"))
        for text in news.refusals:
            self._about_pod(Happening(True, "RELOAD", f"NGINX did not take a configuration: {text}"))
        if self._objects:
            for key in news.configmaps & self._configmaps:
                self._about_configmap(key)
            for key in news.judged:
                self._pending[key] = self._first and self._pending.get(key, True)
            self._due.set()
        self._first = False
        if self._status is not None:
            self._status.look()

    async def run(self) -> None:
        """Look at the Ingresses of which there may be something to say, a few at a time, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            if self.control is None:
                continue
            async with self.control.lock:
                pending, self._pending = self._pending, {}
                for number, (key, first) in enumerate(pending.items(), 1):
                    self._about_ingress(key, first)
                    if number % AT_ONCE == 0:
                        await asyncio.sleep(0)

    def _about_pod(self, happening: Happening) -> None:
        self._recorder.note(Note(self._pod, self.pod_uid, *happening))

    def _about_configmap(self, key: ObjectKey) -> None:
        assert self.control is not None
        found = self.control.store.configmap(key.namespace, key.name)
        if found is None:
            self._known.discard(key)
            return
        reason = "UPDATE" if key in self._known else "CREATE"
        self._known.add(key)
        if not self._first:
            text = f"ConfigMap {key.namespace}/{key.name}"
            self._recorder.note(Note(key, found.metadata.uid, False, reason, text))

    def _about_ingress(self, key: ObjectKey, first: bool) -> None:
        """What is new is noted. What was found at the start was there before: of that only what is wrong is told."""
        assert self.control is not None
        translator = self.control.translator
        former = self._told.pop(key, frozenset())
        view = translator.views.get(key)
        if view is None:
            self._wanted.pop(key, None)
            return
        uid = view.wanted.metadata.uid
        now = of_ingress(view, translator.findings_of(key))
        self._told[key] = now
        fresh = now - former
        if self._wanted.get(key) is not view.wanted:
            self._wanted[key] = view.wanted
            fresh |= {SYNC}
        self._recorder.withdraw(*(Note(key, uid, *item) for item in former - now))
        self._recorder.note(*(Note(key, uid, *item) for item in sorted(fresh) if item.warning or not first))
