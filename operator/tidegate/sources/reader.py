"""Keeps a `Folder` in step with the files on disk: which to read again after which events. Blocking I/O; one caller
at a time, usually in a worker thread.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.resources.changes import SourceUpdate
from tidegate.sources import tree
from tidegate.sources.entries import FileContent, read_text
from tidegate.sources.folder import Folder
from tidegate.sources.manifests import MAX_BYTES, unreadable

NO_MANIFESTS = "NoManifests"
EMPTY_GRACE = 0.15
"""Seconds for which a file that lost all its text is not believed: it is likely being written."""


class MissingFolderError(Exception):
    """The folder of manifests is not there, or is no folder."""


class StoppedError(Exception):
    """`stop` was called during a scan."""


class FolderReader:
    """Reads the files below `root` into `folder`."""

    def __init__(self, root: Path, folder: Folder, clock: Callable[[], float]) -> None:
        self.root = root
        self._folder = folder
        self._clock = clock
        self._stamps: dict[str, tree.Stamp] = {}
        self._digests: dict[str, bytes] = {}
        self._emptied: dict[str, float] = {}
        self._stopped = False
        self.missing = False

    def stop(self) -> None:
        """From any thread: a scan under way ends with StoppedError."""
        self._stopped = True

    def initial(self) -> SourceUpdate:
        """The complete state. Raises MissingFolderError."""
        check_folder(self.root)
        self._rescan("", initial=True)
        self._notice_emptiness()
        update = self._folder.settle()
        self._folder.forget_earlier_run()
        return update or SourceUpdate((), self._folder.findings)

    def apply(self, paths: Iterable[str], *, everything: bool = False) -> SourceUpdate | None:
        """What follows from events at `paths` (below the root, with `/`), or from a look at everything.

        None when nothing does.
        """
        self._look_at(paths)
        if everything:
            self._rescan("")
        for name in [name for name, until in self._emptied.items() if time.monotonic() >= until]:
            self._load(name, believe_empty=True)
        self._notice_emptiness()
        return self._folder.settle()

    def next_look(self) -> float | None:
        """Seconds until `apply` should be called again even without events."""
        return max(0.0, min(self._emptied.values()) - time.monotonic()) if self._emptied else None

    def notice(self, subject: str, message: str | None) -> None:
        """A warning about the folder itself, or its end."""
        key = ObjectKey("Folder", "", tree.shown(str(self.root)))
        finding = Finding(key, "", Severity.WARNING, subject, message, key.name) if message else None
        self._folder.notice(subject, finding)

    def _notice_emptiness(self) -> None:
        """A folder without manifests is likely another one than was meant."""
        empty = not self.missing and not any(True for _ in self._folder.files())
        endings = ", ".join(f"*{suffix}" for suffix in tree.SUFFIXES)
        self.notice(NO_MANIFESTS, f"nothing is served: there is no file {endings} in it" if empty else None)

    def _look_at(self, paths: Iterable[str]) -> None:
        folders: set[str] = set()
        gone: list[str] = []
        files: set[str] = set()
        for path in paths:
            parts = path.split("/") if path else []
            hidden = next((i for i, part in enumerate(parts) if part.startswith(".")), None)
            if hidden is not None:
                if parts[hidden].startswith(".."):
                    folders.add("/".join(parts[:hidden]))
            elif tree.is_folder(self.root / path):
                folders.add(path)
            elif tree.is_manifest_name(parts[-1] if parts else ""):
                files.add(path)
                gone.append(path)
            else:
                gone.append(path)
        gone = [path for path in gone if not tree.exists(self.root / path)]
        if gone:
            if not tree.is_folder(self.root):
                self._rescan("")
                return
            below = tuple(f"{path}/" for path in gone)
            for name in [name for name in self._folder.files() if name.startswith(below)]:
                self._load(name)
        for path in sorted(files):
            self._load(path)
        for path in sorted(folders):
            if not any(path != other and (not other or path.startswith(f"{other}/")) for other in folders):
                self._rescan(path)

    def _rescan(self, below: str, *, initial: bool = False) -> None:
        """Read what is new or different below a folder, forget what is gone."""
        self.missing = not tree.is_folder(self.root)
        if self.missing:
            self.notice("FolderMissing", "the folder is gone; its last objects stay in force until it is back")
            return
        self.notice("FolderMissing", None)
        prefix = f"{below}/" if below else ""
        seen: set[str] = set()
        blind: list[str] = []
        for found in tree.walk(self.root, below):
            if isinstance(found, tree.UnreadableFolderError):
                blind.append(found.name)
                subject = tree.shown(str(self.root / found.name))
                self._folder.notice(f"folder {found.name}", unreadable(subject, found.reason))
                continue
            name, stamp = found
            seen.add(name)
            if self._stamps.get(name) != stamp:
                self._load(name, initial=initial)
        if not below:
            self._folder.keep_notices("folder ", {f"folder {name}" for name in blind})
        unseen = [name for name in self._folder.files() if name not in seen and name.startswith(prefix)]
        for name in unseen:
            if not any(not folder or name.startswith(f"{folder}/") for folder in blind):
                self._load(name)

    def _load(self, name: str, *, initial: bool = False, believe_empty: bool = False) -> None:
        if self._stopped:
            raise StoppedError
        path = self.root / name
        place = tree.shown(str(path))
        try:
            result = tree.read(path)
        except (tree.TooLargeError, OSError) as error:
            self._put(name, broken(place, error), self._clock())
            return
        if result is None:
            self._remove(name)
            return
        data, stamp = result
        if not believe_empty and self._folder.has_objects(name) and not data.strip():
            self._emptied.setdefault(name, time.monotonic() + EMPTY_GRACE)
            return
        self._emptied.pop(name, None)
        digest = hashlib.blake2b(data, digest_size=16).digest()
        if self._digests.get(name) != digest:
            when = stamp.modified_ns / 1e9 if initial else self._clock()
            self._put(name, read_text(data, place), when)
            self._digests[name] = digest
        self._stamps[name] = stamp

    def _put(self, name: str, content: FileContent, when: float) -> None:
        self._digests.pop(name, None)
        self._stamps.pop(name, None)
        self._emptied.pop(name, None)
        self._folder.put(name, content, int(when))

    def _remove(self, name: str) -> None:
        self._folder.remove(name)
        self._digests.pop(name, None)
        self._stamps.pop(name, None)
        self._emptied.pop(name, None)


def check_folder(root: Path) -> None:
    """Raises MissingFolderError unless `root` is a folder."""
    if fault := tree.why_no_folder(root):
        raise MissingFolderError(f"the folder of manifests {tree.shown(str(root))} {fault}")


def broken(place: str, error: tree.TooLargeError | OSError) -> FileContent:
    """What is known of a file that cannot be read."""
    if isinstance(error, tree.TooLargeError):
        message = f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB"
    else:
        message = error.strerror or str(error)
    return FileContent(findings=(unreadable(place, message),), readable=False)
