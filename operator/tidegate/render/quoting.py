"""The one way a value gets into NGINX's configuration.

NGINX reads a double-quoted argument with backslash escapes; `$` begins a variable and cannot be escaped, and a control
character has no business in any setting. So: quote, escape `\\` and `"`, refuse the rest.
"""

from __future__ import annotations

import re

BARE = re.compile(r"[A-Za-z0-9_./:@=+,-]+")
VARIABLE = re.compile(r"\$(?:[A-Za-z0-9_]+|\{[A-Za-z0-9_]+\})")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
LUA_PART = 1000  # characters, of up to four bytes


class UnsafeValue(ValueError):
    """A value that cannot be written into NGINX's configuration as an argument."""


def quote(value: str) -> str:
    """One argument with exactly this text. Raises UnsafeValue for control characters and `$`."""
    if "$" in value:
        raise UnsafeValue(f"{value!r} contains '$', which NGINX would take for a variable")
    return _quoted(value)


def quote_variables(value: str) -> str:
    """One argument in which `$name` and `${name}` are variables; a `$` that begins none is refused (UnsafeValue)."""
    if "$" in VARIABLE.sub("", value):
        raise UnsafeValue(f"{value!r} contains a '$' that does not begin a variable's name")
    return _quoted(value)


def quote_lines(value: str) -> str:
    """As `quote_variables`, for a text of several lines."""
    lines = value.split("\n")
    if len(lines) == 1:
        return quote_variables(value)
    for line in lines:
        quote_variables(line)  # which refuses what is not safe
    return '"' + "\\n".join(map(_escaped, lines)) + '"'


def quote_literally(value: str) -> str:
    """One argument of those in which NGINX looks for no variables, such as the keys of a map: `$` stands for itself."""
    return _quoted(value)


def is_used(variable: str, value: str) -> bool:
    """Whether a text has the variable `$variable` or `${variable}`."""
    return any(found[0].strip("${}").lower() == variable for found in VARIABLE.finditer(value))


def lua_text(value: str) -> str:
    """Text for the inside of `[=====[...]=====]`; raises UnsafeValue if it could end that bracket.

    NGINX takes at most 4096 bytes in one such bracket: a longer text becomes several, joined by Lua.
    """
    if "]=" in value or CONTROL.search(value):
        raise UnsafeValue("text that would leave its Lua bracket")
    parts = [value[start : start + LUA_PART] for start in range(0, len(value), LUA_PART)]
    return "]=====] .. [=====[".join(parts)


def on_off(value: bool) -> str:
    return "on" if value else "off"


def _quoted(value: str) -> str:
    if CONTROL.search(value):
        raise UnsafeValue(f"{value!r} contains a control character")
    if BARE.fullmatch(value):
        return value
    return f'"{_escaped(value)}"'


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
