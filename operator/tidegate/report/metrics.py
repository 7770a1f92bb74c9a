"""Request metrics under the retired controller's names: blocks from the workers, added up, given out as samples.

The number of label sets is bounded. Beyond the bound the least recently used set goes into one set whose labels all
say `overflow`; how many did is counted.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from tidegate.render.runtime import MetricSettings

PREFIX = "nginx_ingress_controller_"
OVERFLOW = "overflow"
NAMES = (
    "requests",
    "request_duration_seconds",
    "response_duration_seconds",
    "header_duration_seconds",
    "connect_duration_seconds",
    "request_size",
    "response_size",
    "bytes_sent",
)
LABELS = ("host", "method", "path", "namespace", "ingress", "service", "canary", "status")


Rows = list[tuple[tuple[str, ...], list[float]]]


class Histogram(NamedTuple):
    name: str
    documentation: str
    bounds: tuple[float, ...]


class Series:
    """One label set: a row of numbers, laid out as `nginx-templates/lua/tidegate/metrics.lua` says."""

    __slots__ = ("row",)

    def __init__(self, width: int) -> None:
        self.row = [0.0] * width

    def add(self, other: Iterable[float]) -> None:
        self.row = [mine + theirs for mine, theirs in zip(self.row, other, strict=True)]


class RequestMetrics:
    """Adds up what the workers hand over. `constant` labels go on every sample.

    `is_live` tells whether an Ingress exists, by namespace and name: late counts of one that is gone are left out.
    """

    def __init__(
        self,
        settings: MetricSettings,
        constant: dict[str, str],
        is_live: Callable[[str, str], bool] = lambda namespace, name: True,
    ) -> None:
        self._settings = settings
        self._is_live = is_live
        self._constant = constant
        time, length, size = settings.time, settings.length, settings.size
        self._histograms = (
            Histogram(NAMES[1], "Seconds from the first byte of a request to the last answered", time),
            Histogram(NAMES[2], "Seconds that the backend took to answer", time),
            Histogram(NAMES[3], "Seconds until the head of the backend's answer", time),
            Histogram(NAMES[4], "Seconds for connecting to the backend", time),
            Histogram(NAMES[5], "Bytes of requests", length),
            Histogram(NAMES[6], "Bytes of answers", length),
            Histogram(NAMES[7], "Bytes of answers", size),
        )
        self._width = 1 + sum(len(item.bounds) + 2 for item in self._histograms)
        self._series: OrderedDict[tuple[str, ...], Series] = OrderedDict()
        self._overflow = Series(self._width)
        self.overflowed = 0

    def add_block(self, block: bytes) -> None:
        """Take over one block of a worker; one of another layout (an older generation) is left out."""
        head = block.index(b"\n")
        if int(block[:head]) != self._width:
            return
        row = struct.Struct(f"={self._width}d")
        position = head + 1
        while position < len(block):
            line_end = block.index(b"\n", position)
            start = line_end + 1 + int(block[position:line_end])
            labels = tuple(block[line_end + 1 : start].decode(errors="replace").split("\0"))
            self._add(labels, row.unpack_from(block, start))
            position = start + row.size

    def _add(self, labels: tuple[str, ...], row: tuple[float, ...]) -> None:
        if len(labels) != len(LABELS):
            self._overflow.add(row)
            self.overflowed += 1
            return
        if self._settings.status_classes:
            labels = (*labels[:-1], f"{labels[-1][:1]}xx")
        series = self._series.get(labels)
        if series is None:
            if labels[4] and not self._is_live(labels[3], labels[4]):
                return
            series = self._series[labels] = Series(self._width)
            self._make_room()
        self._series.move_to_end(labels)
        series.add(row)

    def _make_room(self) -> None:
        most = self._settings.max_series
        while most and len(self._series) > most:
            _, series = self._series.popitem(last=False)
            self._overflow.add(series.row)
            self.overflowed += 1

    def drop_ingress(self, namespace: str, name: str) -> None:
        """The series of an Ingress go with it."""
        for labels in [key for key in self._series if key[3] == namespace and key[4] == name]:
            del self._series[labels]

    def rows(self) -> Rows:
        """What was counted, as it stands: rows are never changed in place, so this may be used in another thread."""
        constant = tuple(self._constant.values())
        rows = [(constant + labels, series.row) for labels, series in self._series.items()]
        if any(self._overflow.row):
            rows.append((constant + (OVERFLOW,) * len(LABELS), self._overflow.row))
        return rows

    def collect(self, rows: Rows) -> Iterator[Metric]:
        """The samples of these rows."""
        names = (*self._constant, *LABELS)
        requests = CounterMetricFamily(f"{PREFIX}requests", "Requests served", labels=names)
        for labels, row in rows:
            requests.add_metric(labels, row[0])
        if NAMES[0] not in self._settings.excluded:
            yield _plain(requests, PREFIX + NAMES[0])
        offset = 1
        for histogram in self._histograms:
            if histogram.name in self._settings.excluded:
                offset += len(histogram.bounds) + 2
                continue
            family = HistogramMetricFamily(PREFIX + histogram.name, histogram.documentation, labels=names)
            for labels, row in rows:
                _add_histogram(family, labels, row, offset, histogram.bounds)
            yield family
            offset += len(histogram.bounds) + 2


def _plain(family: CounterMetricFamily, name: str) -> Metric:
    """A counter without the suffix `_total`, as the retired controller names it."""
    metric = Metric(name, family.documentation, "unknown")
    metric.samples = [sample._replace(name=name) for sample in family.samples]
    return metric


def _add_histogram(
    family: HistogramMetricFamily, labels: tuple[str, ...], row: list[float], offset: int, bounds: tuple[float, ...]
) -> None:
    total = 0.0
    buckets: list[tuple[str, float]] = []
    for number, bound in enumerate(bounds):
        total += row[offset + number]
        buckets.append((f"{bound:g}", total))
    total += row[offset + len(bounds)]
    if total:
        family.add_metric(labels, [*buckets, ("+Inf", total)], row[offset + len(bounds) + 1])
