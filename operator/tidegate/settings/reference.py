"""The support table: every setting as a row of plain texts, and the rows as Markdown (`tidegate annotations`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Final

import msgspec

from tidegate.settings.directives import WordPair
from tidegate.settings.lists import BlankList, NextUpstream, WordList
from tidegate.settings.nginx_types import BufferPair, Duration, GoDuration, WorkerCount
from tidegate.settings.registry import ANNOTATIONS, CONFIGMAP_KEYS
from tidegate.settings.setting import AnySetting
from tidegate.settings.texts import PairOrOff
from tidegate.settings.types import GoBool, Int, OnOff, OptionalSize, Size

ANNOTATION: Final = "annotation"
CONFIGMAP_KEY: Final = "ConfigMap key"


class Row(msgspec.Struct, frozen=True):
    """One setting in words. `name` has no prefix; `risk` is empty for ConfigMap keys, which have none.

    `configmap_key` is the key that an annotation overrides, or empty; `alias_of` the setting that a further name is
    for, or empty.
    """

    name: str
    kind: str
    group: str
    scope: str
    risk: str
    type: str
    default: str
    on_invalid: str
    becomes: str
    support: str
    doc: str
    note: str = ""
    configmap_key: str = ""
    alias_of: str = ""
    security: bool = False


def rows() -> tuple[Row, ...]:
    """All annotations, then all ConfigMap keys, each in the order of the registry."""
    return (*_rows(ANNOTATION, ANNOTATIONS), *_rows(CONFIGMAP_KEY, CONFIGMAP_KEYS))


def _rows(kind: str, settings: Mapping[str, AnySetting]) -> Iterable[Row]:
    return (_row(kind, name, setting) for name, setting in settings.items())


def _row(kind: str, name: str, setting: AnySetting) -> Row:
    alias = name != setting.name
    return Row(
        name=name,
        kind=kind,
        group=setting.group,
        scope=str(setting.scope),
        risk=str(setting.risk) if kind == ANNOTATION else "",
        type=setting.type.allowed,
        default=default_text(setting),
        on_invalid=_on_invalid(setting),
        becomes=str(setting.becomes),
        support=str(setting.support),
        doc=f"Another name of {setting.name}, used where that is absent or empty." if alias else setting.doc,
        note=setting.note,
        configmap_key=setting.configmap_key or "",
        alias_of=setting.name if alias else "",
        security=setting.security,
    )


def _on_invalid(setting: AnySetting) -> str:
    if setting.on_misfit is None or setting.on_misfit is setting.on_invalid:
        return str(setting.on_invalid)
    return f"{setting.on_invalid}; right characters, no sense: {setting.on_misfit}"


def default_text(setting: AnySetting) -> str:
    """The default as a user would write it; empty where it is `nothing`."""
    value = setting.default
    if isinstance(value, bool):
        yes, no = ("on", "off") if isinstance(setting.type, OnOff) else ("true", "false")
        return yes if value else no
    if value is None and isinstance(setting.type, PairOrOff | WordPair):
        return "off"
    if value is None:
        return "auto" if isinstance(setting.type, WorkerCount) else ""
    if isinstance(setting.type, BufferPair):
        return f"{value.number} {_size(value.size)}"
    if isinstance(value, tuple):
        separator = " " if isinstance(setting.type, WordList | NextUpstream | BlankList) else ", "
        return separator.join(map(str, value))
    if isinstance(setting.type, Size | OptionalSize):
        return _size(value)
    if isinstance(setting.type, Duration | GoDuration):
        return f"{value}ms" if value % 1000 else f"{value // 1000}s"
    return str(value)


def _size(size: int) -> str:
    for unit, factor in (("m", 1024**2), ("k", 1024)):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


_COLUMNS: Final = ("Name", "Support", "Value", "Default", "If invalid", "Risk", "Scope", "Becomes", "What it does")


def to_markdown(table: Iterable[Row]) -> str:
    """The rows as Markdown: which blanks count, then a section for each kind, a table for each group."""
    lines = [_blanks(), ""]
    for (kind, group), members in groupby(table, key=lambda row: (row.kind, row.group)):
        lines += [f"## {kind.capitalize() if kind == ANNOTATION else kind}s: {group}", ""]
        lines += [_line(_COLUMNS), _line("---" for _ in _COLUMNS)]
        lines += [_line(_cells(row)) for row in members]
        lines.append("")
    return "\n".join(lines)


def _blanks() -> str:
    exact = [
        name for name, setting in ANNOTATIONS.items() if setting.exact and not isinstance(setting.type, GoBool | Int)
    ]
    return (
        "Spaces before and after the value of an annotation are ignored, but not those of numbers, of true or false and"
        f" of {', '.join(f'`{name}`' for name in exact)}: they count there, and mostly make the value invalid. Spaces,"
        " tabs and line ends around the value of a ConfigMap key are ignored where it is a size, a time, on or off, or"
        " words separated by spaces (between which any number of them counts as one space), and around lines of"
        " configuration; they make numbers, true or false, single names and `one of` several words invalid. Elements of"
        " comma separated lists may have spaces around them in either."
    )


def _cells(row: Row) -> tuple[str, ...]:
    default = f"ConfigMap `{row.configmap_key}`, else `{row.default}`" if row.configmap_key else f"`{row.default}`"
    if not row.default:
        default = f"ConfigMap `{row.configmap_key}`" if row.configmap_key else ""
    doc = f"{row.doc} *Differs:* {row.note}" if row.note else row.doc
    return (f"`{row.name}`", row.support, row.type, default, row.on_invalid, row.risk, row.scope, row.becomes, doc)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
