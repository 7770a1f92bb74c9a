"""Which policy a configuration error belongs to: the one at the line that NGINX names, else found by halving."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

POLICY_LOCATION = re.compile(r"^\s*location @policy_([0-9a-f]+) \{")
LOCATION_END = re.compile(r"^        \}")

Refusal = Callable[[Sequence[str]], Awaitable[str]]


def policy_at(configuration: str, line: int) -> str | None:
    """The digest of the policy in whose location a line (from 1) stands, or None."""
    lines = configuration.splitlines()
    for number in range(min(line, len(lines)) - 1, -1, -1):
        if found := POLICY_LOCATION.match(lines[number]):
            return found[1]
        if LOCATION_END.match(lines[number]) and number < line - 1:
            return None
    return None


async def bisect(suspects: Sequence[str], refusal: Refusal) -> dict[str, str]:
    """The suspects that are refused, each with the reason: as few as can be found by halving.

    `refusal` tries all those given at once; an empty answer means that they are accepted. What was accepted is given
    again with each later try, so that suspects which are refused only together are found too.
    """
    accepted: list[str] = []

    async def search(group: Sequence[str]) -> dict[str, str]:
        if not group:
            return {}
        message = await refusal([*accepted, *group])
        if not message:
            accepted.extend(group)
            return {}
        if len(group) == 1:
            return {group[0]: message}
        middle = len(group) // 2
        return {**await search(group[:middle]), **await search(group[middle:])}

    return await search(suspects)
