"""What the data plane has, on disk: from it NGINX comes back by itself, with the last state.

`base` is a whole state, `log` the transactions since. A transaction is written before it is pushed, so the files are
never behind; one that the data plane refuses is cut off again. When the log outgrows the base, both become a new base,
which takes its place by a rename.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from tidegate.apply import frames
from tidegate.apply.frames import Transaction

CHUNK = 256 * 1024  # bytes of records in one transaction of a base
LEAST_LOG = 1024 * 1024


class StateFile:
    """The two files in one folder, and what they amount to."""

    def __init__(self, folder: Path) -> None:
        self._base, self._log = folder / "base", folder / "log"
        self._folder = folder
        self.version = 0
        self.values: dict[str, bytes] = {}
        self._log_size = 0
        self._base_size = 0

    def load(self) -> None:
        """Read what an earlier run left; a torn end is cut off."""
        base, log = _read(self._base), _read(self._log)
        version, values = frames.merge(frames.decode(base))
        whole = 0
        for transaction in frames.decode(log):
            whole += len(frames.encode(transaction))
            if transaction.version <= version:
                continue
            version = transaction.version
            _merge(values, transaction.operations)
        self.version, self.values = version, values
        self._base_size, self._log_size = len(base), whole
        if whole < len(log):
            os.truncate(self._log, whole)

    def transactions_after(self, version: int) -> list[Transaction] | None:
        """The transactions that follow `version`, or None when the files no longer have them one by one."""
        found = [item for item in frames.decode(_read(self._log)) if item.version > version]
        if version + 1 > self.version or (found and found[0].version == version + 1):
            return found
        return None

    def append(self, transaction: Transaction) -> bytes:
        """Write a transaction down; its encoded form."""
        encoded = frames.encode(transaction)
        try:
            with self._log.open("ab") as file:
                file.write(encoded)
        except OSError:  # the disk is full: what was written of it goes
            with contextlib.suppress(OSError):
                os.truncate(self._log, self._log_size)
            raise
        self._log_size += len(encoded)
        return encoded

    def accept(self, transaction: Transaction) -> None:
        """The data plane has taken the last appended transaction."""
        self.version = transaction.version
        _merge(self.values, transaction.operations)
        if self._log_size > max(LEAST_LOG, 2 * self._base_size):
            self.replace(self.values, self.version)

    def withdraw(self, encoded: bytes) -> None:
        """The data plane has refused the last appended transaction."""
        self._log_size -= len(encoded)
        os.truncate(self._log, self._log_size)

    def replace(self, values: Mapping[str, bytes], version: int) -> None:
        """A new base with these values, at this version; the log starts anew."""
        encoded = b"".join(frames.encode(item) for item in _chunks(values, version))
        temporary = self._base.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._base)
        self._log.write_bytes(b"")
        self.version, self.values = version, dict(values)
        self._base_size, self._log_size = len(encoded), 0


def _chunks(values: Mapping[str, bytes], version: int) -> list[Transaction]:
    """A base is many transactions, of which the last has the version and the others lead up to it."""
    groups: list[dict[str, bytes | None]] = [{}]
    size = 0
    for key, value in values.items():
        if size > CHUNK:
            groups.append({})
            size = 0
        groups[-1][key] = value
        size += len(value) + len(key)
    first = version - len(groups) + 1
    if first < 1:
        return [Transaction(version, dict(values))]
    return [Transaction(first + number, group) for number, group in enumerate(groups)]


def _merge(values: dict[str, bytes], operations: Mapping[str, bytes | None]) -> None:
    for key, value in operations.items():
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
