"""One check of one endpoint. Each function returns why it failed, or the empty string.

HTTP and TCP open a new connection each time, so that an endpoint that no longer accepts any is seen. HTTPS and gRPC
keep theirs, because a TLS handshake costs more than all the rest; one that the endpoint has closed is opened again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl

import aiohttp
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
from yarl import URL

from tidegate import __version__
from tidegate.endpointpools.plan import Probe

USER_AGENT = f"tidegate-health/{__version__}"
_FIELDS = f"User-Agent: {USER_AGENT}\r\nAccept: */*\r\n"
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: [^\r\n]*)?\r?\n\Z")
_CLOSED = "the connection was closed without an answer"
_MOST_HEAD = 16 * 1024
_MOST_BODY = 64 * 1024
_SERVING = 1
_SERVING_NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_GRPC_PATH = "/grpc.health.v1.Health/Check"


class Prober:
    """Checks endpoints; to be closed."""

    def __init__(self) -> None:
        self._secure = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=3700, ssl=_unverified()),
            headers={"User-Agent": USER_AGENT, "Accept": "*/*"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        self._grpc: dict[Probe, GrpcConnection] = {}

    async def check(self, probe: Probe) -> str:
        """Why the endpoint may not be used, or the empty string. Bounded by the probe's timeout."""
        try:
            async with asyncio.timeout(probe.check.timeout):
                match probe.check.type:
                    case "TCP":
                        return await _tcp(probe)
                    case "GRPC":
                        return await self._ask_grpc(probe)
                    case "HTTPS":
                        return await _https(self._secure, probe)
                    case _:
                        return await _http(probe)
        except TimeoutError:
            return f"no answer within {probe.check.timeout:g}s"
        except aiohttp.ClientConnectorError as error:
            return _words(error.os_error)
        except aiohttp.ServerDisconnectedError:
            return _CLOSED
        except OSError as error:
            return _words(error)
        except Exception as error:  # whatever an endpoint says, its check has failed and the next one comes
            return str(error)[:200] or type(error).__name__

    async def forget(self, probe: Probe) -> None:
        """The endpoint is not checked any more."""
        connection = self._grpc.pop(probe, None)
        if connection is not None:
            connection.close()

    async def close(self) -> None:
        for probe in list(self._grpc):
            await self.forget(probe)
        await self._secure.close()

    async def _ask_grpc(self, probe: Probe) -> str:
        connection = self._grpc.get(probe)
        if connection is None or not connection.usable:
            connection = self._grpc[probe] = await GrpcConnection.open(probe.address, probe.port)
        try:
            return await connection.check(probe.check.service, probe.host or _authority(probe))
        except BaseException:
            await self.forget(probe)
            raise


def _words(error: OSError) -> str:
    """asyncio puts the address into `strerror`, and the same failure should read the same."""
    return os.strerror(error.errno) if error.errno else error.strerror or str(error) or type(error).__name__


def _unverified() -> ssl.SSLContext:
    """As the kubelet does: a health check asks whether an endpoint serves, not who it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _authority(probe: Probe) -> str:
    address = f"[{probe.address}]" if ":" in probe.address else probe.address
    return f"{address}:{probe.port}"


async def _tcp(probe: Probe) -> str:
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, probe.address, probe.port)
    transport.close()
    return ""


async def _http(probe: Probe) -> str:
    """By hand: a client library costs three times as much, and all that counts is the first line."""
    host = probe.host or _authority(probe)
    question = f"GET {probe.check.path} HTTP/1.1\r\nHost: {host}\r\n{_FIELDS}Connection: close\r\n\r\n"
    reader, writer = await asyncio.open_connection(probe.address, probe.port, limit=_MOST_HEAD)
    try:
        writer.write(question.encode("ascii"))
        return await _answered(reader)
    finally:
        writer.close()


async def _answered(reader: asyncio.StreamReader) -> str:
    """Why the answer is none that counts. Raises ValueError for a line that is too long."""
    status = 0
    while status < 200:  # others come before the answer (100, 103)
        line = await reader.readline()
        match = _STATUS.match(line)
        if match is None:
            return f"no HTTP: {line[:40]!r}" if line else _CLOSED
        status = int(match[1])
        while (line := await reader.readline()) not in (b"\r\n", b"\n"):
            if not line:
                return _CLOSED
    return _verdict(status)


def _verdict(status: int) -> str:
    return "" if status < 400 else f"HTTP status {status}"


async def _https(session: aiohttp.ClientSession, probe: Probe) -> str:
    url = URL(f"https://{_authority(probe)}{probe.check.path}", encoded=True)
    headers = {"Host": probe.host} if probe.host else None
    name = probe.host.partition(":")[0] or None
    async with session.get(url, headers=headers, allow_redirects=False, server_hostname=name) as answer:
        await _drain(answer)
        return _verdict(answer.status)


async def _drain(answer: aiohttp.ClientResponse) -> None:
    """Read a small body to its end, so that the connection can be used again."""
    left = _MOST_BODY
    while left > 0 and (piece := await answer.content.read(left)):
        left -= len(piece)


class GrpcConnection:
    """An HTTP/2 connection that asks the gRPC health service, one question at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding="utf-8",
                validate_outbound_headers=False,
                validate_inbound_headers=False,
            )
        )
        self._h2.initiate_connection()
        self._over = False

    @classmethod
    async def open(cls, address: str, port: int) -> GrpcConnection:
        return cls(*await asyncio.open_connection(address, port))

    @property
    def usable(self) -> bool:
        return not (self._over or self._reader.at_eof() or self._writer.is_closing())

    def close(self) -> None:
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._h2.close_connection()
            self._writer.write(self._h2.data_to_send())
        self._writer.close()

    async def check(self, service: str, authority: str) -> str:
        """Raises OSError, h2's ProtocolError, ValueError."""
        stream = self._h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", _GRPC_PATH),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", USER_AGENT),
        ]
        self._h2.send_headers(stream, headers)
        self._h2.send_data(stream, _question(service), end_stream=True)
        self._writer.write(self._h2.data_to_send())
        answer = _Answer()
        while not answer.complete:
            data = await self._reader.read(65536)
            if not data:
                raise ConnectionResetError(0, _CLOSED)
            for event in self._h2.receive_data(data):
                self._take(event, stream, answer)
            if pending := self._h2.data_to_send():
                self._writer.write(pending)
        return answer.verdict()

    def _take(self, event: h2.events.Event, stream: int, answer: _Answer) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self._over = True
            if event.error_code:
                raise ConnectionResetError(0, f"the connection was ended: {event.error_code!s}")
        if getattr(event, "stream_id", None) != stream:
            return
        match event:
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                answer.headers.update((str(name), str(value)) for name, value in event.headers)
            case h2.events.DataReceived():
                answer.data += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, stream)
                if len(answer.data) > _MOST_BODY:
                    raise ValueError("the answer is too long")
            case h2.events.StreamReset():
                raise ConnectionResetError(0, f"the call was ended: {event.error_code!s}")
            case h2.events.StreamEnded():
                answer.complete = True


class _Answer:
    """What came back for one call."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.data = b""
        self.complete = False

    def verdict(self) -> str:
        if self.headers.get(":status") != "200":
            return f"HTTP status {self.headers.get(':status', 'missing')}"
        status = self.headers.get("grpc-status", "missing")
        if status != "0":
            return f"gRPC status {status} {self.headers.get('grpc-message', '')}".strip()[:200]
        number = _serving_status(self.data)
        return "" if number == _SERVING else f"gRPC health {_SERVING_NAMES.get(number, str(number))}"


def _question(service: str) -> bytes:
    """HealthCheckRequest{service}, framed."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _serving_status(data: bytes) -> int:
    """The field `status` of a framed HealthCheckResponse; 0 when absent. Raises ValueError."""
    if len(data) < 5 or data[0] or len(data) != 5 + int.from_bytes(data[1:5], "big"):
        raise ValueError("the answer is no health message")
    message = data[5:]
    if not message:
        return 0
    if len(message) != 2 or message[0] != 0x08 or message[1] > 0x7F:
        raise ValueError("the answer is no health message")
    return message[1]
