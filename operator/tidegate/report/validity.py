"""Which of the certificates that are shown are not valid now, or soon no longer, as time goes by."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from tidegate.findings import Finding
from tidegate.report.expiry import Expiry
from tidegate.translate.engine import Translator

log = logging.getLogger("tidegate")

EVERY = 600.0  # seconds after which all are looked at again
INLINE = 50  # hosts that are looked at without leaving the event loop


class Validity:
    """`lock` guards the translator; `on_news` is called when there are other findings."""

    def __init__(self, translator: Translator, lock: asyncio.Lock, on_news: Callable[[], None]) -> None:
        self._translator, self._lock, self._on_news = translator, lock, on_news
        self._expiry = Expiry()
        self._changed: set[str] | None = None  # hosts; None: any may have
        self._look = asyncio.Event()
        self.findings: tuple[Finding, ...] = ()

    def look_at_all(self) -> None:
        """Soon; any certificate may have changed."""
        self._changed = None
        self._look.set()

    def look_at(self, hosts: Iterable[str]) -> None:
        """Soon; their certificates have changed."""
        if self._changed is not None:
            self._changed |= set(hosts)
        self._look.set()

    async def watch(self) -> None:
        """Until cancelled: all now and then, else what changed."""
        while True:
            try:
                await asyncio.wait_for(self._look.wait(), EVERY)
            except TimeoutError:
                self._changed = None
            async with self._lock:
                self._look.clear()
                changed, self._changed = self._changed, set()
                if changed is not None and len(changed) <= INLINE:
                    found = self._found(changed)
                else:
                    found = await asyncio.to_thread(self._found, changed)
            if found != self.findings:
                for item in sorted(set(found) - set(self.findings)):
                    log.warning("%s: %s", item.object, item.message)
                self.findings = found
                self._on_news()

    def _found(self, hosts: set[str] | None) -> tuple[Finding, ...]:
        now = time.time()
        if hosts is None:
            self._expiry = Expiry()
            hosts = {host for host, _ in self._translator.certificate_infos}
        self._expiry.look({host: self._translator.certificates_of(host) for host in hosts}, now)
        return self._expiry.findings(now)
