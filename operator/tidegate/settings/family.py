"""How settings are declared: a family says once what its members share, each member what is its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from tidegate.settings.setting import Becomes, OnInvalid, Risk, Scope, Setting, Support
from tidegate.settings.types import GoBool, Ignored, Int, ValueType

T = TypeVar("T")


@dataclass(frozen=True)
class Family:
    """What the settings of one group have in common; each of these can be overridden for a member."""

    group: str
    scope: Scope = Scope.LOCATION
    becomes: Becomes = Becomes.POLICY
    on_invalid: OnInvalid = OnInvalid.DEFAULT
    support: Support = Support.SUPPORTED
    security: bool = False

    def setting(
        self,
        name: str,
        type: ValueType[T],
        default: T,
        doc: str,
        *,
        risk: Risk = Risk.LOW,
        scope: Scope | None = None,
        becomes: Becomes | None = None,
        on_invalid: OnInvalid | None = None,
        on_misfit: OnInvalid | None = None,
        fallback: T | None = None,
        inert: tuple[T, ...] = (),
        configmap_key: str | None = None,
        security: bool | None = None,
        support: Support | None = None,
        aliases: tuple[str, ...] = (),
        empty_is_set: bool = False,
        note: str = "",
        exact: bool = False,
    ) -> Setting[T]:
        """Declare one setting of the family. Blanks around numbers and truth values never pass."""
        return Setting(
            name=name,
            type=type,
            default=default,
            scope=scope or self.scope,
            risk=risk,
            on_invalid=on_invalid or self.on_invalid,
            becomes=becomes or self.becomes,
            doc=doc,
            configmap_key=configmap_key,
            security=self.security if security is None else security,
            support=support or self.support,
            aliases=aliases,
            empty_is_set=empty_is_set,
            group=self.group,
            note=note,
            on_misfit=on_misfit,
            fallback=fallback,
            inert=inert,
            exact=exact or isinstance(type, GoBool | Int),
        )

    def overriding(
        self,
        key: Setting[T],
        type: ValueType[T],
        doc: str,
        *,
        name: str = "",
        risk: Risk = Risk.LOW,
        scope: Scope | None = None,
        becomes: Becomes | None = None,
        on_invalid: OnInvalid | None = None,
        on_misfit: OnInvalid | None = None,
        fallback: T | None = None,
        security: bool | None = None,
        support: Support | None = None,
        aliases: tuple[str, ...] = (),
        empty_is_set: bool = False,
        note: str = "",
    ) -> Setting[T]:
        """Declare an annotation that overrides a ConfigMap key: name and default are those of the key."""
        return self.setting(
            name or key.name,
            type,
            key.default,
            doc,
            risk=risk,
            scope=scope,
            becomes=becomes,
            on_invalid=on_invalid,
            on_misfit=on_misfit,
            fallback=fallback,
            configmap_key=key.name,
            security=security,
            support=support,
            aliases=aliases,
            empty_is_set=empty_is_set,
            note=note,
        )

    def dead(self, name: str, doc: str) -> Setting[None]:
        """Declare a name that has no effect in the retired controller either. `prefix-*` stands for all such names."""
        return self.setting(name, Ignored(), None, doc, becomes=Becomes.NOTHING, support=Support.DEAD)
