"""The webhook's HTTPS server: any path, one review a request."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time

from aiohttp import web

from tidegate.admission.certificate import Keeper
from tidegate.admission.counts import AdmissionCounts
from tidegate.admission.judge import Judge, Verdict
from tidegate.admission.review import ReviewError, answer, read_review

log = logging.getLogger("tidegate")

LARGEST = 9 * 1024 * 1024  # bytes; an object of the API server has at most 3 MiB
SMALL = 16 * 1024  # bytes of a review that is answered at once: a thread would cost more than the review
BUDGET = 2.0  # seconds for one review: a webhook that is slow holds up everybody's kubectl


class WebhookPortError(Exception):
    """The webhook's port cannot be opened; the message names it."""


class AdmissionServer:
    """Serves on one address with whatever certificate `keeper` has now."""

    def __init__(self, judge: Judge, keeper: Keeper, host: str, port: int, counts: AdmissionCounts) -> None:
        self._judge, self._keeper, self._host, self._port = judge, keeper, host, port
        self._counts = counts
        self.app = web.Application(client_max_size=LARGEST)
        self.app.router.add_post("/{path:.*}", self._review)
        self._runner: web.AppRunner | None = None

    async def run(self) -> None:
        """Serve until cancelled. Raises WebhookPortError."""
        context = await self._keeper.context()
        self._runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=5)
        await self._runner.setup()
        try:
            await self._listen(context)
            await self._keeper.run()
        finally:
            await self._runner.cleanup()

    async def _listen(self, context: ssl.SSLContext) -> None:
        assert self._runner is not None
        site = web.TCPSite(self._runner, self._host or None, self._port, ssl_context=context, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            place = f"{self._host or '*'}:{self._port}"
            raise WebhookPortError(
                f"the webhook's port {place} cannot be opened: {error.strerror} (--validating-webhook)"
            ) from error

    async def _review(self, request: web.Request) -> web.Response:
        started = time.perf_counter()
        body = await request.read()
        try:
            asked = read_review(body)
        except ReviewError as error:
            return web.Response(status=error.status, text=f"{error}\n")
        item = asked.object or {}
        verdict = await self._judged(item, len(body))
        meta = item.get("metadata") or {}
        self._counts.add(
            str(meta.get("namespace") or ""),
            str(meta.get("name") or ""),
            allowed=verdict.allowed,
            duration=time.perf_counter() - started,
            size=len(body),
        )
        return web.Response(body=answer(asked.uid, verdict), content_type="application/json")

    async def _judged(self, item: dict[str, object], size: int) -> Verdict:
        """A large one in a worker thread: a text that takes long must not hold up others."""
        try:
            if size <= SMALL:
                return self._judge.judge(item)
            async with asyncio.timeout(BUDGET):
                return await asyncio.to_thread(self._judge.judge, item)
        except TimeoutError:
            log.warning("a review took longer than %.0f s: let in unchecked, the data plane checks again", BUDGET)
            return Verdict(True, warnings=("not checked in time; see the Events of the object",))
        except Exception:
            log.exception("a review failed: let in unchecked, the data plane checks again")
            return Verdict(True, warnings=("not checked for a fault of the webhook; see the Events of the object",))
