"""What a translation changed."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from tidegate.findings import ObjectKey
from tidegate.model import Backend, Certificate, Host, Passthrough, Stream
from tidegate.resources.model import Ingress

T = TypeVar("T")


class Delta(msgspec.Struct, frozen=True):
    """What an update changed: values by name, None for what is gone."""

    hosts: dict[str, Host | None]
    backends: dict[str, Backend | None]
    certificates: dict[str, Certificate | None]
    accepted: dict[ObjectKey, Ingress | None]
    views: frozenset[ObjectKey]
    globals_changed: bool
    judged: frozenset[ObjectKey] = frozenset()  # Ingresses of which there may be something else to say than before
    streams: dict[str, Stream | None] = {}
    passthrough: dict[str, Passthrough | None] = {}

    @property
    def empty(self) -> bool:
        values = self.hosts or self.backends or self.certificates or self.streams or self.passthrough
        return not (values or self.views or self.globals_changed)

    def followed_by(self, later: Delta) -> Delta:
        """What both changed together."""
        return Delta(
            self.hosts | later.hosts,
            self.backends | later.backends,
            self.certificates | later.certificates,
            self.accepted | later.accepted,
            self.views | later.views,
            self.globals_changed or later.globals_changed,
            self.judged | later.judged,
            self.streams | later.streams,
            self.passthrough | later.passthrough,
        )


def note(changes: dict[str, T | None], published: dict[str, T], name: str, value: T | None) -> None:
    """Publish a value, None to withdraw it; what is different now is added to `changes`."""
    if published.get(name) == value:
        return
    changes[name] = value
    if value is None:
        del published[name]
    else:
        published[name] = value
