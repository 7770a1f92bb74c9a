"""The text of `/metrics`: the retired controller's names, and `tidegate_*` for what it never told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import zlib
from collections import Counter
from collections.abc import Callable

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from tidegate import __version__
from tidegate.agent.client import AgentError
from tidegate.agent.protocol import ProcessUsage
from tidegate.apply.dataplane import DataPlaneError, ZoneFill
from tidegate.control import ControlPlane, constant_labels
from tidegate.findings import ObjectKey
from tidegate.report.certificate_metrics import CertificateSamples, Row
from tidegate.report.gathered import Gathered
from tidegate.report.looplag import LoopLag
from tidegate.report.metrics import Rows
from tidegate.report.states import State, ingress_states

PREFIX = "nginx_ingress_controller_"

Orphan = tuple[str, str, str]  # namespace, Ingress, what it lacks


def _gauge(name: str, text: str, labels: dict[str, str], value: float) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=tuple(labels))
    family.add_metric(tuple(labels.values()), value)
    return family


def _untyped_counter(name: str, text: str, labels: dict[str, str], value: float) -> Metric:
    metric = Metric(name, text, "counter")
    metric.add_sample(name, labels, value)
    metric.type = "unknown"
    return metric


def _connections(text: str, constant: dict[str, str]) -> list[Metric]:
    numbers = [int(item) for item in re.findall(r"\d+", text)]
    if len(numbers) != 7:
        return []
    active, accepted, handled, requests, reading, writing, waiting = numbers
    prefix = f"{PREFIX}nginx_process_"
    gauge = GaugeMetricFamily(f"{prefix}connections", "Client connections by state", labels=(*constant, "state"))
    for state, value in (("active", active), ("reading", reading), ("writing", writing), ("waiting", waiting)):
        gauge.add_metric((*constant.values(), state), value)
    total = CounterMetricFamily(f"{prefix}connections_total", "Client connections", labels=(*constant, "state"))
    for state, value in (("accepted", accepted), ("handled", handled)):
        total.add_metric((*constant.values(), state), value)
    count = CounterMetricFamily(f"{prefix}requests_total", "Client requests", labels=tuple(constant))
    count.add_metric(tuple(constant.values()), requests)
    return [gauge, total, count]


def _processes(usage: ProcessUsage, constant: dict[str, str]) -> list[Metric]:
    rows = (
        ("num_procs", "NGINX processes", usage.processes),
        ("cpu_seconds_total", "CPU seconds used", usage.cpu_seconds),
        ("read_bytes_total", "Bytes read from disk", usage.read_bytes),
        ("write_bytes_total", "Bytes written to disk", usage.write_bytes),
        ("resident_memory_bytes", "Bytes of memory in use", usage.resident_bytes),
        ("virtual_memory_bytes", "Bytes of memory mapped", usage.virtual_bytes),
        ("oldest_start_time_seconds", "When the oldest process started", usage.oldest_start),
    )
    found: list[Metric] = []
    for name, text, value in rows:
        kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
        family = kind(f"{PREFIX}nginx_process_{name}", text, labels=tuple(constant))
        family.add_metric(tuple(constant.values()), value)
        found.append(family)
    return found


def _controller(control: ControlPlane, constant: dict[str, str]) -> list[Metric]:
    applier = control.applier
    if applier is None:
        return []
    settings = repr(control.translator.globals).encode()
    build = {**constant, "release": __version__, "build": "", "repository": ""}
    return [
        _gauge(f"{PREFIX}build_info", "The version that runs", build, 1),
        _gauge(
            f"{PREFIX}config_hash",
            "A number for the running configuration, 0 after a failure",
            constant,
            float(zlib.crc32(settings)) if applier.loader.last_reload_successful else 0,
        ),
        _gauge(
            f"{PREFIX}config_last_reload_successful",
            "Whether the last reload worked",
            constant,
            float(applier.loader.last_reload_successful),
        ),
        _gauge(
            f"{PREFIX}config_last_reload_successful_timestamp_seconds",
            "When the last successful reload was",
            constant,
            applier.loader.last_success,
        ),
        _untyped_counter(f"{PREFIX}success", "Reloads", constant, applier.loader.reloads),
        _untyped_counter(f"{PREFIX}errors", "Configurations that NGINX refused", constant, applier.loader.failures),
    ]


def _orphans(control: ControlPlane, constant: dict[str, str], seen: set[Orphan]) -> Metric:
    """`seen`, which this changes, are those of before: each is told until its Ingress goes."""
    names = (*constant, "namespace", "ingress", "type")
    text = "1: a Service or its endpoints are missing, 0: no longer"
    family = GaugeMetricFamily(f"{PREFIX}orphan_ingress", text, labels=names)
    backends = control.translator.backends
    now: set[Orphan] = set()
    for host in control.translator.hosts.values():
        for route in host.routes:
            backend = backends.get(route.backend)
            if backend is None or backend.endpoints:
                continue
            namespace, _, rest = route.backend.partition("/")
            service = control.store.service(namespace, rest.rpartition(":")[0])
            kind = "no-endpoint" if service else "no-service"
            now.add((route.labels.namespace, route.labels.ingress, kind))
    seen |= now
    seen -= {row for row in seen if ObjectKey("Ingress", row[0], row[1]) not in control.translator.views}
    for row in sorted(seen):
        family.add_metric((*constant.values(), *row), float(row in now))
    return family


def _zones(zones: dict[str, ZoneFill]) -> list[Metric]:
    """How full the zones of rate and connection limits are: a full one forgets the clients seen longest ago."""
    size = GaugeMetricFamily("tidegate_limit_zone_bytes", "Shared memory for counters of a limit", labels=("zone",))
    free = GaugeMetricFamily("tidegate_limit_zone_free_bytes", "Free memory for counters of a limit", labels=("zone",))
    for name, fill in sorted(zones.items()):
        size.add_metric((name,), fill.bytes)
        free.add_metric((name,), fill.free)
    return [size, free]


def _loop_lag(lag: LoopLag) -> Metric:
    family = HistogramMetricFamily("tidegate_loop_lag_seconds", "How late the operator's event loop was")
    totals = itertools.accumulate(lag.counts)
    bounds = [*(f"{bound:g}" for bound in lag.BOUNDS), "+Inf"]
    family.add_metric((), list(zip(bounds, map(float, totals), strict=True)), lag.total)
    return family


def _own(control: ControlPlane) -> list[Metric]:
    applier = control.applier
    states = Counter(
        row.state for row in ingress_states(control.translator, control.served_generations, control.revision)
    )
    family = GaugeMetricFamily("tidegate_ingresses", "Ingresses by what became of them", labels=("state",))
    for state in State:
        family.add_metric((state.value,), states.get(state, 0))
    findings = Counter((item.severity.value, item.reason) for item in control.translator.findings())
    found = GaugeMetricFamily("tidegate_findings", "Findings by severity and reason", labels=("severity", "reason"))
    for (severity, reason), count in sorted(findings.items()):
        found.add_metric((severity, reason), count)
    capacity, free = applier.memory if applier else (0, 0)
    overflow = control.request_metrics.overflowed
    return [
        family,
        found,
        _gauge("tidegate_revision_wanted", "The revision wanted", {}, control.revisions.wanted),
        _gauge("tidegate_revision_running", "The revision running", {}, control.revisions.running),
        _gauge("tidegate_data_capacity_bytes", "Shared memory for routes", {}, capacity),
        _gauge("tidegate_data_free_bytes", "Free shared memory for routes", {}, free),
        _loop_lag(control.loop_lag),
        _gauge("tidegate_loop_hold_seconds_max", "The longest hold of the event loop", {}, control.loop_lag.longest),
        _untyped_counter("tidegate_metrics_overflow_total", "Label sets that were merged", {}, overflow),
    ]


_COUNTERS = (
    f"{PREFIX}requests",
    f"{PREFIX}success",
    f"{PREFIX}errors",
    f"{PREFIX}check_success",
    f"{PREFIX}check_errors",
)


def _with_counters(text: bytes) -> bytes:
    """With the type of counters whose names, the retired controller's, lack the suffix that the library insists on."""
    for name in _COUNTERS:
        text = text.replace(f"# TYPE {name} untyped\n".encode(), f"# TYPE {name} counter\n".encode())
    return text


More = Callable[[dict[str, str]], list[Metric]]


class Exposition:
    """All samples of a control plane as they stand. `more` gives further ones, from the constant labels."""

    def __init__(self, control: ControlPlane, more: More | None = None) -> None:
        self._control, self._more = control, more
        self._certificates = CertificateSamples(control.options.controller_class)
        self._orphans: set[Orphan] = set()
        self._writing = asyncio.Lock()

    async def text(self, *, leads: bool) -> bytes:
        """The samples can be many: they are read and written in a worker thread, and no change waits for the writing.

        Certificates are told by the leader alone.
        """
        control, constant = self._control, constant_labels(self._control.options)
        families: list[Metric] = []
        if control.applier is not None and control.ready.is_set():
            with contextlib.suppress(DataPlaneError):
                families += _connections(await control.applier.plane.connections(), constant)
                families += _zones(await control.applier.plane.zones())
            with contextlib.suppress(AgentError):
                families += _processes(await control.agents.usage(), constant)
        async with self._writing:
            async with control.lock:  # what is read here does not change meanwhile
                families += self._more(constant) if self._more is not None else []
                families += _controller(control, constant)
                rows = control.request_metrics.rows()
                certificates = await asyncio.to_thread(self._read, families, constant, leads)
            return await asyncio.to_thread(self._write, families, rows, certificates)

    def _read(self, families: list[Metric], constant: dict[str, str], leads: bool) -> tuple[Row, ...] | None:
        families.append(_orphans(self._control, constant, self._orphans))
        families.extend(_own(self._control))
        return self._control.certificates if leads else None

    def _write(self, families: list[Metric], rows: Rows, certificates: tuple[Row, ...] | None) -> bytes:
        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        registry.register(Gathered([*families, *self._control.request_metrics.collect(rows)]))
        text = _with_counters(generate_latest(registry))
        if certificates is not None:
            text += self._certificates.text(certificates).encode()
        return text
