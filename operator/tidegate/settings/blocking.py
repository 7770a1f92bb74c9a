"""The value type of lists of request header values that are turned away, as NGINX's `map` writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tidegate.settings.patterns import pattern_fault
from tidegate.settings.types import InvalidValue, has_control

_QUOTED: Final = re.compile(r"\"(.*)\"|'(.*)'", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\([\"'\\])")


@dataclass(frozen=True)
class BlockList:
    """Comma separated texts, or patterns that begin with `~` or, to ignore case, `~*`.

    An element may stand in quotes. It comes out as NGINX would read it, a text that begins with `~` with a backslash
    before it. Patterns cannot contain commas.
    """

    @property
    def allowed(self) -> str:
        return "a comma separated list of texts or of regular expressions after ~ or ~*, without control characters"

    def parse(self, text: str) -> tuple[str, ...]:
        elements = [element.strip(" \t\r\n") for element in text.split(",")]
        return tuple(dict.fromkeys(self._element(element) for element in elements if element))

    def _element(self, element: str) -> str:
        quoted = _QUOTED.fullmatch(element)
        inner = element if quoted is None else quoted[1] or quoted[2] or ""
        word = _ESCAPE.sub(r"\1", inner)
        if has_control(word) or not word:
            raise InvalidValue(element, self.allowed)
        if word.startswith("~"):
            pattern = word.removeprefix("~").removeprefix("*")
            fault = pattern_fault(pattern) if pattern else "it is empty"
            if fault:
                raise InvalidValue(element, f"{self.allowed}; this one is none: {fault}")
        return word
