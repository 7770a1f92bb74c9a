"""Files that routes and configuration name by the digest of their content: written before anything names them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


class DigestFiles:
    """A folder of such files. What was written stays, for older workers and configurations may still name it."""

    def __init__(self, folder: Path, mode: int, suffix: str = "") -> None:
        self._folder, self._mode, self._suffix = folder, mode, suffix
        self._written: set[str] = set()

    def write(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Write those that this process has not written yet: digest and content. Raises OSError."""
        for digest, text in files:
            if digest in self._written:
                continue
            path = self._folder / f"{digest}{self._suffix}"
            temporary = path.with_suffix(".new")
            temporary.unlink(missing_ok=True)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, self._mode)
            with os.fdopen(handle, "wb") as file:
                file.write(text)
            temporary.chmod(self._mode)  # whatever the umask is
            temporary.rename(path)
            self._written.add(digest)

    def drop_unnamed(self, configurations: Path) -> None:
        """Remove what an earlier process has written and no file of that folder names. For the start, before any other.

        Where another user keeps the configurations to itself, all stays.
        """
        try:
            texts = [path.read_text(errors="replace") for path in configurations.iterdir()]
        except FileNotFoundError:
            texts = []
        except OSError:
            return
        for path in self._folder.iterdir():
            if not any(path.name in text for text in texts):
                path.unlink(missing_ok=True)
