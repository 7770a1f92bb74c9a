"""Which policy or server profile an error belongs to: the one at the line that NGINX names, else found by halving."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

POLICY_LOCATION = re.compile(r"^\s*location @policy_([0-9a-f]+) \{")
LOCATION_END = re.compile(r"^        \}")
SERVER = re.compile(r"^    # server ([0-9a-f]+)$")
STREAM = re.compile(r"^    # stream (end|[0-9a-f]+)$")
SERVER_END = re.compile(r"^    \}")


class Suspect(NamedTuple):
    """What may be at fault: a policy or the profile of a server (or of lines for `stream`), by its digest."""

    digest: str
    server: bool = False


Refusal = Callable[[Sequence[Suspect]], Awaitable[str]]


def suspect_at(configuration: str, line: int) -> Suspect | None:
    """The policy in whose location a line (from 1) stands, else the profile of its server, or None."""
    lines = configuration.splitlines()
    if (lines_of := _stream_at(lines[:line])) is not None:
        return lines_of
    in_location = True
    for number in range(min(line, len(lines)) - 1, -1, -1):
        text = lines[number]
        if in_location and (found := POLICY_LOCATION.match(text)):
            return Suspect(found[1])
        if found := SERVER.match(text):
            return Suspect(found[1], server=True)
        if number < line - 1:
            in_location = in_location and not LOCATION_END.match(text)
            if SERVER_END.match(text):
                return None
    return None


def _stream_at(lines: Sequence[str]) -> Suspect | None:
    """Whose lines for `stream` the last one belongs to."""
    marks = (found[1] for text in reversed(lines) if (found := STREAM.match(text)))
    mark = next(marks, "end")
    return None if mark == "end" else Suspect(mark, server=True)


async def bisect(suspects: Sequence[Suspect], refusal: Refusal) -> dict[Suspect, str]:
    """The suspects that are refused, each with the reason: as few as can be found by halving.

    `refusal` tries all those given at once; an empty answer means that they are accepted. What was accepted is given
    again with each later try, so that suspects which are refused only together are found too.
    """
    accepted: list[Suspect] = []

    async def search(group: Sequence[Suspect]) -> dict[Suspect, str]:
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
