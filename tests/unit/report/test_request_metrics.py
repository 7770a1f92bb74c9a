"""What of the counted requests is told, and under which labels."""

from __future__ import annotations

import struct

from tidegate.render.runtime import MetricSettings
from tidegate.report.metrics import RequestMetrics


def counted(settings: MetricSettings, *statuses: str) -> dict[str, set[str]]:
    """The families that have samples, each with the statuses it has them for; one request for each status."""
    metrics = RequestMetrics(settings, {"pod": "p"})
    width = 1 + sum(len(bounds) + 2 for bounds in [settings.time] * 4 + [settings.length] * 2 + [settings.size])
    for status in statuses:
        labels = "\0".join(("h.test", "GET", "/", "ns", "web", "echo", "", status)).encode()
        row = struct.pack(f"={width}d", *([1.0] * width))
        metrics.add_block(b"%d\n%d\n%s%s" % (width, len(labels), labels, row))
    return {
        family.name.removeprefix("nginx_ingress_controller_"): {sample.labels["status"] for sample in family.samples}
        for family in metrics.collect(metrics.rows())
    }


def test_all_request_metrics_are_told_by_status() -> None:
    found = counted(MetricSettings(), "200", "404")
    assert len(found) == 8
    assert set(map(frozenset, found.values())) == {frozenset({"200", "404"})}


def test_metrics_that_are_excluded_are_not_told() -> None:
    found = counted(MetricSettings(excluded=("request_size", "requests")), "200")
    assert {"request_size", "requests"} & found.keys() == set()
    assert len(found) == 6


def test_statuses_can_be_told_by_class() -> None:
    found = counted(MetricSettings(status_classes=True), "200", "204", "404")
    assert found["requests"] == {"2xx", "4xx"}
