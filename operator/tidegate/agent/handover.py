"""From orphan workers to the workers of a new master without losing a connection.

Both listen on the same addresses (`reuseport`), and the kernel spreads new connections over all their sockets. If the
orphans were simply told to quit, each would stop accepting at a moment of its own, and whatever the kernel had queued
for it by then would be reset (found by trying: about one connection in each hand-over at a mere thousand a second).
So the kernel is told first, by a small program attached to the group of sockets, to give new connections to the new
sockets only; the orphans' queues run empty; then they quit. Where this is not permitted they quit all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger("tidegate.agent")

_SYS_PIDFD_GETFD = 438
_SO_ATTACH_REUSEPORT_CBPF = 51
_SO_DETACH_REUSEPORT_BPF = 68
_LD_W_ABS, _MOD_K, _ADD_K, _RET_A = 0x20, 0x94, 0x04, 0x16  # classic BPF
_RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM
_LISTEN = "0A"
_HANDSHAKES = 0.3  # seconds that half-open connections have to reach an orphan's queue
_LIMIT = 2.0
_POLL = 0.01


class _Row(NamedTuple):
    """A listening socket in /proc/net/tcp: `queued` connections wait to be accepted."""

    address: str
    queued: int
    inode: int


def _listening() -> list[_Row]:
    rows = []
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN:
                    queued = int(fields[4].partition(":")[2], 16)
                    rows.append(_Row(f"{table} {fields[1]}", queued, int(fields[9])))
    return rows


def _copies(pid: int) -> list[socket.socket]:
    """Copies of the sockets on which a process listens for TCP with `reuseport`."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    found: list[socket.socket] = []
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            if not str(entry.readlink()).startswith("socket:"):
                continue
            fd = libc.syscall(_SYS_PIDFD_GETFD, pidfd, int(entry.name), 0)
            if fd < 0:
                raise OSError(ctypes.get_errno(), "pidfd_getfd")
            copy = socket.socket(fileno=fd)
            if (
                copy.family in (socket.AF_INET, socket.AF_INET6)
                and copy.type == socket.SOCK_STREAM
                and copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                and copy.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
            ):
                found.append(copy)
            else:
                copy.close()
    except BaseException:
        for copy in found:
            copy.close()
        raise
    finally:
        os.close(pidfd)
    return found


def _prefer(member: socket.socket, first: int, count: int) -> None:
    """Gives new connections to `count` sockets of the member's group, from index `first` on, at random."""
    steps = ((_LD_W_ABS, _RANDOM), (_MOD_K, count), (_ADD_K, first), (_RET_A, 0))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", step, 0, 0, k) for step, k in steps))
    program = struct.pack("HP", len(steps), ctypes.addressof(code))
    member.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, program)


async def hand_over(master: int, quit_orphans: Callable[[], object], alive: Callable[[], bool]) -> None:
    """Moves new connections to the sockets of the new master, then calls `quit_orphans` (in any case)."""
    loop = asyncio.get_running_loop()
    members: dict[str, socket.socket] = {}
    copies: list[socket.socket] = []
    try:
        try:
            copies = _copies(master)
            rows = _listening()
            addresses = {row.inode: row.address for row in rows}
            new = {os.fstat(copy.fileno()).st_ino: copy for copy in copies}
            old = {row.inode for row in rows if row.inode not in new and row.address in _of(new, addresses)}
            for inode, copy in new.items():
                members.setdefault(addresses[inode], copy)
            for address, member in members.items():
                # a group lists its sockets in the order in which they began to listen
                before = sum(row.address == address and row.inode in old for row in rows)
                if before:
                    _prefer(member, before, sum(row.address == address for row in rows) - before)
        except (OSError, KeyError) as error:
            log.info("orphans quit without a hand-over of their connections: %s", error)
            quit_orphans()
            return
        began = loop.time()
        while alive() and old and loop.time() - began < _LIMIT:
            if loop.time() - began >= _HANDSHAKES and not any(row.queued for row in _listening() if row.inode in old):
                break
            await asyncio.sleep(_POLL)
        quit_orphans()
        while alive() and loop.time() - began < _LIMIT + 1:
            if not any(row.inode in old for row in _listening()):
                break
            await asyncio.sleep(_POLL)
    finally:
        for member in members.values():
            with contextlib.suppress(OSError):
                member.setsockopt(socket.SOL_SOCKET, _SO_DETACH_REUSEPORT_BPF, 0)
        for copy in copies:
            copy.close()


def _of(new: dict[int, socket.socket], addresses: dict[int, str]) -> set[str]:
    return {addresses[inode] for inode in new if inode in addresses}
