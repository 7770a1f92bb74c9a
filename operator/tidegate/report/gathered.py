"""Samples for a registry of prometheus_client, which wants to ask for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import Metric


class Gathered:
    """Samples that were gathered before; the registry may ask in any thread."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)
