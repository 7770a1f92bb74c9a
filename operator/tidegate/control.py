"""The control plane: source, store, translation and apply, tied together; what `tidegate up` and `tidegate run` run."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import logging
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography import x509

from tidegate.agent.main import AgentOptions
from tidegate.agent.protocol import Machine
from tidegate.apply.agents import AgentKeeper
from tidegate.apply.applier import Applied, Applier, Refused
from tidegate.apply.dataplane import DataPlaneError
from tidegate.apply.files import DigestFiles
from tidegate.apply.records import Record, backend_record, certificate_record, globals_record, host_record
from tidegate.apply.revisions import Revisions
from tidegate.dns import Resolver
from tidegate.fetches import Fetcher
from tidegate.findings import Finding, ObjectKey
from tidegate.model import CATCH_ALL, CertificateInfo, is_pattern
from tidegate.render.listeners import is_wildcard
from tidegate.render.runtime import PEM_FOLDER, MetricSettings, Runtime
from tidegate.report.changes import ChangeRecord, News, Step
from tidegate.report.looplag import LoopLag
from tidegate.report.metrics import RequestMetrics
from tidegate.report.otlp import SpanExporter, collector_of
from tidegate.report.refusals import Refusals
from tidegate.report.served import Served
from tidegate.report.validity import Validity
from tidegate.resources.changes import Fetched, Resolution, SourceUpdate
from tidegate.settings import configmap as cm
from tidegate.sources.accepted import AcceptedFile
from tidegate.sources.base import Source
from tidegate.store import Store
from tidegate.translate.acceptance import Hold
from tidegate.translate.certificates import describe
from tidegate.translate.delta import Delta
from tidegate.translate.engine import Translator
from tidegate.translate.options import NginxFacts, Options

log = logging.getLogger("tidegate")

T = TypeVar("T")

INLINE = 50  # changes that are translated without leaving the event loop: a few milliseconds
FIRST_ANSWERS = 3.0  # seconds that the first state waits for DNS
CHANGES_KEPT = 200


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
        on_change: Callable[[ChangeRecord | None], None] | None = None,
        external_agent: bool = False,
    ) -> None:
        """`external_agent`: the agent is somebody else's to start and end."""
        self.agents = AgentKeeper(agent_options, external=external_agent)
        self.stopping = False  # told to end: health fails, all else goes on
        self.options, self.runtime = msgspec.structs.replace(options, nginx=_facts(runtime)), runtime
        self.run_dir: Path = agent_options.run_dir
        self._source = source
        accepted = AcceptedFile(self.run_dir / "state" / "accepted.json")
        self.store = Store()
        self.store.want(options.objects)
        self.translator = Translator(self.options, accepted.load())
        fallback = self.translator.globals  # of an empty ConfigMap
        self.lock = asyncio.Lock()
        self._validity = Validity(self.translator, self.lock, lambda: self._told.put_nowait(None))
        self.revision = 0
        self.revisions = Revisions()  # there before anybody can say which one runs
        self.ready = asyncio.Event()
        self.source_findings: tuple[Finding, ...] = ()
        self._refusals = Refusals(self.translator, options.configmap or ObjectKey("ConfigMap", "", ""))
        self._served = Served(accepted)
        self.changes: deque[ChangeRecord] = deque(maxlen=CHANGES_KEPT)
        metrics = runtime.metrics or MetricSettings()
        self.request_metrics = RequestMetrics(metrics, constant_labels(options), self._is_live)
        self.loop_lag = LoopLag()
        self.started = time.monotonic()
        self.applier: Applier | None = None
        self._resolver = Resolver(self._on_resolution, dns_servers)
        self._updates: asyncio.Queue[SourceUpdate | Resolution | Fetched | Refused] = asyncio.Queue()
        self._fetcher = Fetcher(self._updates.put_nowait, local=options.loopback_endpoints)
        self._wishes_version = 0
        self._on_change = on_change
        self._fallback = fallback
        self._later: list[
            SourceUpdate | Resolution | Fetched | Refused
        ] = []  # what came while something else was awaited
        self._own_certificate: CertificateInfo | None = None
        self._told: asyncio.Queue[ChangeRecord | None] = asyncio.Queue()
        self._news = News()
        self._user_files = DigestFiles(Path(runtime.worker_place) / "users", 0o644)
        self._pem_files = DigestFiles(self.run_dir / PEM_FOLDER, 0o640 if external_agent else 0o600, ".pem")

    async def run(self) -> None:
        """Start the agent and keep everything going. Raises StartError, AgentStartError, MissingFolderError."""
        gc.disable()  # the first state is all growth: looking through it again and again would hold the event loop
        await asyncio.to_thread(self._pem_files.drop_unnamed, self.run_dir / "conf")
        agent = await self.agents.find()
        self._fit_runtime(agent.status.machine)
        client = agent.client()
        self.applier = Applier(
            self.run_dir,
            self.runtime,
            client,
            self._fallback,
            self.revisions,
            on_applied=self._on_applied,
            on_refused=self._updates.put_nowait,
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read_source())
                group.create_task(self._reconcile())
                group.create_task(self.applier.run())
                group.create_task(self.agents.watch(self.applier.resume))
                group.create_task(self._tell())
                group.create_task(self._drain_metrics())
                group.create_task(SpanExporter(lambda: collector_of(self.translator.settings), self._spans).run())
                group.create_task(self.loop_lag.watch())
                group.create_task(self._validity.watch())
        finally:
            await self._resolver.close()
            await self._fetcher.close()
            await self.applier.close()
            await client.close()

    def _fit_runtime(self, machine: Machine) -> None:
        """What NGINX may use is known where it runs."""
        workers = self.runtime.workers or machine.cores
        self.runtime = dataclasses.replace(self.runtime, workers=workers, open_files=machine.open_files)

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
            items, self._later = self._later or [await self._updates.get()], []
            while not self._updates.empty():
                items.append(self._updates.get_nowait())
            if first and not any(isinstance(item, SourceUpdate) for item in items):
                continue
            async with self.lock:
                await self._take(items, first)
            first = False

    async def _take(self, items: list[SourceUpdate | Resolution | Fetched | Refused], first: bool) -> None:
        touched: set[ObjectKey] = set()
        size = 0
        refused = False
        for item in items:
            if isinstance(item, SourceUpdate):
                if item.findings != self.source_findings:
                    self.source_findings = item.findings
                    self._told.put_nowait(None)
                size += len(item.changes)
                touched |= await self._offload(len(item.changes), self.store.apply, item.changes)
            elif isinstance(item, Resolution):
                touched |= self.store.resolve(item)
            elif isinstance(item, Fetched):
                touched |= self.store.take(item)
            else:
                touched |= self._refuse(item)
                refused = refused or not item.memory
        delta = await self._offload(size, self.translator.update, self.store, touched)
        delta = await self._completed(delta)
        if first and (names := self.translator.dns_names()):
            delta = await self._with_addresses(delta, names)
        if touched or first or refused:
            records = await self._offload(len(delta.hosts) + len(delta.backends), _records, delta)
            self._publish(delta, records, touched, first)

    async def _completed(self, delta: Delta) -> Delta:
        """The same with the Secrets and ConfigMaps that nothing referred to before: nothing goes live without them."""
        while missing := self.store.take_missing():
            changes = await self._source.complete(missing)
            if not changes:
                break
            touched = await self._offload(len(changes), self.store.apply, changes)
            self._news.configmaps |= {key for key in touched if key.kind == "ConfigMap"}
            later = await self._offload(len(changes), self.translator.update, self.store, touched)
            delta = delta.followed_by(later)
        released = frozenset(key for key in self.translator.take_released() if not self.store.is_pinned(key))
        if released:
            self.store.apply(self._source.release(released))
        return delta

    async def _with_addresses(self, delta: Delta, names: frozenset[str]) -> Delta:
        """The first state with what DNS says about its names, so that a take-over does not drop their addresses."""
        self._resolver.use_ipv6(not self.translator.settings.get(cm.DISABLE_IPV6_DNS))
        self._resolver.want(names)
        missing = set(names)
        touched: set[ObjectKey] = set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_ANSWERS):
                while missing:
                    item = await self._updates.get()
                    if isinstance(item, Resolution):
                        missing.discard(item.name)
                        touched |= self.store.resolve(item)
                    else:
                        self._later.append(item)
        second = await self._offload(len(touched), self.translator.update, self.store, touched)
        return msgspec.structs.replace(
            delta,
            hosts=dict(self.translator.hosts),
            backends=dict(self.translator.backends),
            accepted=delta.accepted | second.accepted,
            views=delta.views | second.views,
            passthrough=dict(self.translator.passthrough),
        )

    async def _offload(self, size: int, function: Callable[..., T], *arguments: object) -> T:
        if size <= INLINE:
            return function(*arguments)
        return await asyncio.to_thread(function, *arguments)

    def _refuse(self, refused: Refused) -> set[ObjectKey]:
        self._news.refusals += [text for text in (refused.settings, *refused.policies.values()) if text]
        self._told.put_nowait(None)
        return self._refusals.take(refused)

    def _publish(self, delta: Delta, records: list[Record], touched: set[ObjectKey], first: bool) -> None:
        assert self.applier is not None
        self.revision += 1
        if delta.globals_changed or first:
            self._refusals.settings_changed()
        if delta.globals_changed or first or any(map(is_pattern, delta.hosts)):
            records.append(globals_record(self.translator.default_route()))
        self._refusals.listeners_changed(delta.streams)
        self._write_files()
        self._news.judged |= delta.judged
        self._news.configmaps |= {key for key in touched if key.kind == "ConfigMap"}
        views = self.translator.views
        served: dict[ObjectKey, int | None] = {}
        for key in delta.views:
            view = views.get(key)
            served[key] = view.ingress.metadata.generation if view and view.hold is Hold.NONE else None
            if view is None:
                self.request_metrics.drop_ingress(key.namespace, key.name)
        what = "start" if first else _summary(touched)
        self._served.publish(Step(self.revision, what, served, delta.accepted))
        policies, users = self.translator.policies()
        servers, streams = self.translator.servers(), self.translator.streams
        self.applier.want(
            records,
            self.translator.globals,
            policies,
            users,
            self.revision,
            self._refusals.answered,
            servers,
            streams,
            delta.passthrough,
        )
        names = self.translator.dns_names()
        self._resolver.use_ipv6(not self.translator.settings.get(cm.DISABLE_IPV6_DNS))
        self._resolver.want(names)
        self.store.keep_resolutions(names)
        self._fetch()
        if delta.globals_changed or first:
            self._validity.look_at_all()
        elif delta.certificates:
            self._validity.look_at(delta.certificates.keys())

    def _fetch(self) -> None:
        """Ask for what certificates need now; what no longer one needs is forgotten."""
        if self._wishes_version != self.translator.wishes_version:
            self._wishes_version = self.translator.wishes_version
            wishes = self.translator.wishes()
            self.store.keep_fetched({wish.key for wish in wishes})
            self._fetcher.want(wishes)

    def take_news(self) -> News:
        """To be called under `lock`, from `on_change`."""
        news, self._news = self._news, News()
        return news

    @property
    def certificates(self) -> tuple[tuple[str, CertificateInfo], ...]:
        """Host and certificate; `_` for what is shown where there is no other, also when that is our own."""
        rows = self.translator.certificate_infos
        if any(host == CATCH_ALL for host, _ in rows):
            return rows
        if self._own_certificate is None:
            pem = (self.run_dir / "tls" / "default.pem").read_bytes()
            self._own_certificate = describe(x509.load_pem_x509_certificate(pem), "")
        return ((CATCH_ALL, self._own_certificate), *rows)

    @property
    def served_generations(self) -> Mapping[ObjectKey, int]:
        """Which generation of each Ingress is in force."""
        return self._served.generations

    @property
    def own_findings(self) -> tuple[Finding, ...]:
        """What neither the source nor the translator can know."""
        return (*self._refusals.findings, *self._validity.findings)

    def _is_live(self, namespace: str, name: str) -> bool:
        return ObjectKey("Ingress", namespace, name) in self.translator.views

    def _write_files(self) -> None:
        """Files come before the routes and policies that name them."""
        self._user_files.write((users.digest, users.text) for users in self.translator.users())
        self._pem_files.write((file.digest, file.text) for file in self.translator.files())

    # -- from the data plane back -------------------------------------------------------------------------------------

    def _on_applied(self, applied: Applied) -> None:
        """What is confirmed counts as served and, for a later run, as accepted."""
        what = self._served.confirm(applied.revision)
        if self._served.unwritten <= INLINE:
            self._served.write()
        self._refusals.memory_suffices()
        words = ", ".join(dict.fromkeys(what)) or "nothing"
        record = ChangeRecord(time.time(), applied.revision, words, applied.records, applied.reloaded, applied.seconds)
        self.changes.append(record)
        if not self.ready.is_set():
            self.ready.set()
            gc.freeze()
            gc.enable()
        self._told.put_nowait(record)

    async def _tell(self) -> None:
        """Hand changes, and None for new findings, to whoever shows them: while nothing is being translated."""
        while True:
            record = await self._told.get()
            if self._served.unwritten:
                await asyncio.to_thread(self._served.write)
            if self._on_change is not None:
                async with self.lock:
                    self._on_change(record)

    async def _spans(self) -> bytes:
        with contextlib.suppress(DataPlaneError):
            if self.applier is not None and self.ready.is_set():
                return await self.applier.plane.spans()
        return b""

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
                try:
                    self.request_metrics.add_block(block)
                except (ValueError, struct.error):
                    log.warning("a block of metrics was not understood", exc_info=True)
                await asyncio.sleep(0)


def constant_labels(options: Options) -> dict[str, str]:
    return {
        "controller_namespace": options.pod_namespace,
        "controller_class": options.controller_class,
        "controller_pod": options.pod_name,
    }


def _records(delta: Delta) -> list[Record]:
    records: list[Record] = [backend_record(name, value) for name, value in delta.backends.items()]
    records += [certificate_record(name, value) for name, value in delta.certificates.items()]
    return records + [host_record(name, value) for name, value in delta.hosts.items()]


def _facts(runtime: Runtime) -> NginxFacts:
    """What translation may know of the NGINX at hand."""
    features = runtime.features
    return NginxFacts(
        modules=tuple(Path(file).name for file in (*features.modules, *features.optional)),
        debug=features.debug,
        open_files=runtime.open_files,
        firewall_rules=bool(features.firewall.base),
        core_rules=bool(features.firewall.core_rules),
        wildcard=any(map(is_wildcard, runtime.http_addresses)),
    )


def _summary(touched: set[ObjectKey]) -> str:
    names = sorted(str(key) for key in touched)
    if len(names) <= 3:
        return ", ".join(names)
    return f"{', '.join(names[:3])} and {len(names) - 3} more"
