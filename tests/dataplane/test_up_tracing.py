"""OpenTelemetry: what backends are told of a trace, and the spans that a collector of the test's own gets."""

from __future__ import annotations

import asyncio
import http.client
import http.server
import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from claims import claim, free_ports
from dataplane import Server, until
from grpclib.const import Cardinality, Handler
from grpclib.server import Server as GrpcServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from up import Manifest, Up, configmap, ingress, service

FLAGS = ("--configmap", "default/settings")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SNIPPETS = {"allow_snippet_annotations": "true", "annotations_risk_level": "Critical"}
FORM = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])")


@pytest.fixture
def backend() -> Iterator[Server]:
    with Server("echo") as server:
        yield server


@pytest.fixture
def up(backend: Server) -> Iterator[Up]:
    with Up(*FLAGS) as one:
        yield one.start(service("echo", backend.port), configmap(), ingress("plain", "plain.test"))


def traced(name: str, **more: str) -> Manifest:
    return ingress(name, f"{name}.test", enable_opentelemetry="true", **more)


def told(up: Up, backend: Server, host: str, path: str = "/", **headers: str) -> tuple[str | None, str | None]:
    """What the backend gets as traceparent and tracestate."""
    assert up.get(host, path, headers=headers)[0] == 200
    last = backend.requests[-1]
    return last.header("traceparent"), last.header("tracestate")


def parts(text: str | None) -> tuple[str, str, str]:
    found = FORM.fullmatch(text or "")
    assert found, text
    return found[1], found[2], found[3]


def test_a_trace_goes_on_with_a_span_of_our_own_where_it_is_wanted(up: Up, backend: Server) -> None:
    up.apply("batch", traced("on"), traced("new", opentelemetry_trust_incoming_span="false"))
    assert told(up, backend, "plain.test", traceparent=PARENT, tracestate="a=b") == (PARENT, "a=b")
    header, state = told(up, backend, "on.test", traceparent=PARENT, tracestate="a=b")
    trace, span, flags = parts(header)
    assert (trace, flags, state) == (PARENT[3:35], "01", "a=b")
    assert span != PARENT[36:52]
    header, state = told(up, backend, "new.test", traceparent=PARENT, tracestate="a=b")
    assert (parts(header)[0] != trace, state) == (True, None)
    first, second = (parts(told(up, backend, "on.test")[0]) for _ in range(2))
    assert first[:2] != second[:2]


def test_logs_and_snippets_can_name_the_trace(up: Up, backend: Server) -> None:
    lines = {"configuration_snippet": 'add_header X-Trace "$opentelemetry_trace_id-$opentelemetry_span_id";'}
    names = ("trace_id", "span_id", "sampled", "context_traceparent", "context_b3")
    text = "$uri " + " ".join(f"$opentelemetry_{name}" for name in names)
    up.apply("settings", configmap(log_format_upstream=text, **SNIPPETS))
    up.apply("batch", traced("on"), traced("shown", **lines))
    trace, span, flags = parts(told(up, backend, "on.test", "/traced")[0])
    assert up.get("plain.test", "/plain")[0] == 200
    log = up.run / "logs" / "access.log"
    line = f"/traced {trace} {span} 1 00-{trace}-{span}-{flags} {trace}-{span}-1\n"
    until(lambda: log.exists() and line in log.read_text() and "/plain     \n" in log.read_text())
    connection = http.client.HTTPConnection("127.0.0.1", up.http, timeout=20)
    with closing(connection):
        connection.request("GET", "/", headers={"Host": "shown.test", "traceparent": PARENT})
        assert (connection.getresponse().getheader("X-Trace") or "").startswith("0af7651916cd43dd8448eb211c80319c-")


def test_traces_of_callers_count_only_where_the_configmap_trusts_them(up: Up, backend: Server) -> None:
    up.apply("settings", configmap(enable_opentelemetry="true", opentelemetry_trust_incoming_span="false"))
    assert parts(told(up, backend, "plain.test", traceparent=PARENT)[0])[0] != PARENT[3:35]


@pytest.mark.parametrize(
    "bad",
    [
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "nonsense",
    ],
)
def test_what_is_no_trace_begins_a_new_one(up: Up, backend: Server, bad: str) -> None:
    up.apply("on", traced("on"))
    header, state = told(up, backend, "on.test", traceparent=bad, tracestate="a=b")
    assert (parts(header)[0] != "0af7651916cd43dd8448eb211c80319c", state) == (True, None)


def test_the_sampler_decides_where_the_caller_does_not(up: Up, backend: Server) -> None:
    def flags(**settings: str) -> tuple[str, str, str]:
        up.apply("settings", configmap(enable_opentelemetry="true", **settings))
        asked = (PARENT, PARENT[:-1] + "0", "")
        found = [told(up, backend, "plain.test", **({"traceparent": one} if one else {}))[0] for one in asked]
        first, second, third = (parts(one)[2] for one in found)
        return first, second, third

    assert flags() == ("01", "00", "01")
    assert flags(otel_sampler="AlwaysOff") == ("01", "00", "00")
    assert flags(otel_sampler="AlwaysOff", otel_sampler_parent_based="false") == ("00", "00", "00")
    assert flags(otel_sampler="TraceIdRatioBased", otel_sampler_ratio="0") == ("01", "00", "00")
    assert flags(otel_sampler="TraceIdRatioBased", otel_sampler_ratio="1") == ("01", "00", "01")
    up.apply(
        "settings", configmap(enable_opentelemetry="true", otel_sampler="TraceIdRatioBased", otel_sampler_ratio="0.5")
    )
    drawn = {parts(told(up, backend, "plain.test")[0])[2] for _ in range(60)}
    assert drawn == {"00", "01"}


class Collected:
    """What a collector was sent."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []

    @property
    def spans(self) -> list[Any]:
        scopes = [scope for one in self.requests for part in one.resource_spans for scope in part.scope_spans]
        return [span for scope in scopes for span in scope.spans]

    def of(self, name: str) -> Any:
        until(lambda: any(span.name == name for span in self.spans), 30)
        return next(span for span in self.spans if span.name == name)


def attributes(items: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in items}


@pytest.fixture
def over_http() -> Iterator[tuple[Collected, str]]:
    """An OTLP receiver over HTTP, on the port that this protocol has, at an address of its own."""
    collected = Collected()

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            collected.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    address = f"127.43.18.{claim('address', range(1, 251))}"
    with http.server.ThreadingHTTPServer((address, 4318), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield collected, address
        server.shutdown()
        thread.join()


@pytest.fixture
def over_grpc() -> Iterator[tuple[Collected, int]]:
    collected, (port,) = Collected(), free_ports(1)

    class Receiver:
        async def export(self, stream: Any) -> None:
            collected.requests.append(await stream.recv_message())
            await stream.send_message(ExportTraceServiceResponse())

        def __mapping__(self) -> dict[str, Handler]:
            name = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
            messages = (ExportTraceServiceRequest, ExportTraceServiceResponse)
            return {name: Handler(self.export, Cardinality.UNARY_UNARY, *messages)}

    loop, started = asyncio.new_event_loop(), threading.Event()
    server: list[GrpcServer] = []

    async def serve() -> None:
        server.append(GrpcServer([Receiver()]))
        await server[0].start("127.0.0.1", port)
        started.set()
        await server[0].wait_closed()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(20)
    yield collected, port
    loop.call_soon_threadsafe(server[0].close)
    thread.join()
    loop.close()


def test_a_collector_on_the_usual_port_of_http_gets_spans_with_what_was_asked_and_answered(
    up: Up, over_http: tuple[Collected, str]
) -> None:
    collected, address = over_http
    up.apply(
        "on", traced("on", opentelemetry_operation_name="my-span"), traced("gone", permanent_redirect="http://x.test/")
    )
    settings = configmap(
        otlp_collector_host=address,
        otlp_collector_port="4318",
        otel_service_name="edge",
        otel_schedule_delay_millis="100",
        opentelemetry_operation_name="$request_method by $host",
    )
    up.apply("settings", settings)
    assert up.get("on.test", "/a?b=c", {"traceparent": PARENT, "User-Agent": "me"})[0] == 200
    assert up.get("on.test", "/", {"traceparent": PARENT[:-1] + "0"})[0] == 200  # which is not sampled
    assert up.get("gone.test")[0] == 301
    assert up.get("plain.test")[0] == 200
    redirect = collected.of("GET by gone.test")
    span = collected.of("my-span")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (PARENT[3:35], PARENT[36:52])
    assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
    found = attributes(span.attributes)
    assert found.pop("ingress.upstream").startswith("127.0.0.1:")
    assert found == {
        "http.method": "GET",
        "http.target": "/a?b=c",
        "http.host": "on.test",
        "http.scheme": "http",
        "http.flavor": "1.1",
        "http.user_agent": "me",
        "http.status_code": 200,
        "net.peer.ip": "127.0.0.1",
        "ingress.namespace": "default",
        "ingress.name": "on",
        "ingress.service_name": "echo",
    }
    assert attributes(redirect.attributes)["http.status_code"] == 301
    assert len(collected.spans) == 2
    assert attributes(collected.requests[0].resource_spans[0].resource.attributes) == {"service.name": "edge"}


def test_a_collector_on_another_port_is_spoken_to_in_grpc_and_batches_have_their_size(
    up: Up, over_grpc: tuple[Collected, int]
) -> None:
    collected, port = over_grpc
    settings = configmap(
        enable_opentelemetry="true",
        otlp_collector_host="127.0.0.1",
        otlp_collector_port=str(port),
        otel_schedule_delay_millis="100",
        otel_max_export_batch_size="3",
    )
    up.apply("settings", settings)
    for _ in range(7):
        assert up.get("plain.test", "/x")[0] == 200
    until(lambda: len(collected.spans) == 7, 30)
    assert {span.name for span in collected.spans} == {"/"}
    assert max(len(one.resource_spans[0].scope_spans[0].spans) for one in collected.requests) <= 3


def test_spans_are_sent_as_often_as_the_configmap_says(up: Up, over_http: tuple[Collected, str]) -> None:
    collected, address = over_http
    data = {"otlp_collector_host": address, "otlp_collector_port": "4318", "otel_schedule_delay_millis": "100"}
    up.apply("settings", configmap(enable_opentelemetry="true", **data))
    began = time.monotonic()
    for number in range(1, 6):
        assert up.get("plain.test")[0] == 200
        until(lambda wanted=number: len(collected.spans) == wanted)
    assert time.monotonic() - began < 15  # five times the usual delay is 25 seconds


def test_a_rewrite_that_looks_for_a_path_again_is_one_span(up: Up, over_http: tuple[Collected, str]) -> None:
    collected, address = over_http
    data = {"otlp_collector_host": address, "otlp_collector_port": "4318", "otel_schedule_delay_millis": "100"}
    allowed = {"allow_snippet_annotations": "true", "annotations_risk_level": "Critical"}
    up.apply("settings", configmap(**data, **allowed))
    other = ingress("other", "on.test", "/other", enable_opentelemetry="true")
    up.apply("on", traced("on", configuration_snippet="rewrite ^/a /other last;"), other)
    assert up.get("on.test", "/a", {"traceparent": PARENT})[0] == 200
    assert collected.of("/other").parent_span_id.hex() == PARENT[36:52]
    assert len(collected.spans) == 1
