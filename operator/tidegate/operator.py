"""The operator: a control plane whose source is a cluster, and which tells the cluster of its work."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client.core import GaugeMetricFamily, Metric

from tidegate.admission.certificate import FileKeeper, Keeper, SecretKeeper, SecretPlan
from tidegate.admission.counts import AdmissionCounts
from tidegate.admission.judge import Judge
from tidegate.admission.metrics import admission_families
from tidegate.admission.server import AdmissionServer
from tidegate.cluster import Reporter
from tidegate.control import ControlPlane
from tidegate.endpointpools.cluster import ClusterEye, ClusterWriter
from tidegate.endpointpools.controller import EndpointPools
from tidegate.endpointpools.guard import Guard, IPNetwork
from tidegate.endpointpools.source import PooledSource
from tidegate.endpointpools.verdicts import Happening
from tidegate.findings import ObjectKey
from tidegate.kubernetes import kinds
from tidegate.kubernetes.addresses import Published
from tidegate.kubernetes.client import Access, ApiError, Kubernetes, NotFoundError, UnavailableError
from tidegate.kubernetes.events import Note, Recorder
from tidegate.kubernetes.leader import Election, Role
from tidegate.kubernetes.status import StatusWriter
from tidegate.kubernetes.topology import zone_of
from tidegate.report.changes import ChangeRecord
from tidegate.resources.model import Namespace
from tidegate.sources.base import Source
from tidegate.sources.classes import Classes
from tidegate.sources.kubernetes import KubernetesSource, Scope
from tidegate.translate.acceptance import Hold
from tidegate.translate.options import Options

log = logging.getLogger("tidegate")

T = TypeVar("T")


class OperatorError(Exception):
    """Why the operator cannot start."""


@dataclass(frozen=True)
class WebhookOptions:
    """Where the webhook listens, and its certificate: in files, or in a Secret of its own."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    plan: SecretPlan | None = None


@dataclass(frozen=True)
class PoolOptions:
    """Endpoint pools: where they may lead (none: wherever nothing speaks against it), and who resolves names."""

    allowed: tuple[IPNetwork, ...] = ()
    dns_servers: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class OperatorOptions:
    """The flags of `tidegate run` that concern the cluster. Durations are seconds; `election` None: there is none.

    `topology`: the zone of the pod's node counts.
    """

    access: Access
    pod: ObjectKey
    published: Published
    configmaps: frozenset[ObjectKey]
    update_status: bool = True
    clear_status: bool = True
    status_interval: float = 60
    election: str | None = "ingress-controller-leader"
    election_ttl: float = 30
    sync_events: bool = True
    census_every: float = 600
    webhook: WebhookOptions | None = None
    pools: PoolOptions | None = None
    topology: bool = False


class Operator:
    """Made by `connect`; `attach` the control plane, `prepare`, then run the `companions` beside it."""

    def __init__(self, client: Kubernetes, options: OperatorOptions, translation: Options) -> None:
        self._client, self._options = client, options
        classes = Classes(
            translation.controller_class, translation.ingress_class, by_name=translation.ingress_class_by_name
        )
        objects = (*options.configmaps, *translation.objects)
        published = translation.publish_service
        own = published is not None and published.namespace == options.pod.namespace
        scope = Scope(
            translation.watch_namespace,
            tuple(dict.fromkeys(key.namespace for key in objects)),
            replicas=options.pod.namespace if own else "",
            namespaces_matter=translation.namespace_selector is not None,
        )
        self._source = KubernetesSource(
            options.access,
            client,
            classes,
            scope,
            more=(kinds.ENDPOINT_POOL,) if options.pools is not None else (),
            census_every=options.census_every,
        )
        self.source: Source = self._source
        self.pools: EndpointPools | None = None
        self._eye: ClusterEye | None = None
        if options.pools is not None:
            self._keep_pools(options.pools, translation)
        self.election: Election | None = None
        if options.election is not None:
            self.election = Election(
                client, options.pod.namespace, options.election, options.pod.name, options.election_ttl
            )
        self._recorder = Recorder(client, options.pod.name, self._role)
        self._status: StatusWriter | None = None
        if self.election is not None and options.update_status:
            self._status = StatusWriter(
                client,
                self.election,
                options.published,
                self._statuses,
                interval=options.status_interval,
                clear_at_end=options.clear_status,
            )
        self._reporter = Reporter(
            self._recorder,
            self._status,
            options.pod,
            options.configmaps,
            objects=options.sync_events,
        )
        self._control: ControlPlane | None = None
        self._translation = translation
        self._counts = AdmissionCounts()

    @classmethod
    async def connect(cls, options: OperatorOptions, translation: Options) -> Operator:
        """Asks nothing of the API server yet. Raises ConnectError."""
        return cls(await Kubernetes.connect(options.access), options, translation)

    async def prepare(self) -> None:
        """Before the control plane runs: waits for the API server. Raises OperatorError for what has to be there."""
        client, options = self._client, self._options
        await _check(client, options, self._translation)
        self._reporter.pod_uid = await _uid_of(client, options.pod)
        if options.topology and self._control is not None:
            self._control.translator.live_in(await zone_of(client, options.pod))

    def attach(self, control: ControlPlane) -> None:
        self._control = self._reporter.control = control

    def and_then(self, show: Callable[[ChangeRecord | None], None]) -> Callable[[ChangeRecord | None], None]:
        """The control plane's `on_change`: what is told to the cluster, and then shown."""

        def changed(record: ChangeRecord | None) -> None:
            self._reporter.changed(record)
            show(record)

        return changed

    def leads(self) -> bool:
        return self._role() is Role.LEADER

    def families(self, constant: dict[str, str]) -> list[Metric]:
        """Samples of what only an operator has."""
        found = admission_families(self._counts, constant) if self._options.webhook is not None else []
        if self.election is not None:
            names = (*constant, "name")
            family = GaugeMetricFamily(
                "nginx_ingress_controller_leader_election_status", "1: this one leads", labels=names
            )
            family.add_metric((*constant.values(), self.election.name), float(self.leads()))
            found.append(family)
        return found

    def companions(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What runs beside the control plane, by what it does."""
        found: dict[str, Callable[[], Awaitable[None]]] = {
            "writing Events": self._recorder.run,
            "looking for what to tell": self._reporter.run,
        }
        webhook, control, election = self._options.webhook, self._control, self.election
        if webhook is not None and control is not None:
            found["the webhook"] = lambda: self._webhook(webhook, control).run()
        if election is not None:
            found["leader election"] = lambda: self._lead(election)
        if self.pools is not None and self._eye is not None:
            found["looking at what pools have in the cluster"] = self._eye.run
        return found

    def _keep_pools(self, options: PoolOptions, translation: Options) -> None:
        """Endpoint pools: told of everything, and acted on while this process leads and has looked around."""
        selector = translation.namespace_selector

        def serves(namespace: Namespace | None) -> bool:
            return selector is None or (namespace is not None and selector.matches(namespace.metadata.labels))

        def note(owner: ObjectKey, uid: str, happening: Happening) -> None:
            if self._options.sync_events:
                self._recorder.note(Note(owner, uid, *happening))

        self.pools = EndpointPools(
            ClusterWriter(self._client),
            lambda is_service: Guard(options.allowed, is_service=is_service),
            dns_servers=options.dns_servers,
            leads=lambda: self.leads() and self._eye is not None and self._eye.seen,
            serves=serves,
            note=note,
        )
        self._eye = ClusterEye(self._client, self.pools, translation.watch_namespace, self._options.pod)
        self.source = PooledSource(self._source, self.pools)

    async def close(self) -> None:
        await self._client.close()

    async def _lead(self, election: Election) -> None:
        """Take part in the election; the last one's addresses are taken back before the lease is released."""
        voting = asyncio.create_task(election.run())
        writing = asyncio.create_task(self._status.run()) if self._status is not None else None
        try:
            await asyncio.wait({voting})  # which, unlike awaiting it, does not cancel it
            voting.result()
        finally:
            if writing is not None and self._status is not None:
                writing.cancel()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(10):
                        await self._status.clear()
            voting.cancel()
            await asyncio.gather(voting, *([writing] if writing else []), return_exceptions=True)

    def _webhook(self, options: WebhookOptions, control: ControlPlane) -> AdmissionServer:
        keeper: Keeper
        if options.certificate is not None and options.key is not None:
            keeper = FileKeeper(options.certificate, options.key)
        else:
            assert options.plan is not None
            keeper = SecretKeeper(self._client, options.plan, self.leads)
        judge = Judge(control.store, control.translator, self._translation)
        return AdmissionServer(judge, keeper, options.host, options.port, self._counts)

    def _role(self) -> Role:
        return self.election.role if self.election is not None else Role.LEADER

    def _statuses(self) -> list[tuple[ObjectKey, Any]]:
        if self._control is None:
            return []
        views = list(self._control.translator.views.items())
        return [(key, self._source.status.get(key, [])) for key, view in views if view.hold is Hold.NONE]


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer, as soon as the API server can give one."""
    while True:
        try:
            return await ask()
        except UnavailableError as error:
            log.warning("waiting for the API server: %s", error)


async def _check(client: Kubernetes, options: OperatorOptions, translation: Options) -> None:
    """What the retired controller calls fatal at the start."""
    wanted = [
        ("--default-backend-service", kinds.SERVICE, translation.default_backend),
        ("--publish-service", kinds.SERVICE, options.published.service),
        ("--watch-namespace", kinds.NAMESPACE, ObjectKey("Namespace", "", translation.watch_namespace)),
    ]
    for flag, kind, key in wanted:
        if key is None or not key.name:
            continue
        try:
            await _patiently(functools.partial(client.get, kind, key.namespace, key.name))
        except NotFoundError as error:
            raise OperatorError(f"{flag}: there is no {key}") from error
        except ApiError as error:
            raise OperatorError(f"{flag}: {error}") from error


async def _uid_of(client: Kubernetes, pod: ObjectKey) -> str:
    """Empty outside of a pod."""
    try:
        found = await _patiently(functools.partial(client.get, kinds.POD, pod.namespace, pod.name))
    except ApiError:
        return ""
    return str(found["metadata"]["uid"])
