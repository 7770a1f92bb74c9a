"""The settings of one Ingress: its annotations, parsed and judged, over the defaults of the ConfigMap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

from tidegate.findings import Finding, ObjectKey, Severity, brief
from tidegate.resources.model import Ingress
from tidegate.settings import annotations as ann
from tidegate.settings import configmap as cm
from tidegate.settings import messages
from tidegate.settings.global_settings import GlobalSettings
from tidegate.settings.registry import OVERRIDES, collect, find_annotation, similar_annotation
from tidegate.settings.setting import AnySetting, OnInvalid, Origin, OriginKind, Setting, Support, Value
from tidegate.settings.texts import Template
from tidegate.settings.types import NOTHING, InvalidValue

T = TypeVar("T")

Fingerprint = frozenset[tuple[str, str]]

_ABSENT: Final = object()

_LOGIN: Final = frozenset(collect((ann.basic_auth, ann.external_auth, cm.global_auth)))
"""Settings of logins, from which `no-auth-locations` exempts paths."""


@dataclass(frozen=True, eq=False)
class IngressSettings:
    """What one Ingress asks for.

    `rejected`: this revision must not be applied. `denials` names the security settings, of the Ingress and of the
    ConfigMap, that are asked for and not in force. `degraded`: something asked for is not in force.
    `security_fingerprint` holds name and text of each security annotation, so that two revisions can be compared;
    `unreadable` names those whose text is why the revision is rejected.
    Findings are sorted.
    """

    globals: GlobalSettings
    findings: tuple[Finding, ...] = ()
    rejected: bool = False
    degraded: bool = False
    denials: frozenset[str] = frozenset()
    security_fingerprint: Fingerprint = frozenset()
    unreadable: frozenset[str] = frozenset()
    _object: ObjectKey | None = None
    _values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    _fields: Mapping[str, str] = field(default_factory=dict, repr=False)

    def get(self, setting: Setting[T]) -> T:
        """The value in force: of the annotation, else of the ConfigMap key that it overrides, else the default."""
        found = self._values.get(setting.name, _ABSENT)
        return self.globals.default(setting) if found is _ABSENT else cast(T, found)

    def value(self, setting: Setting[T]) -> Value[T]:
        """The same with its origin."""
        found = self._values.get(setting.name, _ABSENT)
        if found is _ABSENT:
            return self.globals.default_value(setting)
        return Value(cast(T, found), Origin(OriginKind.ANNOTATION, self._object, self._fields[setting.name]))

    def is_set(self, setting: AnySetting) -> bool:
        """Whether the Ingress itself has the annotation and a value of it is in force."""
        return setting.name in self._values

    @property
    def denied(self) -> bool:
        """Whether its paths have to answer 503 (all of them but those that `denied_at` spares)."""
        return bool(self.denials)

    def denied_at(self, path: str) -> bool:
        """Whether a path of the Ingress has to answer 503: a login that fails does not cover `no-auth-locations`."""
        if not self.denials:
            return False
        if not self.denials <= _LOGIN:
            return True
        return not any(path.startswith(exempt) for exempt in self.globals.get(cm.NO_AUTH_LOCATIONS))


@lru_cache(maxsize=16)
def _without_annotations(globals_: GlobalSettings) -> IngressSettings:
    return IngressSettings(globals_)


def resolve(ingress: Ingress, globals_: GlobalSettings, prefix: str, *, validate: bool = True) -> IngressSettings:
    """The settings of an Ingress; `prefix` is that of the annotations, without the slash.

    Without `validate` a bad value no longer rejects the Ingress: it only loses its own effect, or denies what it
    should have protected. Risk levels and blocked words count all the same.
    """
    start = f"{prefix}/"
    written = {
        name[len(start) :]: text for name, text in ingress.metadata.annotations.items() if name.startswith(start)
    }
    if not written and not globals_.denied:
        return _without_annotations(globals_)
    return _Resolver(ingress.key, globals_, prefix, written, validate=validate).result()


class _Resolver:
    """Collects values and findings of one Ingress, annotation by annotation."""

    def __init__(
        self, object_key: ObjectKey, globals_: GlobalSettings, prefix: str, written: dict[str, str], *, validate: bool
    ) -> None:
        self._object = object_key
        self._globals = globals_
        self._prefix = prefix
        self._written = written
        self._validate = validate
        self._values: dict[str, Any] = {}
        self._fields: dict[str, str] = {}
        self._findings: list[Finding] = []
        self._fingerprint: set[tuple[str, str]] = set()
        self._denials: set[str] = set()
        self._unreadable: set[str] = set()
        self._rejected = False

    def result(self) -> IngressSettings:
        words = self._globals.get(cm.ANNOTATION_VALUE_WORD_BLOCKLIST)
        for name, text in self._written.items():
            self._check_words(name, text, words)
            setting = find_annotation(name)
            if setting is None:
                self._findings.append(
                    messages.unknown(self._place(name), "UnknownAnnotation", similar_annotation(name))
                )
            elif self._check_risk(name, setting) and self._counts(name, setting):
                self._read(name, setting, text)
        self._check_globals()
        return IngressSettings(
            globals=self._globals,
            findings=tuple(sorted(self._findings)),
            rejected=self._rejected,
            degraded=any(finding.severity is not Severity.INFO for finding in self._findings),
            denials=frozenset(self._denials),
            security_fingerprint=frozenset(self._fingerprint),
            unreadable=frozenset(self._unreadable),
            _object=self._object,
            _values=self._values,
            _fields=self._fields,
        )

    def _place(self, name: str) -> tuple[ObjectKey, str]:
        return self._object, f"metadata.annotations[{self._prefix}/{messages.written(name)}]"

    def _report(self, name: str, severity: Severity, reason: str, message: str) -> None:
        self._findings.append(Finding(*self._place(name), severity, reason, message))

    def _check_words(self, name: str, text: str, words: tuple[str, ...]) -> None:
        for word in words:
            if word in text:
                self._rejected = True
                blocked = f"contains {brief(word)}, which annotation-value-word-blocklist forbids"
                message = f"{blocked}; this revision is not applied"
                self._report(name, Severity.ERROR, "BlockedWord", message)
                return

    def _check_risk(self, name: str, setting: AnySetting) -> bool:
        allowed = self._globals.get(cm.ANNOTATIONS_RISK_LEVEL)
        if setting.risk.rank <= allowed.rank:
            return True
        self._rejected = True
        if setting.security:
            self._fingerprint.add((setting.name, self._written[name]))
        message = f"risk is {setting.risk}, annotations-risk-level allows {allowed}; this revision is not applied"
        self._report(name, Severity.ERROR, "RiskTooHigh", message)
        return False

    def _counts(self, name: str, setting: AnySetting) -> bool:
        """Whether this annotation is the one that speaks for its setting: the first of its names that has a text."""
        if setting.name.endswith("*"):
            return True
        speaking = next((other for other in setting.names if self._written.get(other)), None)
        if speaking is None:
            return setting.empty_is_set and name == setting.name
        return name == speaking

    def _read(self, name: str, setting: AnySetting, text: str) -> None:
        if setting.security:
            self._fingerprint.add((setting.name, text))
        if name.endswith("-snippet") and not self._globals.get(cm.ALLOW_SNIPPET_ANNOTATIONS):
            # Even one that protects: the administrator has said that no snippet takes effect.
            message = "left out, as allow-snippet-annotations is false"
            self._report(name, Severity.WARNING, "SnippetsNotAllowed", message)
            return
        value = self._parse(name, setting, text)
        if value is _ABSENT:
            return
        if setting.support is Support.DEAD:
            self._findings.append(messages.ignored(self._place(name), setting))
        else:
            self._keep(name, setting, value)

    def _parse(self, name: str, setting: AnySetting, text: str) -> Any:
        """The value of a text, or what an invalid one leaves: a value in its place, or `_ABSENT`."""
        try:
            if not text:
                raise InvalidValue(text, setting.type.allowed)
            kind = setting.type
            if isinstance(kind, Template):
                kind = kind.knowing(self._globals.own_variables)
            return kind.parse(text if setting.exact else text.strip(" ") or text)
        except InvalidValue as problem:
            return self._judge(name, setting, problem)

    def _judge(self, name: str, setting: AnySetting, problem: InvalidValue) -> Any:
        """Carry out what an invalid value does."""
        outcome = setting.outcome(problem)
        if outcome is OnInvalid.REJECT and not self._validate:
            outcome = OnInvalid.DENY if setting.security else OnInvalid.DEFAULT
        self._findings.append(messages.invalid(self._place(name), problem, outcome))
        if outcome is OnInvalid.REJECT:
            self._rejected = True
            if setting.security:
                self._unreadable.add(setting.name)
            return _ABSENT
        if outcome is OnInvalid.DENY:
            self._denials.add(setting.name)
            return _ABSENT
        if problem.usable is not NOTHING:
            return problem.usable
        return _ABSENT if setting.fallback is None else setting.fallback

    def _keep(self, name: str, setting: AnySetting, value: Any) -> None:
        self._values[setting.name] = value
        self._fields[setting.name] = self._place(name)[1]
        if setting.is_supported:
            return
        inert = setting.is_inert(value)
        self._findings.append(messages.not_yet_supported(self._place(name), setting, inert=inert))
        if setting.security and not inert:
            self._denials.add(setting.name)

    def _check_globals(self) -> None:
        """Security keys of the ConfigMap that are not in force deny each Ingress that does not override them."""
        for key in sorted(self._globals.denied):
            if not self._overrides(key):
                self._denials.add(key)
                message = f"the paths it covers answer 503: {self._globals.source} data[{key}] cannot be put in force"
                self._findings.append(Finding(self._object, "", Severity.ERROR, "DeniedByConfigMap", message))

    def _overrides(self, key: str) -> bool:
        if key.startswith("global-auth-"):
            return self._values.get(ann.ENABLE_GLOBAL_AUTH.name) is False or ann.AUTH_URL.name in self._values
        override = OVERRIDES.get(key)
        return override is not None and override.name in self._values
