"""Which Ingresses are certainly somebody else's, told from the raw object: they are not even decoded."""

from __future__ import annotations

from typing import Any

from tidegate.findings import ObjectKey


class Classes:
    """`blind`: IngressClasses cannot be read, so the field `ingressClassName` is taken off each Ingress."""

    def __init__(self, controller: str, ingress_class: str, *, by_name: bool = False) -> None:
        self._controller, self._ingress_class, self._by_name = controller, ingress_class, by_name
        self._controllers: dict[str, str] = {}
        self._foreign: set[ObjectKey] = set()
        self.blind = False

    def learn(self, name: str, item: dict[str, Any] | None) -> None:
        """What an IngressClass says now; None: it is gone."""
        if item is None:
            self._controllers.pop(name, None)
        else:
            self._controllers[name] = (item.get("spec") or {}).get("controller") or ""

    def is_foreign(self, key: ObjectKey, item: dict[str, Any]) -> bool:
        """Whether its class is known and not ours. One whose class is unknown is kept: the class may come."""
        spec = item.get("spec") or {}
        if self.blind:
            spec.pop("ingressClassName", None)
        name = spec.get("ingressClassName")
        controller = self._controllers.get(name) if name is not None else None
        ours = controller is None or controller == self._controller or (self._by_name and name == self._ingress_class)
        if ours:
            self._foreign.discard(key)
        else:
            self._foreign.add(key)
        return not ours

    def forget(self, key: ObjectKey) -> None:
        self._foreign.discard(key)

    def take_foreign(self) -> set[ObjectKey]:
        """The Ingresses that were somebody else's so far; to be judged again."""
        found, self._foreign = self._foreign, set()
        return found
