"""What is measured about certificates. They can be tens of thousands and rarely change, so what was said is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from tidegate.model import CertificateInfo
from tidegate.report.gathered import Gathered

EXPIRY = "nginx_ingress_controller_ssl_expire_time_seconds"
FACTS = "nginx_ingress_controller_ssl_certificate_info"

Row = tuple[str, CertificateInfo]  # a host and what it shows
_Key = tuple[str, str, str]


def _families(rows: Iterable[Row], controller_class: str) -> tuple[Metric, Metric]:
    names = ("namespace", "class", "host", "secret_name", "identifier")
    expiry = GaugeMetricFamily(EXPIRY, "When a certificate expires", labels=names)
    about = ("issuer_organization", "issuer_common_name", "serial_number", "public_key_algorithm")
    facts = GaugeMetricFamily(FACTS, "What a certificate is", labels=(*names, *about))
    for host, info in rows:
        namespace, _, secret = info.secret.partition("/")
        serial = str(int(info.serial, 16))
        labels = (namespace, controller_class, host, secret, f"-{serial}")
        expiry.add_metric(labels, info.not_after)
        facts.add_metric((*labels, info.organization, info.issuer, serial, info.algorithm), 1)
    return expiry, facts


def _lines(family: Metric) -> list[str]:
    """A family in the text format: what it is (two lines), and then a line for each sample."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Gathered([family]))
    text: str = generate_latest(registry).decode()
    return [f"{line}\n" for line in text.split("\n")[:-1]]  # names may hold what else ends a line in Unicode


def _key(row: Row) -> _Key:
    host, info = row
    return host, info.secret, info.fingerprint


class CertificateSamples:
    """The text of both metrics. Only rows that are new since the last time are written anew."""

    def __init__(self, controller_class: str) -> None:
        self._class = controller_class
        self._written: dict[_Key, tuple[str, str]] = {}
        self._heads = tuple("".join(_lines(family)) for family in _families((), controller_class))

    def text(self, rows: Sequence[Row]) -> str:
        """Both metrics in the text format, with their heads."""
        keys = [_key(row) for row in rows]
        new = [row for row, key in zip(rows, keys, strict=True) if key not in self._written]
        expiry, facts = (_lines(family)[2:] for family in _families(new, self._class))
        self._written |= dict(zip(map(_key, new), zip(expiry, facts, strict=True), strict=True))
        if len(self._written) > 2 * len(keys):  # most of what was kept is gone
            self._written = {key: self._written[key] for key in keys}
        found = [self._written[key] for key in keys]
        parts = ("".join(pair[place] for pair in found) for place in (0, 1))
        return "".join(head + part for head, part in zip(self._heads, parts, strict=True))
