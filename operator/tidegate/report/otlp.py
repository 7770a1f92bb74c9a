"""Exports spans to a collector: OTLP over HTTP on port 4318, over gRPC on any other, as the retired controller does."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
import msgspec
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.exceptions import GRPCError, StreamTerminatedError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tidegate.report.spans import SpanRecord, export_request, read_blocks
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings

log = logging.getLogger("tidegate.tracing")

HTTP_PORT = 4318
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
TIMEOUT = 10.0


class ExportError(Exception):
    """The collector did not take a batch."""


class Collector(msgspec.Struct, frozen=True):
    """Where spans go, and how many at a time; an empty `host`: nowhere. `delay` is in seconds."""

    host: str = ""
    port: int = 4317
    service: str = "nginx"
    delay: float = 5.0
    batch: int = 512
    queue: int = 2048


def collector_of(settings: GlobalSettings) -> Collector:
    """Who takes spans, as the ConfigMap says."""
    get = settings.get
    return Collector(
        host=get(cm.OTLP_COLLECTOR_HOST),
        port=get(cm.OTLP_COLLECTOR_PORT),
        service=get(cm.OTEL_SERVICE_NAME),
        delay=get(cm.OTEL_SCHEDULE_DELAY_MILLIS) / 1000,
        batch=get(cm.OTEL_MAX_EXPORT_BATCH_SIZE),
        queue=get(cm.OTEL_MAX_QUEUESIZE),
    )


async def send(collector: Collector, request: ExportTraceServiceRequest) -> None:
    """One batch. Raises ExportError."""
    try:
        async with asyncio.timeout(TIMEOUT):
            if collector.port == HTTP_PORT:
                await _send_http(collector, request)
            else:
                await _send_grpc(collector, request)
    except (TimeoutError, OSError, aiohttp.ClientError, GRPCError, StreamTerminatedError) as error:
        raise ExportError(f"collector {collector.host}:{collector.port}: {error!r}") from error


async def _send_http(collector: Collector, request: ExportTraceServiceRequest) -> None:
    host = f"[{collector.host}]" if ":" in collector.host else collector.host
    headers = {"Content-Type": "application/x-protobuf"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://{host}:{collector.port}/v1/traces", data=request.SerializeToString(), headers=headers
        ) as answer,
    ):
        if answer.status != 200:
            raise ExportError(f"collector {collector.host}:{collector.port} answers {answer.status}")


async def _send_grpc(collector: Collector, request: ExportTraceServiceRequest) -> None:
    channel = Channel(collector.host, collector.port)
    try:
        method = UnaryUnaryMethod(channel, METHOD, ExportTraceServiceRequest, ExportTraceServiceResponse)
        await method(request)
    finally:
        channel.close()


class SpanExporter:
    """Takes spans over from the data plane and sends them in batches; `collector` is asked anew each time."""

    def __init__(self, collector: Callable[[], Collector], take: Callable[[], Awaitable[bytes]]) -> None:
        self._collector, self._take = collector, take
        self._waiting: deque[SpanRecord] = deque()
        self.exported = self.dropped = 0
        self._failing = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            collector = self._collector()
            await asyncio.sleep(max(collector.delay, 0.1) if collector.host else 1.0)
            if collector.host:
                await self.export()

    async def export(self) -> None:
        """What is there now."""
        collector = self._collector()
        await self._collect(collector.queue)
        while self._waiting and collector.host:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), max(collector.batch, 1)))]
            await self._send(collector, batch)

    async def _collect(self, most: int) -> None:
        try:
            blocks = read_blocks(await self._take())
        except msgspec.DecodeError:
            log.warning("a block of spans was not understood", exc_info=True)
            return
        for block in blocks:
            self.dropped += block.dropped
            for record in block.spans:
                if len(self._waiting) < most:
                    self._waiting.append(record)
                else:
                    self.dropped += 1

    async def _send(self, collector: Collector, batch: Sequence[SpanRecord]) -> None:
        try:
            await send(collector, export_request(batch, collector.service))
        except ExportError as error:
            self.dropped += len(batch)
            if not self._failing:
                log.warning("spans could not be exported: %s", error)
            self._failing = True
        else:
            self.exported += len(batch)
            self._failing = False
