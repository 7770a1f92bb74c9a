"""Finding the NGINX processes of one run directory in /proc.

A worker does not say whose it is: NGINX overwrites its command line *and its environment* with the process title (so
a mark in the environment is gone, found by trying). What it keeps is the working directory, which the agent sets to
the run directory, and the session, which the agent makes the master's own. The session is readable by everybody; the
working directory only by the same user or with CAP_SYS_PTRACE. So: the working directory decides where it can be
read, the session where it cannot.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


class Role(StrEnum):
    """What an NGINX process is, by its title."""

    MASTER = "master"
    WORKER = "worker"
    HELPER = "helper"  # cache manager, cache loader
    OTHER = "other"  # not titled yet, or `nginx -t`


class NginxProcess(NamedTuple):
    """A live NGINX process; `started` (clock ticks since boot) tells it from a later one with the same pid."""

    pid: int
    ppid: int
    session: int
    started: int
    title: str

    @property
    def role(self) -> Role:
        """Master, worker or helper."""
        if not self.title.startswith("nginx: "):
            return Role.OTHER
        kind = self.title.removeprefix("nginx: ")
        if kind.startswith("master process"):
            return Role.MASTER
        return Role.WORKER if kind.startswith("worker process") else Role.HELPER

    @property
    def shutting_down(self) -> bool:
        """Whether it drains: it accepts nothing new and finishes what it has."""
        return self.title.startswith("nginx: worker process is shutting down")


def read_process(pid: int, names: frozenset[str] = frozenset({"nginx"})) -> NginxProcess | None:
    """The process `pid`, if it lives and its program is called by one of `names`."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
        head, _, tail = stat.rpartition(")")
        fields = tail.split()
        if head.partition("(")[2] not in names or fields[0] in "ZX":
            return None
        title = (_PROC / str(pid) / "cmdline").read_bytes().rstrip(b"\0 ").replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return NginxProcess(pid, int(fields[1]), int(fields[3]), int(fields[19]), title)


def processes(names: frozenset[str]) -> Iterator[NginxProcess]:
    """All live NGINX processes of this machine (or container)."""
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (process := read_process(int(entry.name), names)):
            yield process


def is_alive(pid: int) -> bool:
    """Whether `pid` is a process that runs (a zombie does not)."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def rss(pid: int) -> int:
    """Resident memory in bytes, 0 when the process is gone."""
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0


def started_at(process: NginxProcess) -> float:
    """When the process started, as a Unix time."""
    for line in (_PROC / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1]) + process.started / _TICKS
    return 0.0


class Finder:
    """Finds the NGINX processes that belong to a run directory."""

    def __init__(self, run_dir: Path, conf: Path, binary: str) -> None:
        self._run_dir = run_dir
        self._marker = f"-c {conf} "
        self._names = frozenset({"nginx", Path(binary).name[:15]})
        self.sessions: set[int] = set()  # masters known to be ours, now or earlier

    def _is_ours(self, process: NginxProcess) -> bool:
        try:
            return (_PROC / str(process.pid) / "cwd").readlink() == self._run_dir
        except PermissionError:
            return process.session in self.sessions
        except (FileNotFoundError, ProcessLookupError):
            return False

    def read(self, pid: int) -> NginxProcess | None:
        """The NGINX process `pid`, if it is one."""
        return read_process(pid, self._names)

    def is_master(self, process: NginxProcess) -> bool:
        """Whether this is a master (also one that has not set its title yet) of our configuration file."""
        return process.role in (Role.MASTER, Role.OTHER) and self._marker in f"{process.title} "

    def ours(self) -> list[NginxProcess]:
        """All NGINX processes of the run directory, oldest first."""
        found = [one for one in processes(self._names) if self.is_master(one) or self._is_ours(one)]
        return sorted(found, key=lambda one: (one.started, one.pid))

    def master(self, pid: int | None) -> NginxProcess | None:
        """The live master: the one with the given pid (from `nginx.pid`), else any that runs our configuration."""
        if pid is not None:
            process = self.read(pid)
            if process is not None and self.is_master(process):
                return process
        masters = [one for one in processes(self._names) if self.is_master(one)]
        pids = {one.pid for one in masters}
        masters = [one for one in masters if one.ppid not in pids]  # not a worker that has no title yet
        return masters[0] if masters else None

    def send(self, process: NginxProcess, sig: signal.Signals) -> bool:
        """Signals exactly this process, never a later one with its pid; false when it is gone."""
        try:
            fd = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return False
        try:
            now = self.read(process.pid)
            if now is None or now.started != process.started:
                return False
            signal.pidfd_send_signal(fd, sig)
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)
        return True
