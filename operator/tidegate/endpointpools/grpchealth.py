"""The gRPC health service, asked on an HTTP/2 connection that is kept.

Frames and header blocks are hyperframe's and hpack's. There is no state machine beside them, which would cost more than
all the rest: only one question is under way at a time, always the same, and a connection is given up before the windows
of flow control could matter.
"""

from __future__ import annotations

import asyncio
import socket

from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
)

PATH = "/grpc.health.v1.Health/Check"
CLOSED = "the connection was closed without an answer"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD = 9  # bytes before the body of a frame
_MOST_FRAME = 16 * 1024
_MOST_ANSWER = 16 * 1024
_WINDOW = 32 * 1024  # bytes each way that a connection is used for: half of what may be sent without being asked for
_READ = 64 * 1024
_SERVING = 1
_SERVING_NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


class GrpcConnection:
    """On a socket that is connected and does not block; one question at a time."""

    def __init__(self, sock: socket.socket, service: str, authority: str, user_agent: str) -> None:
        self._sock = sock
        self._question = _question(service)
        self._head = _request(authority, user_agent)
        self._decoder = Decoder()
        self._stream = -1
        self._pending = b""  # the beginning of a frame
        self._block = b""  # of headers, while it is not complete
        self._ends = False  # whether those headers end the answer
        self._owed = _PREFACE + SettingsFrame(settings={SettingsFrame.ENABLE_PUSH: 0}).serialize()
        self._used = 0
        self._over = False
        self._answer = _Answer()

    def usable(self) -> bool:
        """Whether one more question can be asked. Looks at what was said since the last one."""
        try:
            while True:
                data = self._sock.recv(_READ)
                if not data:
                    return False
                self._receive(data)
        except BlockingIOError:
            return not self._over and self._used + len(self._question) < _WINDOW
        except Exception:  # it is gone, or talks nonsense: another connection will tell
            return False

    def close(self) -> None:
        self._sock.close()

    async def check(self) -> str:
        """Why the service does not serve, or the empty string. Raises OSError, ValueError, and what libraries raise."""
        loop = asyncio.get_running_loop()
        self._stream += 2
        self._answer = answer = _Answer()
        self._used += len(self._question)
        head = HeadersFrame(self._stream, self._head, flags=["END_HEADERS"]).serialize()
        body = DataFrame(self._stream, self._question, flags=["END_STREAM"]).serialize()
        await loop.sock_sendall(self._sock, self._take_owed() + head + body)
        while not answer.complete:
            data = await loop.sock_recv(self._sock, _READ)
            if not data:
                raise ConnectionResetError(0, CLOSED)
            self._receive(data)
            if self._owed:
                await loop.sock_sendall(self._sock, self._take_owed())
        return answer.verdict()

    def _take_owed(self) -> bytes:
        owed, self._owed = self._owed, b""
        return owed

    def _receive(self, data: bytes) -> None:
        view = memoryview(self._pending + data)
        while len(view) >= _HEAD:
            frame, length = Frame.parse_frame_header(view[:_HEAD])
            if length > _MOST_FRAME:
                raise ValueError(f"no HTTP/2: {bytes(view[:40])!r}")
            end = _HEAD + length
            if len(view) < end:
                break
            frame.parse_body(view[_HEAD:end])
            view = view[end:]
            self._take(frame)
        self._pending = bytes(view)

    def _take(self, frame: Frame) -> None:
        match frame:
            case SettingsFrame():
                if "ACK" not in frame.flags:
                    self._owed += SettingsFrame(flags=["ACK"]).serialize()
            case PingFrame():
                if "ACK" not in frame.flags:
                    self._owed += PingFrame(opaque_data=frame.opaque_data, flags=["ACK"]).serialize()
            case GoAwayFrame():
                self._over = True
                if frame.error_code or frame.last_stream_id < self._stream:
                    raise ConnectionResetError(0, f"the connection was ended with error {frame.error_code}")
            case HeadersFrame() | ContinuationFrame():
                self._take_headers(frame)
            case DataFrame():
                self._used += len(frame.data)
                if frame.stream_id == self._stream:
                    self._answer.take(frame.data, "END_STREAM" in frame.flags)
            case RstStreamFrame() if frame.stream_id == self._stream:
                raise ConnectionResetError(0, f"the call was ended with error {frame.error_code}")
            case PushPromiseFrame():
                raise ValueError("found a push, which was forbidden")

    def _take_headers(self, frame: HeadersFrame | ContinuationFrame) -> None:
        """Every block is decoded, whatever it is about: the next ones refer to it."""
        self._block += frame.data
        if len(self._block) > _MOST_ANSWER:
            raise ValueError("the answer is too long")
        if isinstance(frame, HeadersFrame):
            self._ends = "END_STREAM" in frame.flags
        if "END_HEADERS" not in frame.flags:
            return
        block, self._block = self._block, b""
        fields = {str(name): str(value) for name, value in self._decoder.decode(block)}
        if frame.stream_id == self._stream and not fields.get(":status", "").startswith("1"):
            self._answer.headers |= fields
            self._answer.complete |= self._ends


class _Answer:
    """What came back for one call."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.data = b""
        self.complete = False

    def take(self, data: bytes, ends: bool) -> None:
        self.data += data
        self.complete |= ends
        if len(self.data) > _MOST_ANSWER:
            raise ValueError("the answer is too long")

    def verdict(self) -> str:
        if self.headers.get(":status") != "200":
            return f"HTTP status {self.headers.get(':status', 'missing')}"
        status = self.headers.get("grpc-status", "missing")
        if status != "0":
            return f"gRPC status {status} {self.headers.get('grpc-message', '')}".strip()[:200]
        number = _serving_status(self.data)
        return "" if number == _SERVING else f"gRPC health {_SERVING_NAMES.get(number, str(number))}"


def _request(authority: str, user_agent: str) -> bytes:
    """A header block that leaves no trace in the tables of either side, so that it can be sent again as it is."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", PATH),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", user_agent),
    ]
    return Encoder().encode([NeverIndexedHeaderTuple(name, value) for name, value in fields])


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
