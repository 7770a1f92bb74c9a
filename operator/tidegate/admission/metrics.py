"""Samples of the webhook, and of the election: for the admin port."""

from __future__ import annotations

from prometheus_client.core import GaugeMetricFamily, Metric

from tidegate.admission.counts import AdmissionCounts

PREFIX = "nginx_ingress_controller_"


def admission_families(counts: AdmissionCounts, constant: dict[str, str]) -> list[Metric]:
    """What was let in and refused, and what the last review took (reference: behaviour 14.4)."""
    found: list[Metric] = []
    for index, (name, text) in enumerate((("check_success", "Reviews let in"), ("check_errors", "Reviews refused"))):
        family = Metric(f"{PREFIX}{name}", text, "counter")
        for (namespace, ingress), both in counts.checks.items():
            if both[index]:
                labels = {**constant, "namespace": namespace, "ingress": ingress}
                family.add_sample(f"{PREFIX}{name}", labels, both[index])
        family.type = "unknown"
        found.append(family)
    tested = 1.0 if counts.checks else 0.0
    rows = (
        ("tested_ingresses", "Ingresses looked at in the last review", tested),
        ("tested_duration", "Seconds that the last review took", counts.duration),
        ("render_ingresses", "Ingresses rendered in the last review", 0.0),
        ("render_duration", "Seconds of rendering in the last review", 0.0),
        ("config_size", "Bytes of the last review", float(counts.size)),
        ("roundtrip_duration", "Seconds from request to answer of the last review", counts.duration),
    )
    for name, text, value in rows:
        gauge = GaugeMetricFamily(f"{PREFIX}admission_{name}", text, labels=tuple(constant))
        gauge.add_metric(tuple(constant.values()), value)
        found.append(gauge)
    return found
