"""Ports, networks and other numbers that processes of tests share: whoever has claimed one has it to itself.

A claim is a lock on a file, which the kernel takes back when the process ends, however it ends. So workers of
pytest-xdist and other runs on this machine never meet, which "free a moment ago" does not say.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import itertools
import os
import random
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

FOLDER = Path(tempfile.gettempdir()) / f"tidegate-claims-{os.getuid()}"
PORTS = range(12000, 30000, 600)  # blocks of ports below those that the kernel gives to clients
_held: list[TextIO] = []
_one_at_a_time = threading.Lock()


def claim(kind: str, numbers: Sequence[int]) -> int:
    """One of the numbers, which no other process that asks here gets while this one lives."""
    FOLDER.mkdir(exist_ok=True)
    for number in random.sample(numbers, len(numbers)):
        lock = (FOLDER / f"{kind}-{number}").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _held.append(lock)
        return number
    raise RuntimeError(f"no {kind} is left of {numbers}")


@functools.cache
def _ports() -> Iterator[int]:
    """The ports of this process, again and again: one comes back after all others."""
    first = claim("ports", PORTS)
    return itertools.cycle(range(first, first + PORTS.step))


def _is_free(port: int) -> bool:
    """Whether nobody else, such as what an earlier run has left, has it."""
    with contextlib.suppress(OSError), socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", port))
        udp.bind(("127.0.0.1", port))
        return True
    return False


def free_ports(count: int) -> list[int]:
    """Ports of this process for TCP and UDP, each another one."""
    with _one_at_a_time:
        found = (port for port in itertools.islice(_ports(), PORTS.step) if _is_free(port))
        return [next(found) for _ in range(count)]


def free_row(length: int) -> list[int]:
    """So many ports, one after the other."""
    with _one_at_a_time:
        for _ in range(PORTS.step):
            row = list(itertools.islice(_ports(), length))
            if row[-1] - row[0] == length - 1 and all(map(_is_free, row)):
                return row
    raise RuntimeError("no free ports")
