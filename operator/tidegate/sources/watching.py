"""kopf's part: events of the cluster, as they come, in a thread with an event loop of its own.

A burst of events costs kopf about a millisecond each. In its own thread that never holds the loop that answers health
checks and admission reviews. Only `@kopf.on.event` handlers are used: kopf's other handlers write annotations and
finalizers onto objects, and these belong to users.

kopf lists each kind before it watches it. All that it needs of that is where the watch begins, and what was missed is
found by comparing versions, so it is given an empty list: with thousands of objects each start, and each watch that
had to begin again, would else keep changes waiting for many seconds.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

import aiohttp
import kopf
from yarl import URL

from tidegate.kubernetes.client import CHUNK, Access, ConnectError
from tidegate.kubernetes.kinds import Kind

log = logging.getLogger("tidegate")

AGAIN_FIRST, AGAIN_MOST = 1.0, 30.0  # seconds before kopf is started again

NOBODY = "metadata.name=."  # a field selector; no object can have this name

OnEvent = Callable[[Kind, str | None, dict[str, Any]], None]
OnListed = Callable[[Kind], None]


class Watcher:
    """Follows kinds until `stop`.

    The callbacks run in kopf's thread: `on_event` gets what a watch says; `on_listed` is called when the watch of a
    kind begins, before which anything may have been missed.
    """

    def __init__(
        self,
        access: Access,
        kinds: Iterable[Kind],
        namespaces: Iterable[str],
        on_event: OnEvent,
        on_listed: OnListed,
    ) -> None:
        self._access, self._kinds, self._namespaces = access, tuple(kinds), tuple(namespaces)
        self._on_event, self._on_listed = on_event, on_listed
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 10)

    def _run(self) -> None:
        """kopf gives up when it is forbidden something or cannot log in; the cluster may be mended meanwhile."""
        pause = AGAIN_FIRST
        while not self._stop.is_set():
            try:
                asyncio.run(self._operate())
            except Exception as error:
                log.error("the cluster is not followed, trying again in %.0f s: %s", pause, error)
            if self._stop.wait(pause):
                return
            pause = min(2 * pause, AGAIN_MOST)

    async def _operate(self) -> None:
        await kopf.operator(
            registry=self._registry(),
            settings=self._settings(),
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=self._stop,
        )

    def _settings(self) -> kopf.OperatorSettings:
        settings = kopf.OperatorSettings()
        settings.scanning.disabled = True  # no looking around in the cluster, which namespaced Roles do not allow
        settings.posting.enabled = False
        settings.watching.chunk_size = CHUNK
        settings.watching.connect_timeout = 10
        settings.networking.connect_timeout = 10
        settings.networking.request_timeout = 60
        settings.networking.error_backoffs = (0.2, 0.5, 1, 2, 5, 10)
        settings.queueing.idle_timeout = 1
        for kind in self._kinds:
            if kind.selector:
                settings.watching.field_selectors[kind.group, kind.version, kind.plural] = kind.selector
        return settings

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._log_in)
        for kind in self._kinds:
            kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=kind.plural)(self._noter(kind))
        return registry

    def _noter(self, kind: Kind) -> Any:
        async def note(event: kopf.RawEvent, **_: object) -> None:
            self._on_event(kind, event["type"], dict(event["object"]))

        return note

    async def _log_in(self, **_: object) -> kopf.AiohttpSession:
        traces = aiohttp.TraceConfig()
        traces.on_request_end.append(self._requested)
        try:
            server, session = await self._access.session(traces, change=_list_nothing)
        except ConnectError as error:
            raise kopf.LoginError(str(error)) from error
        return kopf.AiohttpSession(server=server, aiohttp_session=session)

    async def _requested(
        self, session: aiohttp.ClientSession, context: object, request: aiohttp.TraceRequestEndParams
    ) -> None:
        if not _is_list(request.method, request.url) or request.response.status != 200:
            return
        for kind in self._kinds:
            if request.url.path.rpartition("/")[2] == kind.plural:
                self._on_listed(kind)


def _is_list(method: str, url: URL) -> bool:
    return method == "GET" and "limit" in url.query and "watch" not in url.query and "continue" not in url.query


def _list_nothing(request: aiohttp.ClientRequest) -> None:
    if _is_list(request.method, request.url):
        wanted = request.url.query.get("fieldSelector")
        request.url = request.url.update_query(fieldSelector=f"{wanted},{NOBODY}" if wanted else NOBODY)
