"""Requests all the time, while something else happens."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass
from typing import Protocol

from dataplane import until


class Entrance(Protocol):
    """Where requests go."""

    address: str
    http: int


@dataclass
class Load:
    """Requests one after the other until told to end, half of them on kept connections; bounded in number."""

    up: Entrance
    host: str
    path: str = "/"
    good: int = 0
    most: int = 20000

    def __post_init__(self) -> None:
        self.failures: list[str] = []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(kept,), daemon=True) for kept in (False, True)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.more()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(30)

    def more(self, count: int = 40) -> None:
        """Returns when so many more requests were answered well."""
        goal = self.good + count
        until(lambda: self.good >= goal, 30, f"{self.failures[-3:]}")

    def _run(self, kept: bool) -> None:
        connection: http.client.HTTPConnection | None = None
        for _ in range(self.most):
            if self._end.is_set():
                break
            if connection is None:
                connection = http.client.HTTPConnection(self.up.address, self.up.http, timeout=10)
            fresh = connection.sock is None
            try:
                connection.request("GET", self.path, headers={"Host": self.host})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                # a server may close a kept connection at any time; a client then asks again
                if fresh or not isinstance(error, http.client.RemoteDisconnected | ConnectionResetError):
                    self.failures.append(repr(error))
                connection.close()
                connection = None
                continue
            if answer.status == 200:
                self.good += 1
            else:
                self.failures.append(f"{answer.status} at {time.strftime('%H:%M:%S')}")
            if not kept or answer.will_close:
                connection.close()
                connection = None
            time.sleep(0.001)
        if connection is not None:
            connection.close()
