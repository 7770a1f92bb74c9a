"""The settings of the ConfigMap, parsed: the defaults of every Ingress."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, TypeVar, cast

from tidegate.findings import Finding, ObjectKey
from tidegate.model import Directive
from tidegate.resources.model import ConfigMap
from tidegate.settings import configmap as cm
from tidegate.settings import messages
from tidegate.settings.directives import WordPair, defined_variables
from tidegate.settings.lists import BlankList, NextUpstream, WordList
from tidegate.settings.log_types import AccessLogParameters
from tidegate.settings.nginx_types import (
    BufferPair,
    CpuAffinity,
    Duration,
    LogFormat,
    LogTarget,
    MimeType,
    WorkerCount,
)
from tidegate.settings.registry import find_configmap_key, similar_configmap_key
from tidegate.settings.setting import (
    DEFAULT_ORIGIN,
    AnySetting,
    OnInvalid,
    Origin,
    OriginKind,
    Setting,
    Support,
    Value,
)
from tidegate.settings.texts import HashExpression
from tidegate.settings.tls_types import Curves
from tidegate.settings.types import NOTHING, InvalidValue, OnOff, OptionalSize, Size

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class GlobalSettings:
    """What the ConfigMap says; immutable, and equal when it says the same.

    `source` is the ConfigMap, None if there is none. `denied` names its security keys that are invalid or not
    supported yet, and are asked for: what they cover has to answer 503.
    """

    source: ObjectKey | None = None
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    denied: frozenset[str] = frozenset()

    def get(self, setting: Setting[T]) -> T:
        """The value of a ConfigMap key, else its default."""
        return cast(T, self.values.get(setting.name, setting.default))

    def value(self, setting: Setting[T]) -> Value[T]:
        """The same with its origin."""
        return self._value(setting.name, setting.default)

    def is_set(self, setting: AnySetting) -> bool:
        """Whether the ConfigMap has a usable value for the key."""
        return setting.name in self.values

    def default(self, annotation: Setting[T]) -> T:
        """What an annotation is without being set: the value of the key that it overrides, else its default."""
        if annotation.configmap_key is None:
            return annotation.default
        return cast(T, self.values.get(annotation.configmap_key, annotation.default))

    def default_value(self, annotation: Setting[T]) -> Value[T]:
        """The same with its origin."""
        if annotation.configmap_key is None:
            return Value(annotation.default)
        return self._value(annotation.configmap_key, annotation.default)

    def _value(self, key: str, default: T) -> Value[T]:
        if key not in self.values:
            return Value(default, DEFAULT_ORIGIN)
        return Value(cast(T, self.values[key]), Origin(OriginKind.CONFIGMAP, self.source, _field(key)))

    @cached_property
    def own_variables(self) -> frozenset[str]:
        """The variables of requests that the snippets of the ConfigMap define."""
        return defined_variables(line for snippet in _SNIPPETS for line in self.get(snippet))

    @cached_property
    def _content(self) -> tuple[ObjectKey | None, frozenset[tuple[str, Any]], frozenset[str]]:
        return self.source, frozenset(self.values.items()), self.denied

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GlobalSettings) and self._content == other._content

    @cached_property
    def _hash(self) -> int:
        return hash(self._content)

    def __hash__(self) -> int:
        return self._hash


def _field(key: str) -> str:
    return f"data[{messages.written(key)}]"


_AS_WRITTEN: Final = (
    *(Size, OptionalSize, OnOff, Duration, BufferPair, WordList, NextUpstream, BlankList, WordPair),
    *(Curves, LogTarget, MimeType, WorkerCount, CpuAffinity, AccessLogParameters),
)
"""Values that the retired controller wrote into NGINX's configuration as they were: a line end there is a blank."""
_BLANKS: Final = re.compile("[ \\t\\r\\n]+")
_SNIPPETS: Final = (cm.HTTP_SNIPPET, cm.SERVER_SNIPPET, cm.LOCATION_SNIPPET)
_Snippets = tuple[Setting[tuple[Directive, ...]], ...]


def _variables_of(data: Mapping[str, str], snippets: _Snippets) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for snippet in snippets:
        with suppress(InvalidValue):  # which is told where the key itself is read
            found |= defined_variables(snippet.type.parse(data.get(snippet.name, "")))
    return found


def read_configmap(configmap: ConfigMap | None) -> tuple[GlobalSettings, tuple[Finding, ...]]:
    """The settings of a ConfigMap and what there is to say about it, in a stable order; None: all defaults."""
    if configmap is None:
        return GlobalSettings(), ()
    reader = _Reader(configmap)
    for key, text in configmap.data.items():
        reader.read(key, text)
    settings = GlobalSettings(configmap.key, MappingProxyType(reader.values), frozenset(reader.denied))
    return settings, tuple(sorted(reader.findings))


class _Reader:
    """Collects values and findings of one ConfigMap, key by key."""

    def __init__(self, configmap: ConfigMap) -> None:
        self.object = configmap.key
        self.variables = _variables_of(configmap.data, _SNIPPETS)
        self.stream_variables = _variables_of(configmap.data, (cm.STREAM_SNIPPET,))
        self.values: dict[str, Any] = {}
        self.denied: set[str] = set()
        self.findings: list[Finding] = []

    def read(self, key: str, text: str) -> None:
        place = (self.object, _field(key))
        setting = find_configmap_key(key)
        if setting is None:
            self.findings.append(messages.unknown(place, "UnknownKey", similar_configmap_key(key)))
        elif setting.support is Support.DEAD:
            self.findings.append(messages.ignored(place, setting))
        else:
            self._read_known(place, setting, text)

    def _read_known(self, place: tuple[ObjectKey, str], setting: AnySetting, text: str) -> None:
        kind = setting.type
        if isinstance(kind, LogFormat | HashExpression):
            stream = isinstance(kind, LogFormat) and kind.stream
            kind = kind.knowing(self.stream_variables if stream else self.variables)
        elif isinstance(kind, _AS_WRITTEN):
            text = _BLANKS.sub(" ", text).strip(" ") or text
        try:
            value = kind.parse(text)
        except InvalidValue as problem:
            self._read_invalid(place, setting, problem)
            return
        self.values[setting.name] = value
        if not setting.is_supported:
            inert = setting.is_inert(value)
            self.findings.append(messages.not_yet_supported(place, setting, inert=inert))
            if setting.security and not inert:
                self.denied.add(setting.name)

    def _read_invalid(self, place: tuple[ObjectKey, str], setting: AnySetting, problem: InvalidValue) -> None:
        outcome = setting.outcome(problem)
        self.findings.append(messages.invalid(place, problem, outcome))
        if outcome is OnInvalid.DENY:
            self.denied.add(setting.name)
        elif problem.usable is not NOTHING:
            self.values[setting.name] = problem.usable
        elif setting.fallback is not None:
            self.values[setting.name] = setting.fallback
