"""Finding and reading the manifest files of a folder.

A file is known by its visible name: its path below the root, with `/`. Hidden names (a leading dot) are skipped, and
with them the `..data` machinery of mounted ConfigMaps, whose visible names are symbolic links into it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tidegate.sources.manifests import MAX_BYTES

SUFFIXES = (".yaml", ".yml", ".json")


class Stamp(NamedTuple):
    """Changes when a file is written or replaced, also behind a symbolic link."""

    modified_ns: int
    size: int
    inode: int
    device: int


class TooLargeError(Exception):
    """A file that is not even read."""


class UnreadableFolderError(Exception):
    """A folder that exists and cannot be listed; `name` is its visible name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name, self.reason = name, reason


def is_manifest_name(name: str) -> bool:
    """By its last part; `x.yaml~`, `x.yaml.tmp` and `.x.yaml.swp` are none."""
    return name.endswith(SUFFIXES) and not name.startswith(".")


def is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def why_no_folder(path: Path) -> str:
    """Empty for a folder."""
    try:
        return "" if stat.S_ISDIR(path.stat().st_mode) else "is not a folder"
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be reached: {error.strerror or error}"


def exists(path: Path) -> bool:
    """Links that lead nowhere do not exist."""
    try:
        return path.exists()
    except OSError:
        return False


def stamp_of(status: os.stat_result) -> Stamp:
    return Stamp(status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev)


def walk(root: Path, below: str = "") -> Iterator[tuple[str, Stamp] | UnreadableFolderError]:
    """All manifest files below the folder `below` (a visible name, empty for the root).

    Symbolic links are followed, to folders too, but never into a folder that one is already in. A folder that
    vanishes while it is read has no files; one that cannot be listed is given as an error.
    """
    pending: list[tuple[str, frozenset[tuple[int, int]]]] = [(below, frozenset())]
    while pending:
        folder, above = pending.pop()
        path = root / folder if folder else root
        try:
            status = path.stat()
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                continue
            inside = above | {identity}
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    try:
                        if entry.is_dir():
                            pending.append((name, inside))
                        elif entry.name.endswith(SUFFIXES) and stat.S_ISREG((status := entry.stat()).st_mode):
                            yield name, stamp_of(status)
                    except OSError:
                        continue  # a dangling link or a loop of links
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            yield UnreadableFolderError(folder, error.strerror or str(error))


def read(path: Path) -> tuple[bytes, Stamp] | None:
    """A file's content; None when there is no regular file (any more). Raises TooLargeError and OSError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size > MAX_BYTES:
                raise TooLargeError
            data = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(data) > MAX_BYTES:
        raise TooLargeError
    return data, stamp_of(status)


def read_named(path: Path) -> tuple[bytes, Stamp] | None:
    """The same of what somebody has named himself: a pipe will do, too."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode):
            return read(path)
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise TooLargeError
    return data, stamp_of(status)


def shown(path: str) -> str:
    """A path fit for findings: valid UTF-8 on one line."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return text if text.isprintable() else ascii(text)[1:-1]
