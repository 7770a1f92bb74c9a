"""OpenTelemetry: what is traced and how (reference: annotations 12, configmap 14)."""

from __future__ import annotations

from typing import get_args

from tidegate.model import Sampler, Trace, Tracing
from tidegate.settings import annotations as ann
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings, IngressSettings
from tidegate.settings.setting import AnySetting
from tidegate.translate.expressions import UnsoundExpression, expression_parts

SAMPLERS: dict[str, Sampler] = {name: name for name in get_args(Sampler)}


def trace_of(settings: IngressSettings) -> Trace | None:
    """How requests of an Ingress are traced; None where they are not."""
    if not settings.get(ann.ENABLE_OPENTELEMETRY):
        return None
    own = settings.is_set(ann.ENABLE_OPENTELEMETRY)  # the other two say nothing without it
    trust = settings.get(ann.OPENTELEMETRY_TRUST_INCOMING_SPAN) if own else _trust(settings.globals)
    return Trace(distrust=not trust, name=settings.get(ann.OPENTELEMETRY_OPERATION_NAME) if own else "")


def _trust(globals_: GlobalSettings) -> bool:
    return globals_.get(cm.OPENTELEMETRY_TRUST_INCOMING_SPAN)


def tracing_of(globals_: GlobalSettings) -> Tracing:
    """What holds for all that is traced."""
    get = globals_.get
    try:
        name = expression_parts(get(cm.OPENTELEMETRY_OPERATION_NAME), globals_.own_variables)
    except UnsoundExpression:
        name = ()
    return Tracing(
        sampler=SAMPLERS[get(cm.OTEL_SAMPLER)],
        ratio=get(cm.OTEL_SAMPLER_RATIO),
        parent_based=get(cm.OTEL_SAMPLER_PARENT_BASED),
        name=name,
        export=bool(get(cm.OTLP_COLLECTOR_HOST)),
        most=get(cm.OTEL_MAX_QUEUESIZE),
    )


def tracing_faults(globals_: GlobalSettings) -> tuple[tuple[AnySetting, str], ...]:
    """Keys that are not carried out as they are, and why."""
    found: list[tuple[AnySetting, str]] = []
    try:
        expression_parts(globals_.get(cm.OPENTELEMETRY_OPERATION_NAME), globals_.own_variables)
    except UnsoundExpression as error:
        found.append((cm.OPENTELEMETRY_OPERATION_NAME, f"{error}; spans are named by the path of their route"))
    if globals_.get(cm.ENABLE_OPENTELEMETRY) and not globals_.get(cm.OTLP_COLLECTOR_HOST):
        message = "traces are passed on to backends, but no span is exported without otlp-collector-host"
        found.append((cm.ENABLE_OPENTELEMETRY, message))
    return tuple(found)
