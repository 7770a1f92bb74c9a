"""Value types of the access log's parameters and of what it leaves out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tidegate.settings.lists import CommaList
from tidegate.settings.nginx_types import Duration
from tidegate.settings.texts import compiles
from tidegate.settings.types import NOTHING, InvalidValue, Size, parse_as

_GZIP: Final = re.compile("gzip(?:=([1-9]))?")
_NAMED_GROUP: Final = re.compile(r"\(\?(?:P?<[^=!]|')")
_LONGEST: Final = 2000  # characters of a pattern or URI


@dataclass(frozen=True)
class AccessLogParameters:
    """Buffering of the access log: `buffer=SIZE`, `flush=TIME`, `gzip[=1-9]`, in this order as they came out."""

    @property
    def allowed(self) -> str:
        return "buffer=SIZE, flush=TIME (with a buffer) and gzip or gzip=1 to 9, separated by spaces"

    def parse(self, text: str) -> tuple[str, ...]:
        found: dict[str, str] = {}
        for word in text.split(" "):
            if not word:
                continue
            name = word.partition("=")[0]
            if name in found or not self._is_parameter(name, word):
                raise InvalidValue(word, self.allowed)
            found[name] = word
        if "flush" in found and len(found) == 1:  # NGINX wants something to flush
            raise InvalidValue(text, self.allowed, misfit=True)
        return tuple(found[name] for name in ("buffer", "flush", "gzip") if name in found)

    @staticmethod
    def _is_parameter(name: str, word: str) -> bool:
        value = word.partition("=")[2]
        try:
            if name == "buffer":
                Size(1, 2**26).parse(value)
            elif name == "flush":
                Duration().parse(value)
            else:
                return _GZIP.fullmatch(word) is not None
        except InvalidValue:
            return False
        return True


@dataclass(frozen=True)
class Matchers:
    """Comma separated texts to compare with as a whole, and patterns: `~REGEX`, or `~*REGEX` to ignore case.

    Empty elements vanish; a list with bad elements can be used without them. NGINX makes a named group a variable,
    so a pattern must have none.
    """

    what: str

    @property
    def allowed(self) -> str:
        return f"a comma separated list of {self.what}: texts, or ~REGEX or ~*REGEX without named groups"

    def parse(self, text: str) -> tuple[str, ...]:
        elements = parse_as(CommaList(what=self.what, lenient=True), text, self.allowed)
        good = tuple(element for element in elements if _is_matcher(element))
        if len(good) != len(elements):
            bad = next(element for element in elements if element not in good)
            raise InvalidValue(bad, self.allowed, usable=good or NOTHING)
        return good


def _is_matcher(text: str) -> bool:
    if len(text) > _LONGEST:
        return False
    if not text.startswith("~"):
        return True
    pattern = text[1:].removeprefix("*")
    return bool(pattern) and _NAMED_GROUP.search(pattern) is None and compiles(pattern)
