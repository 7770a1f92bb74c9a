"""ConfigMap keys of OpenTelemetry."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.setting import Becomes, Scope
from tidegate.settings.texts import PlainText
from tidegate.settings.types import Choice, Float, LiteralInt, WeakBool

_FAMILY: Final = Family("Tracing", scope=Scope.GLOBAL, becomes=Becomes.GLOBAL)
_MAX_INT: Final = 2**31 - 1

ENABLE_OPENTELEMETRY: Final = _FAMILY.setting(
    "enable-opentelemetry", WeakBool(), False, "Whether requests are traced.", scope=Scope.LOCATION
)
OPENTELEMETRY_CONFIG: Final = _FAMILY.dead(
    "opentelemetry-config", "Where the retired controller put the settings of its module. There is no such file here."
)
OPENTELEMETRY_OPERATION_NAME: Final = _FAMILY.setting(
    "opentelemetry-operation-name", PlainText(), "", "The name of a span, with NGINX variables."
)
OPENTELEMETRY_TRUST_INCOMING_SPAN: Final = _FAMILY.setting(
    "opentelemetry-trust-incoming-span",
    WeakBool(),
    True,
    "Whether a client's trace is continued.",
    scope=Scope.LOCATION,
)
OTLP_COLLECTOR_HOST: Final = _FAMILY.setting("otlp-collector-host", PlainText(), "", "The collector of traces.")
OTLP_COLLECTOR_PORT: Final = _FAMILY.setting(
    "otlp-collector-port", LiteralInt(1, 65535), 4317, "The port of the collector."
)
OTEL_SERVICE_NAME: Final = _FAMILY.setting("otel-service-name", PlainText(), "nginx", "The service named in traces.")
OTEL_SAMPLER: Final = _FAMILY.setting(
    "otel-sampler",
    Choice(("AlwaysOn", "AlwaysOff", "TraceIdRatioBased")),
    "AlwaysOn",
    "Which requests are traced.",
)
OTEL_SAMPLER_RATIO: Final = _FAMILY.setting(
    "otel-sampler-ratio", Float(), 0.01, "The share of requests that TraceIdRatioBased traces."
)
OTEL_SAMPLER_PARENT_BASED: Final = _FAMILY.setting(
    "otel-sampler-parent-based", WeakBool(), True, "Whether the decision of the caller counts."
)
OTEL_MAX_QUEUESIZE: Final = _FAMILY.setting(
    "otel-max-queuesize", LiteralInt(0, _MAX_INT), 2048, "Spans that may wait to be sent."
)
OTEL_SCHEDULE_DELAY_MILLIS: Final = _FAMILY.setting(
    "otel-schedule-delay-millis", LiteralInt(0, _MAX_INT, "milliseconds"), 5000, "Milliseconds between two batches."
)
OTEL_MAX_EXPORT_BATCH_SIZE: Final = _FAMILY.setting(
    "otel-max-export-batch-size", LiteralInt(0, _MAX_INT), 512, "Spans in one batch."
)
