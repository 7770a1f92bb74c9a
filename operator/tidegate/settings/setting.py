"""One setting: everything the program knows about an annotation or a ConfigMap key, declared once.

The parser, validation, provenance, `tidegate explain`, `tidegate annotations` and the reference page all
read these declarations; no other module knows a setting's grammar or default.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec

from tidegate.findings import ObjectKey
from tidegate.settings.types import InvalidValue, ValueType

T = TypeVar("T")


class Risk(StrEnum):
    """Risk classes of the retired controller, lowest first; `annotations-risk-level` caps them."""

    LOW = "Low"
    MEDIUM = "Medium"
    HIGH = "High"
    CRITICAL = "Critical"

    @property
    def rank(self) -> int:
        return _RANKS[self]


_RANKS = {risk: rank for rank, risk in enumerate(Risk)}


class Scope(StrEnum):
    """Where a value takes effect (reference: annotations 0.1)."""

    LOCATION = "location"  # every path of the Ingress that carries it
    SERVER = "server"  # the whole host; the oldest Ingress that sets it wins
    UPSTREAM = "upstream"  # the Service port; the oldest Ingress that uses it wins
    GLOBAL = "global"


class OnInvalid(StrEnum):
    """What an invalid value does (contract 3)."""

    DEFAULT = "default"  # the default is used, the Ingress is degraded
    DENY = "deny"  # the paths it covers answer 503, the Ingress is degraded
    CLOSED = "closed"  # the strict variant is used, the Ingress is degraded
    REJECT = "reject"  # the revision of the Ingress is not applied


class Becomes(StrEnum):
    """What carries the value out."""

    DATA = "data"  # route data: a change of the value never reloads, its first use may
    POLICY = "policy"  # NGINX configuration: a never-seen value reloads once
    GLOBAL = "global configuration"  # the http level: a change reloads once
    CONTROL = "control plane"  # interpreted before anything reaches NGINX
    NOTHING = "nothing"


class Support(StrEnum):
    """Whether the program carries a setting out."""

    SUPPORTED = "supported"
    NOT_YET = "not yet supported"
    DEAD = "accepted and ignored"  # has no effect in the retired controller either


@dataclass(frozen=True)
class Setting(Generic[T]):
    """An annotation (`name` without prefix) or a ConfigMap key.

    `default` is used when the annotation is absent and no ConfigMap key gives one; `configmap_key` names the key
    that does. `security` marks what must never be dropped silently: such a setting that is not supported yet
    denies its paths. `aliases` are further names for the same annotation, tried in order when the first is absent.
    `empty_is_set` marks the few annotations for which an explicit empty value is not the same as an absent one.

    `on_misfit` is what a value of the right characters that means nothing does (None: as any invalid value).
    `fallback` takes the place of an invalid value where that is not the default: the strict variant for `closed`.
    `inert` lists values, besides the default and the fallback, that ask for nothing, so that it does not matter
    whether the setting is supported. `exact` says that blanks around an annotation's value make it invalid.
    """

    name: str
    type: ValueType[T]
    default: T
    scope: Scope
    risk: Risk
    on_invalid: OnInvalid
    becomes: Becomes
    doc: str
    configmap_key: str | None = None
    security: bool = False
    support: Support = Support.SUPPORTED
    aliases: tuple[str, ...] = ()
    empty_is_set: bool = False
    group: str = ""
    note: str = ""  # how it differs from the retired controller, if it does
    on_misfit: OnInvalid | None = None
    fallback: T | None = None
    inert: tuple[T, ...] = ()
    exact: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Its name and its aliases, in the order in which they count."""
        return (self.name, *self.aliases)

    def outcome(self, problem: InvalidValue) -> OnInvalid:
        """What this invalid value does."""
        return self.on_misfit if problem.misfit and self.on_misfit is not None else self.on_invalid

    def is_inert(self, value: T) -> bool:
        """Whether the value asks for nothing that would not be so without it."""
        return value == self.default or value in self.inert or (self.fallback is not None and value == self.fallback)

    @property
    def is_supported(self) -> bool:
        """Whether the program carries it out."""
        return self.support is Support.SUPPORTED


class OriginKind(StrEnum):
    """What a value comes from."""

    DEFAULT = "default"
    CONFIGMAP = "configmap"
    ANNOTATION = "annotation"


class Origin(msgspec.Struct, frozen=True):
    """Where a value came from: nothing but the program, a ConfigMap key, or an annotation of `object`."""

    kind: OriginKind
    object: ObjectKey | None = None
    field: str = ""

    def __str__(self) -> str:
        if self.object is None:
            return str(self.kind)
        return f"{self.object} {self.field}"


DEFAULT_ORIGIN = Origin(OriginKind.DEFAULT)


@dataclass(frozen=True)
class Value(Generic[T]):
    """A parsed value that remembers where it came from."""

    value: T
    origin: Origin = DEFAULT_ORIGIN


AnySetting = Setting[Any]
