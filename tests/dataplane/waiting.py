"""Waiting for what comes in its own time: nothing sleeps for a fixed time, what is waited for is asked for again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

LIMIT = 20.0  # seconds after which something that is waited for will not come


def until(what: Callable[[], Any], limit: float = LIMIT, why: str = "") -> Any:
    """Asks again until the answer is true."""
    deadline = time.monotonic() + limit
    while True:
        answer = what()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"still {answer!r} after {limit} s {why}")
        time.sleep(0.004)
