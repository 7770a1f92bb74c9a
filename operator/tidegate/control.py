"""The control plane: source, store, translation and apply, tied together; what `tidegate up` and `tidegate run` run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from tidegate.agent.client import AgentError
from tidegate.agent.main import AgentHandle, AgentOptions, spawn_agent
from tidegate.apply.accepted import AcceptedFile
from tidegate.apply.applier import Applied, Applier, Refused
from tidegate.apply.dataplane import DataPlaneError
from tidegate.apply.records import Record, backend_record, certificate_record, globals_record, host_record
from tidegate.dns import Resolver
from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.render.configuration import MetricSettings, Runtime
from tidegate.report.metrics import RequestMetrics
from tidegate.sources.base import Source, SourceUpdate
from tidegate.store import Resolution, Store
from tidegate.translate.engine import Delta, Translator
from tidegate.translate.options import Options

log = logging.getLogger("tidegate")

T = TypeVar("T")

INLINE = 50  # changes that are translated without leaving the event loop: a few milliseconds
WATCH_AGENT = 0.5
CHANGES_KEPT = 200


class ChangeRecord(msgspec.Struct, frozen=True):
    """One line of what happened: when (seconds since the epoch), what changed, how it was applied."""

    when: float
    revision: int
    what: str
    records: int
    reloaded: bool
    seconds: float


class ControlPlane:
    """Runs until cancelled. `store`, `translator` and `source_findings` may be read under `lock`."""

    def __init__(
        self,
        source: Source,
        options: Options,
        runtime: Runtime,
        agent_options: AgentOptions,
        *,
        dns_servers: tuple[tuple[str, int], ...] = (),
        on_change: Callable[[ChangeRecord], None] | None = None,
    ) -> None:
        self.options, self.runtime = options, runtime
        self.run_dir: Path = agent_options.run_dir
        self._source, self._agent_options = source, agent_options
        self._accepted = AcceptedFile(self.run_dir / "state" / "accepted.json")
        self.store = Store()
        self.translator = Translator(options, self._accepted.load())
        self.lock = asyncio.Lock()
        self.revision = 0
        self.ready = asyncio.Event()
        self.source_findings: tuple[Finding, ...] = ()
        self.refusals: dict[str, Finding] = {}
        self.changes: deque[ChangeRecord] = deque(maxlen=CHANGES_KEPT)
        self.served_generation: dict[ObjectKey, int] = {}
        self.request_metrics = RequestMetrics(runtime.metrics or MetricSettings(), _constant_labels(options))
        self.longest_hold = 0.0
        self.started = time.time()
        self.agent: AgentHandle | None = None
        self.applier: Applier | None = None
        self._resolver = Resolver(self._on_resolution, dns_servers)
        self._updates: asyncio.Queue[SourceUpdate | Resolution | Refused] = asyncio.Queue()
        self._on_change = on_change
        self._what: deque[str] = deque()
        self._users: set[str] = set()

    async def run(self) -> None:
        """Start the agent and keep everything going. Raises StartError, AgentStartError, MissingFolderError."""
        self.agent = await spawn_agent(self._agent_options)
        client = self.agent.client()
        self.applier = Applier(
            self.run_dir, self.runtime, client, on_applied=self._on_applied, on_refused=self._updates.put_nowait
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read_source())
                group.create_task(self._reconcile())
                group.create_task(self.applier.run())
                group.create_task(self._watch_agent())
                group.create_task(self._drain_metrics())
                group.create_task(self._watch_loop())
        finally:
            await self._resolver.close()
            await self.applier.close()
            await client.close()

    # -- from the source to the model ---------------------------------------------------------------------------------

    async def _read_source(self) -> None:
        async with contextlib.aclosing(self._source.updates()) as updates:
            async for update in updates:
                self._updates.put_nowait(update)

    def _on_resolution(self, resolution: Resolution) -> None:
        if self.store.resolution(resolution.name) != resolution:
            self._updates.put_nowait(resolution)

    async def _reconcile(self) -> None:
        first = True
        while True:
            items = [await self._updates.get()]
            while not self._updates.empty():
                items.append(self._updates.get_nowait())
            if first and not any(isinstance(item, SourceUpdate) for item in items):
                continue
            async with self.lock:
                await self._take(items, first)
            first = False

    async def _take(self, items: list[SourceUpdate | Resolution | Refused], first: bool) -> None:
        touched: set[ObjectKey] = set()
        size = 0
        for item in items:
            if isinstance(item, SourceUpdate):
                self.source_findings = item.findings
                size += len(item.changes)
                touched |= await self._offload(len(item.changes), self.store.apply, item.changes)
            elif isinstance(item, Resolution):
                touched |= self.store.resolve(item)
            else:
                touched |= self._refuse(item)
        delta = await self._offload(size, self.translator.update, self.store, touched)
        if touched or first:
            self._publish(delta, touched, first)

    async def _offload(self, size: int, function: Callable[..., T], *arguments: object) -> T:
        if size <= INLINE:
            return function(*arguments)
        return await asyncio.to_thread(function, *arguments)

    def _refuse(self, refused: Refused) -> set[ObjectKey]:
        if refused.policies:
            return self.translator.refuse(refused.policies, refused.message)
        key = self.options.configmap or ObjectKey("ConfigMap", "", "")
        reason = "DataPlaneFull" if refused.memory else "Rejected"
        self.refusals[reason] = Finding(key, "data", Severity.ERROR, reason, refused.message)
        return set()

    def _publish(self, delta: Delta, touched: set[ObjectKey], first: bool) -> None:
        assert self.applier is not None
        self.revision += 1
        records: list[Record] = [backend_record(name, value) for name, value in delta.backends.items()]
        records += [certificate_record(name, value) for name, value in delta.certificates.items()]
        records += [host_record(name, value) for name, value in delta.hosts.items()]
        if delta.globals_changed or first:
            records.append(globals_record(self.translator.default_route()))
            self.refusals.pop("Rejected", None)
        self._write_users()
        if delta.accepted:
            self._accepted.update(delta.accepted)
        for key in delta.views:
            if key not in self.translator.views:
                self.request_metrics.drop_ingress(key.namespace, key.name)
        policies, users = self.translator.policies()
        self._what.append("start" if first else _summary(touched))
        self.applier.want(records, self.translator.globals, policies, users, self.revision)
        self._resolver.want(self.translator.dns_names())

    def _write_users(self) -> None:
        """Files of users come before the routes that name them; what was written stays for older workers."""
        for users in self.translator.users():
            if users.digest in self._users:
                continue
            path = self.run_dir / "users" / users.digest
            temporary = path.with_suffix(".new")
            temporary.write_bytes(users.text)
            temporary.chmod(0o644)
            temporary.rename(path)
            self._users.add(users.digest)

    # -- from the data plane back -------------------------------------------------------------------------------------

    def _on_applied(self, applied: Applied) -> None:
        what = ", ".join(dict.fromkeys(self._what)) or "nothing"
        self._what.clear()
        for key, view in self.translator.views.items():
            if view.accepted:
                self.served_generation[key] = view.ingress.metadata.generation
        record = ChangeRecord(time.time(), applied.revision, what, applied.records, applied.reloaded, applied.seconds)
        self.changes.append(record)
        self.ready.set()
        if self._on_change is not None:
            self._on_change(record)

    async def _watch_agent(self) -> None:
        """Start the agent again when it is gone, and look again when NGINX was."""
        assert self.agent is not None
        restarts = (await self._agent_status()) or (0, 0)
        while True:
            await asyncio.sleep(WATCH_AGENT)
            now = await self._agent_status()
            if now is None:
                log.warning("the agent is gone, starting it again")
                with contextlib.suppress(AgentError, OSError):
                    self.agent = await spawn_agent(self._agent_options)
                continue
            if now != restarts:
                restarts = now
                if self.applier is not None:
                    self.applier.resume()

    async def _agent_status(self) -> tuple[int, int] | None:
        assert self.agent is not None
        client = self.agent.client()
        try:
            status = await client.status()
        except AgentError:
            return None
        finally:
            await client.close()
        return status.agent_pid, status.restarts

    async def _drain_metrics(self) -> None:
        while True:
            await asyncio.sleep(1)
            await self.collect()

    async def collect(self) -> None:
        """Take over what the workers have counted."""
        if self.applier is None or not self.ready.is_set():
            return
        with contextlib.suppress(DataPlaneError):
            for block in await self.applier.plane.metrics():
                self.request_metrics.add_block(block)
                await asyncio.sleep(0)

    async def _watch_loop(self) -> None:
        """How long the event loop was held at the worst."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.02)
            self.longest_hold = max(self.longest_hold, loop.time() - before - 0.02)


def _constant_labels(options: Options) -> dict[str, str]:
    return {
        "controller_namespace": options.pod_namespace,
        "controller_class": options.controller_class,
        "controller_pod": options.pod_name,
    }


def _summary(touched: set[ObjectKey]) -> str:
    names = sorted(str(key) for key in touched)
    if len(names) <= 3:
        return ", ".join(names)
    return f"{', '.join(names[:3])} and {len(names) - 3} more"
