"""Directives of a snippet as text: each word quoted where it has to be, each block closed by whoever opened it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from tidegate.model import Directive
from tidegate.render.quoting import CONTROL, UnsafeValue

STEP = "    "
_BARE = re.compile(r"[A-Za-z0-9_./:@=+,$*^~-]+")
_WRITTEN = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}
_HEADERS = frozenset(("add_header", "more_set_headers", "more_clear_headers"))
_SPECIAL = re.compile(r'[\\"\n\t]')


def word(text: str) -> str:
    """One word with exactly this text, in which variables are NGINX's; raises UnsafeValue for control characters."""
    if _BARE.fullmatch(text):
        return text
    written = _SPECIAL.sub(lambda found: _WRITTEN[found[0]], text)
    if CONTROL.search(written):
        raise UnsafeValue(f"{text!r} contains a control character")
    return f'"{written}"'


def complete(directives: Iterable[Directive], inherited: Mapping[str, tuple[Directive, ...]]) -> tuple[Directive, ...]:
    """With what a level would lose by having a directive of that name itself: NGINX inherits all of them or none."""
    found = [
        item if item.block is None else replace(item, block=complete(item.block, inherited)) for item in directives
    ]
    names = {item.name for item in found}
    return (*found, *(row for name, rows in inherited.items() if name in names for row in rows))


def tells(directives: Iterable[Directive], name: str) -> bool:
    """Whether these lines say themselves what a header of every answer is."""
    return any(
        directive.name in _HEADERS
        and not any(word.startswith("-") for word in directive.args)  # just some answers
        and any(word.partition(":")[0].strip().lower() == name.lower() for word in directive.args)
        for directive in directives
    )


def lines(directives: Iterable[Directive], depth: int) -> str:
    """The directives, each on a line of its own, from `depth` steps on."""
    return "".join(_line(directive, STEP * depth) for directive in directives)


def _line(directive: Directive, margin: str) -> str:
    words = " ".join(map(word, (directive.name, *directive.args)))
    if directive.block is None:
        return f"{margin}{words};\n"
    inner = "".join(_line(item, margin + STEP) for item in directive.block)
    return f"{margin}{words} {{\n{inner}{margin}}}\n"
