"""What NGINX's processes use, from /proc: for metrics."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tidegate.agent.orphans import NginxProcess, started_at
from tidegate.agent.protocol import ProcessUsage

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


class _Totals(NamedTuple):
    """Numbers that only grow while a process lives."""

    cpu_seconds: float = 0.0
    read_bytes: int = 0
    write_bytes: int = 0

    def plus(self, other: _Totals) -> _Totals:
        return _Totals(
            self.cpu_seconds + other.cpu_seconds,
            self.read_bytes + other.read_bytes,
            self.write_bytes + other.write_bytes,
        )


class Meter:
    """Keeps what ended processes had used when last seen, so that totals never fall."""

    def __init__(self) -> None:
        self._live: dict[tuple[int, int], _Totals] = {}
        self._ended = _Totals()

    def read(self, processes: Iterable[NginxProcess]) -> ProcessUsage:
        """What these processes, and those of earlier calls that are gone, have used."""
        found = list(processes)
        live = {(one.pid, one.started): _totals(one.pid) for one in found}
        for key, totals in self._live.items():
            if key not in live:
                self._ended = self._ended.plus(totals)
        self._live = live
        total = self._ended
        for totals in live.values():
            total = total.plus(totals)
        memory = [_memory(one.pid) for one in found]
        return ProcessUsage(
            processes=len(found),
            cpu_seconds=total.cpu_seconds,
            read_bytes=total.read_bytes,
            write_bytes=total.write_bytes,
            resident_bytes=sum(resident for _, resident in memory),
            virtual_bytes=sum(virtual for virtual, _ in memory),
            oldest_start=min((started_at(one) for one in found), default=0.0),
        )


def _totals(pid: int) -> _Totals:
    seconds, numbers = 0.0, {"read_bytes": 0, "write_bytes": 0}
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        seconds = (int(fields[11]) + int(fields[12])) / _TICKS
        for line in (_PROC / str(pid) / "io").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in numbers:
                numbers[name] = int(value)
    except OSError:
        pass  # gone, or another user's: then its input and output are not ours to see
    return _Totals(seconds, numbers["read_bytes"], numbers["write_bytes"])


def _memory(pid: int) -> tuple[int, int]:
    """Virtual and resident bytes."""
    try:
        fields = (_PROC / str(pid) / "statm").read_text().split()
        return int(fields[0]) * _PAGE, int(fields[1]) * _PAGE
    except (OSError, IndexError):
        return 0, 0
