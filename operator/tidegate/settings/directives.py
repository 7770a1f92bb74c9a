"""Lines of NGINX configuration as a tree of directives: what a snippet says, and nothing that could leave its place.

The words are read by crossplane's lexer; escapes in them are NGINX's own (`ngx_conf_read_token`). A tree is closed by
its form: whoever writes it out again writes each block with its end.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from crossplane.lexer import _lex_file_object

from tidegate.model import Directive
from tidegate.settings.patterns import pattern_fault
from tidegate.settings.texts import Pair, Snippet, has_sound_variables, reject_long
from tidegate.settings.types import InvalidValue, has_control, reject_control
from tidegate.settings.variables import unknown_variable

ALLOWED: Final = "NGINX directives, each ended by `;` or by a block that is closed; no Lua; no names of Tidegate's own"

_DEEPEST: Final = 16
_LUA: Final = re.compile(r"\w+_by_lua(?:_block|_file)?", re.IGNORECASE)
_OWN: Final = re.compile(r"\$\{?tidegate_|^@(?:tidegate|policy)_", re.IGNORECASE)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {'"': '"', "'": "'", "\\": "\\", "t": "\t", "r": "\r", "n": "\n"}
_END: Final = "tidegate_end"  # what has not been closed swallows it


def _word(token: str) -> str:
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[0]), token)


class _Open:
    """A block that is being read; the outermost has no words."""

    def __init__(self, words: tuple[str, ...] = ()) -> None:
        self.words = words
        self.found: list[Directive] = []


@lru_cache(maxsize=256)
def parse_directives(text: str) -> tuple[Directive, ...]:
    """The directives in a text. Raises InvalidValue, which says what is wrong, and where."""
    blocks = [_Open()]
    words: list[str] = []
    for token, line, quoted in _lex_file_object(io.StringIO(f"{text}\n{_END};\n")):
        if not quoted and token.startswith("#"):
            continue
        if not quoted and token in ("{", ";", "}"):
            _punctuation(token, line, words, blocks)
            continue
        word = _word(token)
        if not words and _LUA.fullmatch(word):
            raise InvalidValue(f"{word} in line {line}", ALLOWED)
        if _OWN.search(word):
            raise InvalidValue(f"{word} in line {line}", ALLOWED)
        words.append(word)
    found = blocks[0].found
    if len(blocks) > 1:
        raise InvalidValue(f"a block {' '.join(blocks[-1].words)!r} that is not closed", ALLOWED)
    if words or not found or found[-1] != Directive(_END):
        raise InvalidValue("an end in the middle of a directive or of a quoted text", ALLOWED)
    return tuple(found[:-1])


def _punctuation(token: str, line: int, words: list[str], blocks: list[_Open]) -> None:
    """Take over the end of a directive or the beginning or end of a block."""
    if token == "}":
        if words or len(blocks) == 1:
            raise InvalidValue(f"a }} in line {line} that closes nothing", ALLOWED)
        block = blocks.pop()
        blocks[-1].found.append(Directive(block.words[0], block.words[1:], tuple(block.found)))
        return
    if not words:
        raise InvalidValue(f"a {token} in line {line} with nothing before it", ALLOWED)
    if token == ";":
        blocks[-1].found.append(Directive(words[0], tuple(words[1:])))
    elif len(blocks) > _DEEPEST:
        raise InvalidValue(f"blocks within blocks in line {line}", f"{ALLOWED}; at most {_DEEPEST} within another")
    else:
        blocks.append(_Open(tuple(words)))
    words.clear()


@dataclass(frozen=True)
class Directives:
    """A snippet: NGINX directives, comments left out."""

    @property
    def allowed(self) -> str:
        return ALLOWED

    def parse(self, text: str) -> tuple[Directive, ...]:
        return parse_directives(Snippet().parse(text))


_NAMED_LAST: Final = frozenset({"map", "geo", "split_clients"})
_NAMED_FIRST: Final = frozenset({"set", "auth_request_set", "js_set", "js_var", "perl_set"})
_REPLACED: Final = re.compile(r"[^\s;'\"]+")
_GROUP: Final = re.compile(r"\(\?(?:P?<|')([A-Za-z_]\w*)[>']")


def defined_variables(directives: Iterable[Directive]) -> frozenset[str]:
    """The variables that lines of NGINX configuration define, in lower case and without their `$`."""
    return frozenset(name.lower() for name in _definitions(directives))


def _definitions(directives: Iterable[Directive]) -> Iterator[str]:
    for item in directives:
        words = (item.name, *item.args)
        if item.name in _NAMED_LAST or item.name.startswith("$"):  # the latter in a block of geoip2
            yield words[-1 if item.name in _NAMED_LAST else 0].removeprefix("$")
        elif item.name in _NAMED_FIRST and item.args:
            yield item.args[0].removeprefix("$")
        for word in words:
            yield from _GROUP.findall(word)
        yield from _definitions(item.block or ())


@dataclass(frozen=True)
class WordPair:
    """`off` (None), or what to replace, and with what: two words as NGINX reads them.

    They may stand in quotes, of which the first has no need; it may be a pattern after `~` or `~*`, and the second may
    name what that captures.
    """

    @property
    def allowed(self) -> str:
        return "off, or two words; the first may be ~PATTERN or ~*PATTERN, the second in quotes has blanks and ;"

    def parse(self, text: str) -> Pair | None:
        reject_control(text, self.allowed)
        reject_long(text, self.allowed)
        try:
            lines = parse_directives(f"pair {text};")
        except InvalidValue:
            lines = ()
        if len(lines) != 1 or lines[0].block is not None:
            raise InvalidValue(text, self.allowed)
        words = lines[0].args
        if words == ("off",):
            return None
        if len(words) != 2 or not _REPLACED.fullmatch(words[0]):
            raise InvalidValue(text, self.allowed, misfit=True)
        self._check(text, *words)
        return Pair(*words)

    def _check(self, text: str, old: str, new: str) -> None:
        """A pattern has to be one, and what is no pattern has variables of NGINX's alone."""
        captured: frozenset[str] = frozenset()
        if old.startswith("~"):
            captured = frozenset([*map(str.lower, _GROUP.findall(old)), *"123456789"])
            fault = pattern_fault(old[1:].removeprefix("*"))
        else:
            fault = "" if has_sound_variables(old) and not unknown_variable(old) else "a variable"
        if has_control(old + new) or fault or not has_sound_variables(new) or unknown_variable(new, more=captured):
            raise InvalidValue(text, self.allowed, misfit=True)
