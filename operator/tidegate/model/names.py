"""Names of hosts that stand for something else."""

from __future__ import annotations

CATCH_ALL = "_"
"""The name of the host that takes requests for names nobody declared."""

PATTERN = "~"
"""Begins the name of an alias that is a regular expression."""


def is_pattern(name: str) -> bool:
    return name.startswith(PATTERN)
