"""NGINX's error output and error log as structs."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tidegate.agent.protocol import NginxError

# `nginx: [emerg] message` on stderr, `2026/11/21 06:46:48 [emerg] 4838#4838: *2 message` in a log.
_STDERR = re.compile(r"^nginx: \[(?P<level>[a-z]+)\] (?P<message>.*)$")
_LOG = re.compile(
    r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(?P<level>[a-z]+)\] (?P<pid>\d+)#\d+: (?:\*\d+ )?(?P<message>.*)$"
)
_PLACE = re.compile(r"^(?P<message>.*) in (?P<file>/.+):(?P<line>\d+)$", re.DOTALL)
_LUA_PLACE = re.compile(r"_by_lua\((?P<file>[^():\s]+):(?P<line>\d+)\)")
_BIND = re.compile(
    r"^(?:bind|listen)\(\) to (?P<address>\S+),? (?:backlog \d+ )?failed \((?P<code>\d+): (?P<words>[^)]*)\)"
)
_SEVERE = frozenset({"emerg", "alert", "crit", "error"})
_IGNORED = re.compile(r"^(still could not bind\(\)|could not open error log file: )")


class LogRecord(NamedTuple):
    """One record of an error log or of NGINX's stderr (then `pid` is 0), its continuation lines included."""

    level: str
    pid: int
    message: str


def parse_records(lines: Iterable[str]) -> list[LogRecord]:
    """The records in the given lines; a line without a prefix belongs to the record before it."""
    records: list[LogRecord] = []
    for line in lines:
        if match := _LOG.match(line):
            records.append(LogRecord(match["level"], int(match["pid"]), match["message"]))
        elif match := _STDERR.match(line):
            records.append(LogRecord(match["level"], 0, match["message"]))
        elif line.startswith("nginx: "):
            continue  # "configuration file ... test failed": no news
        elif records:
            last = records[-1]
            records[-1] = last._replace(message=f"{last.message}\n{line}")
        elif line.strip():
            records.append(LogRecord("error", 0, line))
    return records


def to_error(record: LogRecord) -> NginxError:
    """A record as an error: its place split off, a failed listener put into plain words."""
    text, file, line = record.message.partition("\nstack traceback:")[0].strip(), None, None
    if match := _PLACE.match(text):
        text, file, line = match["message"], match["file"], int(match["line"])
    elif match := _LUA_PLACE.search(text):
        file, line = match["file"], int(match["line"])
    if match := _BIND.match(text):
        address, code = match["address"], int(match["code"])
        return NginxError(
            message=listener_message(address, code, match["words"]), level=record.level, address=address, code=code
        )
    return NginxError(message=text, level=record.level, file=file, line=line)


def listener_message(address: str, code: int, words: str = "") -> str:
    """Why NGINX cannot listen on `address`."""
    what = f"socket {address}" if address.startswith("unix:") else f"port {address}"
    if code == errno.EADDRINUSE:
        return f"{what} is in use by another process"
    if code in (errno.EACCES, errno.EPERM):
        return f"{what} cannot be opened: permission denied (ports below 1024 need root or a lowered limit)"
    if code == errno.EADDRNOTAVAIL:
        return f"{what} cannot be opened: this machine does not have that address"
    return f"{what} cannot be opened: {words or os.strerror(code)}"


def parse_errors(output: str) -> tuple[NginxError, ...]:
    """The distinct errors in the output of `nginx -t` or of a failed start, the severe ones only."""
    return errors_of(parse_records(output.splitlines()))


def errors_of(records: Iterable[LogRecord]) -> tuple[NginxError, ...]:
    """The distinct severe errors among the records, in order."""
    found: dict[NginxError, None] = {}
    for record in records:
        if record.level in _SEVERE and not _IGNORED.match(record.message):
            found[to_error(record)] = None
    return tuple(found)


def is_address_in_use(record: LogRecord) -> bool:
    """Whether the record says that a listener's address is taken (NGINX then tries again for 2.5 s)."""
    match = _BIND.match(record.message)
    return match is not None and int(match["code"]) == errno.EADDRINUSE


class LogTail:
    """Reads what is appended to a log file after this object was made; follows a rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self._inode, self._offset = self._where()

    def _where(self) -> tuple[int, int]:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return 0, 0
        return stat.st_ino, stat.st_size

    def read(self) -> list[LogRecord]:
        """The records that have come since the last call; an unfinished last line waits for the next one."""
        inode, size = self._where()
        if inode != self._inode or size < self._offset:
            self._inode, self._offset, self._rest = inode, 0, b""
        if size <= self._offset:
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read(size - self._offset)
        self._offset += len(data)
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        return parse_records(whole.decode(errors="replace").splitlines()) if newline else []
