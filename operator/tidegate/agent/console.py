"""NGINX's error log on the agent's own stderr, where a container's messages belong, and never a large file.

NGINX writes a file because the agent has to read what it says about a reload; in a pod the file is in memory.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import BinaryIO

LARGEST = 8 * 1024 * 1024
_PAUSE = 0.5
_CHUNK = 1024 * 1024


class Console:
    """Copies what is appended to a log file, and empties the file when it has grown to `largest` bytes."""

    def __init__(self, path: Path, output: BinaryIO, largest: int = LARGEST) -> None:
        self._path, self._output, self._largest = path, output, largest
        self._offset = 0

    def copy(self) -> None:
        """What has come since the last call."""
        try:
            with self._path.open("rb") as file:
                self._offset = min(self._offset, os.fstat(file.fileno()).st_size)
                file.seek(self._offset)
                while data := file.read(_CHUNK):
                    self._output.write(data)
                    self._offset += len(data)
        except FileNotFoundError:
            return
        self._output.flush()
        if self._offset > self._largest:
            os.truncate(self._path, 0)  # NGINX appends, so it goes on at the beginning
            self._offset = 0

    async def run(self) -> None:
        """Copies until cancelled, and once more then."""
        try:
            while True:
                await asyncio.to_thread(self.copy)
                await asyncio.sleep(_PAUSE)
        finally:
            self.copy()
