"""One check of one endpoint. Each function returns why it failed, or the empty string.

HTTP and TCP open a new connection each time, so that an endpoint that no longer accepts any is seen. HTTPS and gRPC
keep theirs, because a TLS handshake costs more than all the rest; one that the endpoint has closed is opened again.

All but HTTPS work on bare sockets, which the event loop only waits for: its streams, and any client library, cost
several times as much, and there may be thousands of checks a second.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl

import aiohttp
from yarl import URL

from tidegate import __version__
from tidegate.endpointpools.grpchealth import CLOSED, GrpcConnection
from tidegate.endpointpools.plan import Probe

USER_AGENT = f"tidegate-health/{__version__}"
_FIELDS = f"User-Agent: {USER_AGENT}\r\nAccept: */*\r\n"
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: [^\r\n]*)?\r?\n")
_END = re.compile(rb"\n\r?\n")
_MOST_HEAD = 16 * 1024
_MOST_BODY = 64 * 1024


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
            return CLOSED
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
        if connection is not None and not connection.usable():
            await self.forget(probe)
            connection = None
        if connection is None:
            authority = probe.host or _authority(probe)
            connection = GrpcConnection(await _connected(probe), probe.check.service, authority, USER_AGENT)
            self._grpc[probe] = connection
        try:
            return await connection.check()
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


async def _connected(probe: Probe) -> socket.socket:
    """A new connection, to be closed."""
    sock = socket.socket(socket.AF_INET6 if ":" in probe.address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (probe.address, probe.port))
    except BaseException:
        sock.close()
        raise
    return sock


async def _tcp(probe: Probe) -> str:
    (await _connected(probe)).close()
    return ""


async def _http(probe: Probe) -> str:
    """By hand: all that counts is the first line."""
    host = probe.host or _authority(probe)
    question = f"GET {probe.check.path} HTTP/1.1\r\nHost: {host}\r\n{_FIELDS}Connection: close\r\n\r\n"
    with await _connected(probe) as sock:
        await asyncio.get_running_loop().sock_sendall(sock, question.encode("ascii"))
        return await _answered(sock)


async def _answered(sock: socket.socket) -> str:
    """Why the answer is none that counts."""
    loop, data = asyncio.get_running_loop(), b""
    while True:
        match = _STATUS.match(data)
        if match is None and (b"\n" in data or len(data) > _MOST_HEAD):
            return f"no HTTP: {data[:40]!r}"
        if match is not None and (end := _END.search(data, match.end() - 1)):
            status = int(match[1])
            if status >= 200:
                return _verdict(status)
            data = data[end.end() :]  # others come before the answer (100, 103)
            continue
        if len(data) > _MOST_HEAD:
            return f"the answer's head is longer than {_MOST_HEAD // 1024} KiB"
        piece = await loop.sock_recv(sock, _MOST_HEAD)
        if not piece:
            return f"no HTTP: {data[:40]!r}" if data and match is None else CLOSED
        data += piece


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
