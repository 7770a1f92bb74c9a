"""Names of hosts that stand for something else."""

from __future__ import annotations

import re
from collections.abc import Iterable

CATCH_ALL = "_"
"""The name of the host that takes requests for names nobody declared."""

PATTERN = "~"
"""Begins the name of an alias that is a regular expression."""


def is_pattern(name: str) -> bool:
    return name.startswith(PATTERN)


def names_below(parent: str) -> str:
    """The pattern of all names below one, of however many labels."""
    return f"{PATTERN}^.+\\.{re.escape(parent)}$"


def names_before(start: str) -> str:
    """The pattern of all names that go on behind this one."""
    return f"{PATTERN}^{re.escape(start)}\\..+$"


def patterns_in_order(names: Iterable[str]) -> list[str]:
    """Those that are patterns in the order in which they are tried: names below others first, of them the longest."""
    found = [name for name in names if is_pattern(name)]
    return sorted(found, key=lambda name: (-len(name) if name.startswith(names_below("")[:-1]) else 0, name))
