"""A client of the Kubernetes API: JSON in and out, and errors that say what they mean.

Credentials and addresses come from kubernetes-asyncio (kubeconfig with all its plugins, service accounts with rotated
tokens); its generated classes are not used, because they cost memory and time for each object.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import tenacity
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config

from tidegate.kubernetes.kinds import Kind

log = logging.getLogger("tidegate")

CHUNK = 500
REQUEST_SECONDS = 30.0
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


class ApiError(Exception):
    """What the API server refused; `status` is the HTTP status, 0 when there was no answer.

    `retry_after` are the seconds to wait that the server asks for, 0 where it does not.
    """

    def __init__(self, status: int, message: str, retry_after: float = 0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class NotFoundError(ApiError):
    """There is no such object or kind (404)."""


class ForbiddenError(ApiError):
    """The service account may not do that (403)."""


class ConflictError(ApiError):
    """The object changed in between, or exists already."""


class GoneError(ApiError):
    """The version that was asked for is no longer kept (410)."""


class UnavailableError(ApiError):
    """No answer, or one that says: later (429, 5xx)."""


class ThrottledError(UnavailableError):
    """Later (429): nothing was done."""


class ConnectError(Exception):
    """No usable credentials; the message says where they were looked for."""


_ERRORS: dict[int, type[ApiError]] = {
    401: ForbiddenError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    429: ThrottledError,
}


class _Status(msgspec.Struct):
    message: str = ""


class Meta(msgspec.Struct, rename="camel", gc=False):
    """Name and version of one object."""

    name: str
    uid: str
    resource_version: str
    namespace: str = ""


class _Partial(msgspec.Struct, gc=False):
    metadata: Meta


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = "0"
    continue_: str = msgspec.field(default="", name="continue")


class _PartialList(msgspec.Struct):
    metadata: _ListMeta
    items: list[_Partial] | None = None


class _ObjectList(msgspec.Struct):
    metadata: _ListMeta
    items: list[dict[str, Any]] | None = None


class Access:
    """Where the API server is and how to log in; each session of it has credentials of its own."""

    def __init__(self, kubeconfig: str = "", host: str = "", certificate_authority: str = "") -> None:
        self._kubeconfig, self._host, self._authority = kubeconfig, host, certificate_authority

    async def configuration(self) -> Configuration:
        """Flags first, then a kubeconfig, then the pod's service account. Raises ConnectError."""
        configuration = Configuration()
        try:
            if self._kubeconfig:
                await load_kube_config(self._kubeconfig, client_configuration=configuration, persist_config=False)
            elif not self._host:
                load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except ConfigException as error:
            where = f"--kubeconfig {self._kubeconfig}" if self._kubeconfig else "the pod's service account"
            raise ConnectError(f"no way to the API server by {where}: {error}") from error
        if self._host:
            configuration.host = self._host
        if self._authority:
            configuration.ssl_ca_cert = self._authority
        return configuration

    async def session(
        self, *traces: aiohttp.TraceConfig, change: Callable[[aiohttp.ClientRequest], None] | None = None
    ) -> tuple[str, aiohttp.ClientSession]:
        """The server's URL and a session that logs in; `change` sees each request first. Raises ConnectError."""
        configuration = await self.configuration()

        async def log_in(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
            if change is not None:
                change(request)
            token = await configuration.get_api_key_with_prefix("BearerToken")
            if token:
                request.headers["Authorization"] = token
            return await handler(request)

        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=await asyncio.to_thread(_ssl_context, configuration)),
            middlewares=(log_in,),
            trace_configs=list(traces),
            proxy=configuration.proxy,
            read_bufsize=2**20,
        )
        return configuration.host or "", session


def _ssl_context(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Kubernetes:
    """One connection to the API server.

    Reads are tried again for `patience` seconds while it cannot answer, writes only where it certainly did nothing.
    """

    def __init__(self, server: str, session: aiohttp.ClientSession, *, patience: float = 10) -> None:
        self._server, self._session = server.rstrip("/"), session
        self._retrying = _retrying(UnavailableError, patience)
        self._retrying_writes = _retrying(ThrottledError, patience)

    @classmethod
    async def connect(cls, access: Access, *, patience: float = 10) -> Kubernetes:
        """Raises ConnectError."""
        return cls(*await access.session(), patience=patience)

    @property
    def addresses(self) -> frozenset[str]:
        """The host of the API server, and the one that pods are told, as they are written."""
        hosts = (urlsplit(self._server).hostname, os.environ.get("KUBERNETES_SERVICE_HOST"))
        return frozenset(host for host in hosts if host)

    async def close(self) -> None:
        await self._session.close()

    # -- reading ------------------------------------------------------------------------------------------------------

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        """One object. Raises NotFoundError, ForbiddenError, UnavailableError."""
        found: dict[str, Any] = msgspec.json.decode(await self._read(kind.path(namespace, name)))
        found.setdefault("kind", kind.name)
        found.setdefault("apiVersion", kind.group_version)
        return found

    async def read(self, path: str, **query: str) -> bytes:
        """What a path answers. Raises as `get` does."""
        return await self._read(path, query)

    async def objects(self, kind: Kind, namespace: str = "", labels: str = "") -> AsyncIterator[list[dict[str, Any]]]:
        """All objects of a kind, in chunks. Raises GoneError when the list has to be begun again."""
        async for body in self._pages(kind, namespace, {"labelSelector": labels} if labels else {}):
            page = await asyncio.to_thread(msgspec.json.decode, body, type=_ObjectList)
            for item in page.items or ():
                item.setdefault("kind", kind.name)
                item.setdefault("apiVersion", kind.group_version)
            yield page.items or []

    async def census(self, kind: Kind, namespace: str = "") -> tuple[list[Meta], int]:
        """Names and versions of all objects of a kind, and the version of the list. Raises GoneError."""
        found: list[Meta] = []
        version = 0
        async for body in self._pages(kind, namespace, {}, METADATA_ONLY):
            page = await asyncio.to_thread(msgspec.json.decode, body, type=_PartialList)
            version = int(page.metadata.resource_version or 0)
            found += [item.metadata for item in page.items or ()]
        return found, version

    async def _pages(
        self, kind: Kind, namespace: str, query: dict[str, str], accept: str = "application/json"
    ) -> AsyncIterator[bytes]:
        query = {**query, "limit": str(CHUNK)}
        if kind.selector:
            query["fieldSelector"] = kind.selector
        while True:
            body = await self._read(kind.path(namespace), query, accept)
            yield body
            after = msgspec.json.decode(body, type=_Continue).metadata.continue_
            if not after:
                return
            query["continue"] = after

    async def _read(self, path: str, query: dict[str, str] | None = None, accept: str = "application/json") -> bytes:
        async for attempt in self._retrying.copy():
            with attempt:
                return await self._request("GET", path, query or {}, headers={"Accept": accept})
        raise AssertionError("unreachable")

    # -- writing ------------------------------------------------------------------------------------------------------

    async def create(self, kind: Kind, namespace: str, body: object) -> dict[str, Any]:
        """Raises ConflictError when it exists."""
        return await self._write("POST", kind.path(namespace), body)

    async def replace(self, kind: Kind, namespace: str, name: str, body: object, part: str = "") -> dict[str, Any]:
        """Write a whole object. Raises ConflictError when `metadata.resourceVersion` is not the current one."""
        return await self._write("PUT", kind.path(namespace, name, part), body)

    async def merge(self, kind: Kind, namespace: str, name: str, body: object, part: str = "") -> dict[str, Any]:
        """A JSON merge patch; a resourceVersion in it makes a conflict of a change in between."""
        return await self._write("PATCH", kind.path(namespace, name, part), body, MERGE)

    async def apply(
        self, kind: Kind, namespace: str, name: str, body: object, *, manager: str, part: str = ""
    ) -> dict[str, Any]:
        """Server-side apply as the field manager `manager`, which owns what it says."""
        query = {"fieldManager": manager, "force": "true"}
        return await self._write("PATCH", kind.path(namespace, name, part), body, APPLY, query)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str = "") -> None:
        """Delete an object, if it is still the one of that UID. Raises NotFoundError, ConflictError."""
        body = {"preconditions": {"uid": uid}} if uid else {}
        await self._write("DELETE", kind.path(namespace, name), body)

    async def _write(
        self,
        method: str,
        path: str,
        body: object,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        headers, data = {"Content-Type": content_type}, msgspec.json.encode(body)
        async for attempt in self._retrying_writes.copy():
            with attempt:
                answer = await self._request(method, path, query or {}, headers=headers, data=data)
                found: dict[str, Any] = msgspec.json.decode(answer)
                return found
        raise AssertionError("unreachable")

    async def _request(
        self, method: str, path: str, query: dict[str, str], *, headers: dict[str, str], data: bytes | None = None
    ) -> bytes:
        try:
            async with self._session.request(
                method,
                self._server + path,
                params=query,
                headers=headers,
                data=data,
                timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
            ) as answer:
                body = await answer.read()
                if answer.status < 400:
                    return body
                raise _error(method, path, answer, body)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnavailableError(0, f"{method} {path}: {error or type(error).__name__}") from error


class _Continue(msgspec.Struct):
    metadata: _ListMeta


def _error(method: str, path: str, answer: aiohttp.ClientResponse, body: bytes) -> ApiError:
    try:
        message = msgspec.json.decode(body, type=_Status).message
    except msgspec.DecodeError:
        message = body[:200].decode("utf-8", "replace")
    status = answer.status
    kind = UnavailableError if status >= 500 else _ERRORS.get(status, ApiError)
    try:
        later = float(answer.headers.get("Retry-After", 0))
    except ValueError:
        later = 0
    return kind(status, f"{method} {path}: {status} {message}", later)


_backoff = tenacity.wait_exponential_jitter(multiplier=0.1, max=5, jitter=0.3)


def _retrying(what: type[ApiError], patience: float) -> tenacity.AsyncRetrying:
    return tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(what),
        wait=_wait,
        stop=tenacity.stop_after_delay(patience),
        reraise=True,
    )


def _wait(state: tenacity.RetryCallState) -> float:
    """What the server asks for, or a growing pause."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, ApiError) else 0
    return max(asked, _backoff(state))
