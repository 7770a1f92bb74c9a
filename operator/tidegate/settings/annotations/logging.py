"""Annotations of logs and traces."""

from __future__ import annotations

from typing import Final

from tidegate.settings.configmap import tracing as keys
from tidegate.settings.family import Family
from tidegate.settings.setting import Becomes, OnInvalid, Risk
from tidegate.settings.texts import CharClass, Text
from tidegate.settings.types import GoBool

_LOGGING: Final = Family("Logging")
_TRACING: Final = Family("Tracing", becomes=Becomes.DATA)

ENABLE_ACCESS_LOG: Final = _LOGGING.setting(
    "enable-access-log",
    GoBool(),
    True,
    "Whether requests leave a line in the access log.",
)
ENABLE_REWRITE_LOG: Final = _LOGGING.setting(
    "enable-rewrite-log",
    GoBool(),
    False,
    "Whether the steps of rewriting are written to the error log, as notices.",
    becomes=Becomes.DATA,
)
ENABLE_OPENTELEMETRY: Final = _TRACING.overriding(
    keys.ENABLE_OPENTELEMETRY, GoBool(), "Whether requests of this Ingress are traced."
)
OPENTELEMETRY_TRUST_INCOMING_SPAN: Final = _TRACING.overriding(
    keys.OPENTELEMETRY_TRUST_INCOMING_SPAN, GoBool(), "Whether a client's trace is continued."
)
OPENTELEMETRY_OPERATION_NAME: Final = _TRACING.setting(
    "opentelemetry-operation-name",
    Text(CharClass.WORD),
    "",
    "The name of a span.",
    risk=Risk.MEDIUM,
    on_invalid=OnInvalid.REJECT,
)
