"""The `directory` source: a watched folder of manifests instead of a cluster.

Events come from watchfiles (inotify). Because events can be lost (a full queue, a race with a new sub-folder, a
link to somewhere else), everything is also looked at every few seconds by time stamp; that reads no file again.
All reading and decoding happens in a worker thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path

import anyio._backends._asyncio  # noqa: F401 - watchfiles would have it read while the event loop runs
import watchfiles

from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.resources.changes import Change, SourceUpdate
from tidegate.sources import tree
from tidegate.sources.entries import FileContent, read_text
from tidegate.sources.folder import Folder
from tidegate.sources.reader import NO_MANIFESTS, FolderReader, MissingFolderError, broken, check_folder

__all__ = ["DirectorySource", "MissingFolderError", "load_once", "load_text"]

INGRESS_CLASS = "nginx"
CONTROLLER_CLASS = "k8s.io/ingress-nginx"

_STEP_MS = 15
_DEBOUNCE_MS = 45
_RESCAN = 5.0
_RESCAN_SOON = 0.5
_MANY = 500
_RETRY = 30.0


class DirectorySource:
    """A `Source` that reads `*.yaml`, `*.yml` and `*.json` below `root`.

    `ingress_class` and `controller_class` name the IngressClass that exists as the default one while the folder has
    none of its own. `created_before` holds creation times from an earlier run, for objects that the first scan finds.
    """

    def __init__(
        self,
        root: Path,
        *,
        ingress_class: str = INGRESS_CLASS,
        controller_class: str = CONTROLLER_CLASS,
        clock: Callable[[], float] = time.time,
        created_before: Mapping[ObjectKey, int] | None = None,
    ) -> None:
        folder = Folder(ingress_class=ingress_class, controller_class=controller_class, created_before=created_before)
        self._reader = FolderReader(root, folder, clock)
        self._root = root

    async def complete(self, missing: frozenset[ObjectKey]) -> tuple[Change, ...]:
        """Nothing: all that the folder has is delivered."""
        return ()

    def release(self, keys: frozenset[ObjectKey]) -> tuple[Change, ...]:
        """Nothing: what is in the folder stays."""
        return ()

    async def updates(self) -> AsyncGenerator[SourceUpdate, None]:
        """The complete state, then changes to it as they happen; to be iterated once, and closed.

        Raises MissingFolderError at the start when there is no such folder. One that goes away later is a finding.
        """
        reader = self._reader
        await asyncio.to_thread(check_folder, self._root)
        watch = _Watch(self._root)
        try:
            await watch.ensure()
            yield await asyncio.to_thread(reader.initial)
            rescan_at = 0.0  # at once: closes the gap between the scan and the watch
            while True:
                wait = max(0.0, rescan_at - time.monotonic())
                look = reader.next_look()
                paths = await watch.next(wait if look is None else min(wait, look))
                restarted = await watch.ensure()
                reader.notice("WatchFailed", watch.failure)
                started = time.monotonic()
                everything = restarted or started >= rescan_at
                update = await asyncio.to_thread(reader.apply, paths, everything=everything)
                if everything:
                    now = time.monotonic()
                    soon = watch.failure or reader.missing
                    rescan_at = now + (_RESCAN_SOON if soon else max(_RESCAN, 100 * (now - started)))
                if len(paths) > _MANY:
                    rescan_at = min(rescan_at, time.monotonic() + _RESCAN_SOON)
                if update is not None:
                    yield update
        finally:
            reader.stop()
            await watch.close()


class _Watch:
    """Events below a folder, as visible names; starts again when the folder is replaced or the watcher fails."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._identity: tuple[str, int, int] | None = None
        self._watched = ""
        self._events: AsyncGenerator[set[watchfiles.main.FileChange], None] | None = None
        self._pending: asyncio.Task[set[watchfiles.main.FileChange]] | None = None
        self._retry_at = 0.0
        self.failure: str | None = None

    async def ensure(self) -> bool:
        """Start, or start again where needed; whether it did so."""
        identity = await asyncio.to_thread(_identity, self._root)
        if identity is None:
            self._identity = None
            return False
        if identity == self._identity and self._pending is not None:
            return False
        if time.monotonic() < self._retry_at:
            return False
        await self.close()
        self._identity, self._watched = identity, identity[0]
        self._events = watchfiles.awatch(
            identity[0],
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            recursive=True,
            force_polling=False,
            ignore_permission_denied=True,
        )
        self._pending = asyncio.create_task(_next(self._events))
        await asyncio.sleep(0)  # lets it set the watches up
        self.failure = None
        return True

    async def next(self, seconds: float) -> set[str]:
        """Visible names where something happened; empty after `seconds` without events."""
        if self._pending is None or self._events is None:
            await asyncio.sleep(seconds)
            return set()
        done, _ = await asyncio.wait({self._pending}, timeout=seconds)
        if not done:
            return set()
        try:
            changes = self._pending.result()
        except (OSError, RuntimeError) as error:
            self.failure = f"changes are seen with delay, the folder cannot be watched: {error or type(error).__name__}"
            self._retry_at = time.monotonic() + _RETRY
            await self.close()
            return set()
        self._pending = asyncio.create_task(_next(self._events))
        return {path.removeprefix(self._watched).strip("/") for _, path in changes}

    async def close(self) -> None:
        pending, events = self._pending, self._events
        self._pending = self._events = None
        if pending is not None:
            pending.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, RuntimeError):
                await pending
        if events is not None:
            await events.aclose()


async def _next(
    events: AsyncGenerator[set[watchfiles.main.FileChange], None],
) -> set[watchfiles.main.FileChange]:
    try:
        return await anext(events)
    except StopAsyncIteration:
        raise RuntimeError("the watcher has ended") from None


def _identity(root: Path) -> tuple[str, int, int] | None:
    """Where the folder really is, and which one it is."""
    try:
        real = root.resolve(strict=True)
        status = real.stat()
    except (OSError, RuntimeError):
        return None
    return str(real), status.st_dev, status.st_ino


def load_once(
    root: Path, *, ingress_class: str = INGRESS_CLASS, controller_class: str = CONTROLLER_CLASS
) -> SourceUpdate:
    """What the folder (or the one file) `root` says now. Raises MissingFolderError."""
    folder = Folder(ingress_class=ingress_class, controller_class=controller_class)
    if tree.is_folder(root) or not tree.exists(root):
        return FolderReader(root, folder, time.time).initial()
    result, place = None, tree.shown(str(root))
    try:
        result = tree.read_named(root)
        content = read_text(result[0], place) if result else FileContent()
    except (tree.TooLargeError, OSError) as error:
        content = broken(place, error)
    folder.put(root.name, content, result[1].modified_ns // 10**9 if result else 0)
    return _settled(folder, content, place)


def load_text(
    text: bytes | str,
    *,
    file: str = "<stdin>",
    created: int = 0,
    ingress_class: str = INGRESS_CLASS,
    controller_class: str = CONTROLLER_CLASS,
) -> SourceUpdate:
    """What manifests from elsewhere say; `created` (epoch seconds) stands in for absent creation times."""
    folder = Folder(ingress_class=ingress_class, controller_class=controller_class)
    content = read_text(text, file)
    folder.put(file, content, created)
    return _settled(folder, content, file)


def _settled(folder: Folder, content: FileContent, place: str) -> SourceUpdate:
    """What is without any object is likely not what was meant."""
    if not (content.entries or content.findings or content.ignored):
        key = ObjectKey("File", "", place)
        message = "there is no object in it"
        folder.notice(NO_MANIFESTS, Finding(key, "", Severity.WARNING, NO_MANIFESTS, message, place))
    return folder.settle() or SourceUpdate((), folder.findings)
