"""What NGINX and the data plane did not take, as findings."""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.apply.loader import Refused
from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.translate.engine import Translator


class Refusals:
    """Those that belong to no revision of an Ingress. `configmap` is the object of global settings."""

    def __init__(self, translator: Translator, configmap: ObjectKey) -> None:
        self._translator, self._configmap = translator, configmap
        self._memory: Finding | None = None
        self._settings: Finding | None = None
        self._listeners: dict[str, Finding] = {}
        self.answered = 0  # how many refusals of configuration were taken into account

    @property
    def findings(self) -> tuple[Finding, ...]:
        found = (self._memory, self._settings, *self._listeners.values())
        return tuple(finding for finding in found if finding is not None)

    def take(self, refused: Refused) -> set[ObjectKey]:
        """Take a refusal into account; the keys that are to be translated again."""
        if refused.memory:
            self._memory = Finding(self._configmap, "", Severity.ERROR, "DataPlaneFull", refused.memory)
            return set()
        self.answered += 1
        if refused.settings:
            message = f"NGINX says: {refused.settings}; the settings before stay in force"
            self._settings = Finding(self._configmap, "data", Severity.ERROR, "Rejected", message)
        for name, message in refused.listeners.items():
            if (entry := self._translator.stream_entry(name)) is not None:
                text = f"NGINX says: {message}"
                self._listeners[name] = Finding(entry.source, entry.field, Severity.ERROR, "Rejected", text)
        touched: set[ObjectKey] = set()
        for digest, message in refused.policies.items():
            touched |= self._translator.refuse([digest], message)
        for digest, message in refused.servers.items():
            touched |= self._translator.refuse([], message, [digest])
        return touched

    def settings_changed(self) -> None:
        """Other global settings are wanted: nobody has refused them yet."""
        self._settings = None

    def listeners_changed(self, names: Iterable[str]) -> None:
        """Of these listeners something else is wanted."""
        for name in names:
            self._listeners.pop(name, None)

    def memory_suffices(self) -> None:
        """The data plane has taken what is wanted."""
        self._memory = None
