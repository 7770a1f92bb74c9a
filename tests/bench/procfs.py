"""What the kernel says about processes: CPU time and memory."""

from __future__ import annotations

import os
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of these processes so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def _rollup(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"{name} is not in smaps_rollup")


def pss(pid: int) -> float:
    """Private and proportionally shared memory, in MB."""
    return _rollup(pid, "Pss") / 1e6


def rss(pid: int) -> float:
    return _rollup(pid, "Rss") / 1e6


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def descendants(pid: int) -> list[int]:
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def nginx_workers(master: int) -> list[int]:
    """The workers that take new connections; those of an older generation say that they are shutting down."""
    return [
        pid
        for pid in children(master)
        if title(pid).startswith("nginx: worker process") and "shutting" not in title(pid)
    ]
