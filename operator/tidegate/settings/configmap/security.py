"""ConfigMap keys that say what Ingresses may ask for."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.lists import CommaList
from tidegate.settings.setting import Becomes, OnInvalid, Risk, Scope
from tidegate.settings.texts import CharClass
from tidegate.settings.types import Member, WeakBool

_FAMILY: Final = Family("Security policy", scope=Scope.GLOBAL, becomes=Becomes.CONTROL)

ALLOW_SNIPPET_ANNOTATIONS: Final = _FAMILY.setting(
    "allow-snippet-annotations",
    WeakBool(),
    False,
    "Whether annotations whose name ends in -snippet take effect. Without it they are left out of what is served.",
)
ALLOW_CROSS_NAMESPACE_RESOURCES: Final = _FAMILY.setting(
    "allow-cross-namespace-resources",
    WeakBool(),
    False,
    "Whether an annotation may name a Secret or ConfigMap outside the namespace of its Ingress.",
)
ANNOTATIONS_RISK_LEVEL: Final = _FAMILY.setting(
    "annotations-risk-level",
    Member(tuple(Risk)),
    Risk.HIGH,
    "The highest risk class of annotations that is accepted. An Ingress with a riskier one is refused.",
    on_invalid=OnInvalid.CLOSED,
    fallback=Risk.LOW,
)
ANNOTATION_VALUE_WORD_BLOCKLIST: Final = _FAMILY.setting(
    "annotation-value-word-blocklist",
    CommaList(what="words", lenient=True, skip_bad=True),
    (),
    "Words, case-sensitive, that no value of an annotation may contain. An Ingress that has one is refused.",
)
STRICT_VALIDATE_PATH_TYPE: Final = _FAMILY.setting(
    "strict-validate-path-type",
    WeakBool(),
    True,
    "Whether the webhook refuses Exact and Prefix paths with other characters than those of a plain path.",
)
GLOBAL_ALLOWED_RESPONSE_HEADERS: Final = _FAMILY.setting(
    "global-allowed-response-headers",
    CommaList(CharClass.WORD, "header names", lenient=True, skip_bad=True),
    (),
    "Names of response headers that `custom-headers` of an Ingress may set.",
)
