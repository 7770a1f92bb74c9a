"""Which of users' patterns takes a text: tried in a process of its own, because Python's engine cannot be interrupted
and a pattern may take for ever, which must not hold the program.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence

from tidegate.settings.patterns import pattern_fault

LIMIT = 2.0  # seconds
_NAMED = re.compile(r"\(\?(?:<(?=[A-Za-z_])|')(\w+)[>']")
_SEARCH = """
import json, re, sys, warnings
warnings.simplefilter("ignore")
asked = json.load(sys.stdin)
answer = None
for number, pattern in enumerate(asked["patterns"]):
    try:
        found = re.search(pattern.encode("latin-1"), asked["text"].encode("latin-1"), re.IGNORECASE)
    except (re.error, OverflowError, RecursionError):
        answer = [number, False]
        break
    if found:
        answer = [number, True]
        break
json.dump(answer, sys.stdout)
"""


class UndecidedError(Exception):
    """A pattern that only NGINX's own engine can try; the message names it."""


def first_match(patterns: Sequence[str], text: str) -> int | None:
    """The number of the first pattern that is found in the text, ignoring case. Raises UndecidedError."""
    if not patterns:
        return None
    asked = json.dumps({"patterns": [_bytes(_for_python(pattern)) for pattern in patterns], "text": _bytes(text)})
    try:
        answer = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _SEARCH], input=asked, capture_output=True, text=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        raise UndecidedError("the patterns of this host take too long to try: only NGINX can tell") from None
    found = json.loads(answer.stdout or "[0, false]")
    if found is None:
        return None
    number, sure = found
    if not sure:
        raise UndecidedError(f"only NGINX can tell whether the pattern {patterns[number]!r} takes it")
    return int(number)


def _bytes(text: str) -> str:
    """A character for each byte: NGINX's patterns know nothing of UTF-8."""
    return text.encode(errors="replace").decode("latin-1")


def _for_python(pattern: str) -> str:
    """What Python's engine takes for the same; a pattern that no engine takes stands for its own text."""
    if pattern_fault(pattern):
        return f"^{re.escape(pattern.removeprefix('^'))}"
    return _NAMED.sub(r"(?P<\1>", pattern)
