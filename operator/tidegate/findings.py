"""Findings: what Tidegate has to say about an object, in the words shown to users.

A finding is data. Events, the admin API, `tidegate check` and the metrics all read the same ones.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec


def brief(text: str) -> str:
    """Text of a user, in quotes and bounded, for a message."""
    return repr(text if len(text) <= 120 else text[:117] + "...")


class ObjectKey(NamedTuple):
    """Which object: `namespace` is empty for kinds without one."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {place}"


class Severity(StrEnum):
    """How bad: an error means that something asked for is not in force."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Finding(msgspec.Struct, frozen=True, order=True, gc=False):
    """One thing worth saying about one field of one object.

    `reason` is CamelCase and stable (scripts match on it); `field` is a path such as
    `spec.rules[0].host` or `metadata.annotations[nginx.ingress.kubernetes.io/limit-rps]`;
    `message` says what was found and what is allowed; `place` is `file:line:column` where known.
    """

    object: ObjectKey
    field: str
    severity: Severity
    reason: str
    message: str
    place: str = ""

    @property
    def words(self) -> str:
        """Field and message, for where the object is known."""
        return f"{self.field}: {self.message}" if self.field else self.message
