"""Reading nginx.conf back: with crossplane, and with NGINX's own rules for one argument."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import crossplane
from crossplane.ext.lua import LuaBlockPlugin
from crossplane.lexer import _lex_file_object, register_external_lexer

LUA_BLOCKS = (*LuaBlockPlugin.directives, "exit_worker_by_lua_block", "ssl_client_hello_by_lua_block")
register_external_lexer(LUA_BLOCKS, LuaBlockPlugin().lex)


class Directive(NamedTuple):
    name: str
    args: tuple[str, ...]
    block: tuple[Directive, ...] | None


def parse(text: str, folder: Path) -> tuple[Directive, ...]:
    """The directive tree, as crossplane sees it."""
    file = folder / "nginx.conf"
    file.write_text(text, encoding="utf-8")
    payload = crossplane.parse(str(file), single=True, check_ctx=False, check_args=False, catch_errors=False)
    (config,) = payload["config"]
    return _tree(config["parsed"])


def _tree(parsed: list[dict[str, Any]], block: str = "") -> tuple[Directive, ...]:
    """The lines of a map have no name: their keys are values like any other."""
    found = []
    for item in parsed:
        words = (item["directive"], *item["args"])
        inner = _tree(item["block"], item["directive"]) if "block" in item else None
        found.append(Directive("", words, inner) if block == "map" else Directive(words[0], words[1:], inner))
    return tuple(found)


def shape(tree: tuple[Directive, ...]) -> Any:
    """Names, nesting and numbers of arguments."""
    return tuple((item.name, len(item.args), shape(item.block) if item.block is not None else None) for item in tree)


def walk(tree: tuple[Directive, ...]) -> Iterator[Directive]:
    for item in tree:
        yield item
        yield from walk(item.block or ())


def boot_values(text: str) -> Any:
    """What `init_by_lua_block` hands to Lua."""
    joined = text.replace("]=====] .. [=====[", "")  # a long text comes in parts
    start = joined.index("[=====[") + 7
    return json.loads(joined[start : joined.index("]=====]", start)])


def crossplane_tokens(text: str) -> list[str]:
    """The tokens of a text; crossplane leaves doubled backslashes as they are."""
    return [token.replace("\\\\", "\\") for token, _, _ in _lex_file_object(io.StringIO(text))]


def nginx_tokens(text: str) -> list[str]:
    """The tokens of a text as `ngx_conf_read_token` of NGINX 1.22 makes them; variables are left alone."""
    return [token for token, _ in _tokens(text)]


LUA_LINE = re.compile(r"^ *\w+_by_lua_block \{.*\}$", re.MULTILINE)


def nginx_depth(text: str) -> int:
    """How many blocks are open at the end, by NGINX's own rules. Lua, which it reads differently, is left out."""
    depth = 0
    for token, special in _tokens(LUA_LINE.sub("", text)):
        if special:
            depth += (token == "{") - (token == "}")
        assert depth >= 0
    return depth


def _tokens(text: str) -> list[tuple[str, bool]]:
    """Tokens, and whether each is one of `;{}` outside of quotes."""
    tokens: list[tuple[str, bool]] = []
    place = 0
    while place < len(text):
        letter = text[place]
        if letter in " \t\r\n":
            place += 1
        elif letter in ";{}":
            tokens.append((letter, True))
            place += 1
        elif letter == "#":
            place = text.index("\n", place) if "\n" in text[place:] else len(text)
        else:
            token, place = _argument(text, place)
            tokens.append((token, False))
    return tokens


_ESCAPES = {'"': '"', "'": "'", "\\": "\\", "t": "\t", "r": "\r", "n": "\n"}


def _argument(text: str, place: int) -> tuple[str, int]:
    closing = text[place] if text[place] in "\"'" else ""
    place += len(closing)
    found = ""
    while place < len(text):
        letter = text[place]
        if letter == "\\" and place + 1 < len(text):
            following = text[place + 1]
            found += _ESCAPES.get(following, f"\\{following}")
            place += 2
            continue
        if closing and letter == closing:
            if place + 1 < len(text) and text[place + 1] not in " \t\r\n;{)":
                raise ValueError(f"unexpected {text[place + 1]!r} after a quoted argument")
            return found, place + 1
        if not closing and letter in " \t\r\n;{":
            return found, place
        found += letter
        place += 1
    if closing:
        raise ValueError("an argument does not end")
    return found, place
