"""Spans of requests: from what the workers hand over to the messages of OTLP."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2


class SpanRecord(msgspec.Struct, frozen=True):
    """One request; `start` and `finish` are seconds since 1970."""

    trace: str
    span: str
    name: str
    start: float
    finish: float
    status: int
    method: str
    parent: str = ""
    target: str = ""
    host: str = ""
    scheme: str = ""
    protocol: str = ""
    agent: str = ""
    client: str = ""
    upstream: str = ""
    namespace: str = ""
    ingress: str = ""
    service: str = ""


class Block(msgspec.Struct, frozen=True):
    """What one worker hands over at a time, and how many spans it had no room for."""

    spans: list[SpanRecord]
    dropped: int = 0


def read_blocks(text: bytes) -> list[Block]:
    """Raises msgspec.DecodeError."""
    return [msgspec.json.decode(line, type=Block) for line in text.split(b"\n") if line]


def export_request(records: Sequence[SpanRecord], service: str) -> ExportTraceServiceRequest:
    """One batch, all of one service."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.append(_text("service.name", service))
    scope = resource.scope_spans.add()
    scope.scope.name = "tidegate"
    scope.spans.extend(_span(record) for record in records)
    return request


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _span(record: SpanRecord) -> trace_pb2.Span:
    texts = {
        "http.method": record.method,
        "http.target": record.target,
        "http.host": record.host,
        "http.scheme": record.scheme,
        "http.flavor": record.protocol.removeprefix("HTTP/"),
        "http.user_agent": record.agent,
        "net.peer.ip": record.client,
        "ingress.namespace": record.namespace,
        "ingress.name": record.ingress,
        "ingress.service_name": record.service,
        "ingress.upstream": record.upstream,
    }
    attributes = [_text(key, value) for key, value in texts.items() if value]
    attributes.append(KeyValue(key="http.status_code", value=AnyValue(int_value=record.status)))
    failed = trace_pb2.Status.STATUS_CODE_ERROR if record.status >= 500 else trace_pb2.Status.STATUS_CODE_UNSET
    return trace_pb2.Span(
        trace_id=bytes.fromhex(record.trace),
        span_id=bytes.fromhex(record.span),
        parent_span_id=bytes.fromhex(record.parent),
        name=record.name,
        kind=trace_pb2.Span.SPAN_KIND_SERVER,
        start_time_unix_nano=int(record.start * 1e9),
        end_time_unix_nano=int(max(record.start, record.finish) * 1e9),
        attributes=attributes,
        status=trace_pb2.Status(code=failed),
    )
