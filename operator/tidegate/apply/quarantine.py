"""Which policy a configuration error belongs to: the one at the line that NGINX names, else found by halving."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

POLICY_LOCATION = re.compile(r"^\s*location @policy_([0-9a-f]+) \{")
LOCATION_END = re.compile(r"^        \}")

Accepts = Callable[[Sequence[str]], Awaitable[bool]]


def policy_at(configuration: str, line: int) -> str | None:
    """The digest of the policy in whose location a line (from 1) stands, or None."""
    lines = configuration.splitlines()
    for number in range(min(line, len(lines)) - 1, -1, -1):
        if found := POLICY_LOCATION.match(lines[number]):
            return found[1]
        if LOCATION_END.match(lines[number]) and number < line - 1:
            return None
    return None


async def bisect(suspects: Sequence[str], accepts: Accepts) -> list[str]:
    """The suspects that are refused even alone; `accepts` tries a configuration with just those given."""
    if not suspects or await accepts(suspects):
        return []
    if len(suspects) == 1:
        return [suspects[0]]
    middle = len(suspects) // 2
    return await bisect(suspects[:middle], accepts) + await bisect(suspects[middle:], accepts)
