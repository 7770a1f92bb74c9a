"""A network namespace for backends: the API server takes no endpoint on a loopback address."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
from pathlib import Path

from claims import claim

HOSTS = 30


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)


class Network:
    """Addresses that only this machine can reach: `.1` is its own, `.2` and up belong to backends. Needs root."""

    def __init__(self) -> None:
        number = claim("veth", range(1, 200))
        self.base = f"10.213.{number}"
        self.name = f"tgk{os.getpid()}x{number}"
        outside, inside = f"tgo{number}", f"tgi{number}"
        _ip("netns", "add", self.name)
        _ip("link", "del", outside, check=False)
        _ip("link", "add", outside, "type", "veth", "peer", "name", inside)
        _ip("link", "set", inside, "netns", self.name)
        _ip("addr", "add", f"{self.base}.1/24", "dev", outside)
        _ip("link", "set", outside, "up")
        for host in range(2, HOSTS):
            _ip("-n", self.name, "addr", "add", f"{self.base}.{host}/24", "dev", inside)
        _ip("-n", self.name, "link", "set", "lo", "up")
        _ip("-n", self.name, "link", "set", inside, "up")
        self._hosts = iter(range(2, HOSTS))

    def listener(self, port: int = 0) -> socket.socket:
        """A listening socket inside, on an address of its own; it works from any thread."""
        address = f"{self.base}.{next(self._hosts)}"
        found: list[socket.socket] = []

        def listen() -> None:  # in a thread that ends with this: it has moved into the namespace
            with Path("/run/netns", self.name).open() as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0x40000000) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            found.append(socket.create_server((address, port), backlog=256))

        thread = threading.Thread(target=listen)
        thread.start()
        thread.join()
        return found[0]

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("netns", "del", self.name)
