"""YAML text to plain values (dict with string keys, list, str, int, float, bool, None), safely and fast.

Built on libyaml's events with a stack of its own, so that neither depth nor aliases can hurt: nesting, size and
alias expansion are bounded, a collection that contains itself is refused. Values are those of PyYAML's
SafeLoader (YAML 1.1), except that time stamps stay text and keys become strings, as `kubectl` does it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

MAX_DEPTH = 500
MAX_NODES = 1_000_000
MAX_EXPANDED = 200_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PREFIX = "tag:yaml.org,2002:"
_MERGE_TAG = _PREFIX + "merge"
_CONSTRUCT = {
    _PREFIX + "null": SafeConstructor.construct_yaml_null,
    _PREFIX + "bool": SafeConstructor.construct_yaml_bool,
    _PREFIX + "int": SafeConstructor.construct_yaml_int,
    _PREFIX + "float": SafeConstructor.construct_yaml_float,
}
_TEXT_TAGS = frozenset({"!", _PREFIX + "str", _PREFIX + "timestamp"})
_MAP_TAGS = frozenset({None, "!", _PREFIX + "map"})
_LIST_TAGS = frozenset({None, "!", _PREFIX + "seq"})
_constructor = SafeConstructor()


class _Marker:
    """Values that no document can hold."""


_NO_KEY = _Marker()
_MERGE = _Marker()
_OPEN = _Marker()


class YAMLTextError(Exception):
    """Text that is refused; line and column count from 1."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


class _Frame:
    """A collection being filled; `weight` counts its values with aliases expanded."""

    __slots__ = ("anchor", "key", "merges", "value", "weight")

    def __init__(self, value: Any, anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.key: Any = _NO_KEY
        self.merges: list[Any] = []
        self.weight = 1


def documents(text: str, duplicates: list[tuple[str, int, int]]) -> Iterator[tuple[Any, int]]:
    """Each document's value and the line where it begins.

    Repeated keys (the last one counts) are appended to `duplicates` as (key, line, column).
    Raises YAMLTextError; documents before the fault have been given by then.
    """
    try:
        yield from _build(_Loader(text), duplicates)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ": ".join(part for part in (error.context, error.problem) if part)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise YAMLTextError(message or "not YAML", line, column) from None
    except yaml.YAMLError as error:
        raise YAMLTextError(str(error).split("\n", 1)[0] or "not YAML", 1, 1) from None


def _build(loader: Any, duplicates: list[tuple[str, int, int]]) -> Iterator[tuple[Any, int]]:
    get_event = loader.get_event
    stack: list[_Frame] = []
    anchors: dict[str, tuple[Any, int]] = {}
    nodes = expanded = 0
    root: Any = None
    root_line = 1
    while (event := get_event()) is not None:
        kind = type(event)
        weight = 1
        if kind is ScalarEvent:
            nodes += 1
            value = _scalar(event)
            if event.anchor is not None:
                weight = 1 + len(event.value) // 100
                anchors[event.anchor] = (value, weight)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            nodes += 1
            if len(stack) >= MAX_DEPTH:
                raise _problem(event, f"nested deeper than {MAX_DEPTH} levels")
            if event.tag not in (_MAP_TAGS if kind is MappingStartEvent else _LIST_TAGS):
                raise _problem(event, f"the tag {event.tag} is not supported")
            if not stack:
                root_line = event.start_mark.line + 1
            elif stack[-1].key is _NO_KEY and type(stack[-1].value) is dict:
                hint = " (is this a template? it must be rendered first)" if kind is MappingStartEvent else ""
                raise _problem(event, f"a mapping or list cannot be a key{hint}")
            stack.append(_Frame({} if kind is MappingStartEvent else [], event.anchor))
            if event.anchor is not None:
                anchors[event.anchor] = (_OPEN, 0)
            continue
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            frame = stack.pop()
            value, weight = frame.value, frame.weight
            for merged in frame.merges:
                for key, item in merged.items():
                    value.setdefault(key, item)
            if frame.anchor is not None:
                anchors[frame.anchor] = (value, weight)
        elif kind is AliasEvent:
            if event.anchor not in anchors:
                raise _problem(event, f"the alias *{event.anchor} names no anchor")
            value, weight = anchors[event.anchor]
            if value is _OPEN:
                raise _problem(event, f"the alias *{event.anchor} is inside of what it names: a cycle")
            expanded += weight
            if expanded > MAX_EXPANDED:
                raise _problem(event, f"aliases expand to more than {MAX_EXPANDED} values")
        elif kind is DocumentEndEvent:
            yield root, root_line
            root, root_line, anchors, expanded = None, 1, {}, 0
            continue
        else:
            continue
        if nodes > MAX_NODES:
            raise _problem(event, f"more than {MAX_NODES} values in one file")
        if not stack:
            root = None if value is _MERGE else value
            if kind is ScalarEvent:
                root_line = event.start_mark.line + 1
            continue
        top = stack[-1]
        top.weight += weight
        container = top.value
        if type(container) is list:
            container.append("<<" if value is _MERGE else value)
        elif top.key is _NO_KEY:
            top.key = value if type(value) is str or value is _MERGE else _key(value, event)
            if top.key in container:
                mark = event.start_mark
                duplicates.append((top.key, mark.line + 1, mark.column + 1))
        elif top.key is _MERGE:
            top.merges.extend(_merge_sources(value, event))
            top.key = _NO_KEY
        else:
            container[top.key] = "<<" if value is _MERGE else value
            top.key = _NO_KEY


def _problem(event: Any, message: str) -> YAMLTextError:
    mark = event.start_mark
    return YAMLTextError(message, mark.line + 1, mark.column + 1)


def _scalar(event: Any) -> Any:
    tag = event.tag
    if tag is None or tag == "!":
        # implicit[0]: plain scalar, its type is guessed; else quoted or block text
        return _resolve(event.value) if event.implicit[0] and tag is None else event.value
    if tag in _TEXT_TAGS:
        return event.value
    if tag in _CONSTRUCT:
        value = _resolve(event.value)
        if type(value) is float or not isinstance(value, str):
            return float(value) if tag.endswith("float") and type(value) is int else value
        raise _problem(event, f"{event.value[:80]!r} is not a value of the type {tag.removeprefix(_PREFIX)}")
    raise _problem(event, f"the tag {tag.replace(_PREFIX, '!!')} is not supported")


def _resolve(text: str) -> Any:
    """The value of a plain scalar."""
    return _resolve_short(text) if len(text) <= 64 else text


@lru_cache(maxsize=16384, typed=True)
def _resolve_short(text: str) -> Any:
    """Cached: manifests repeat the same few words, and equal strings are then one object."""
    resolvers: Any = yaml.SafeLoader.yaml_implicit_resolvers
    for tag, pattern in resolvers.get(text[:1], ()):
        if not pattern.match(text):
            continue
        if tag == _MERGE_TAG:
            return _MERGE
        if tag in _CONSTRUCT:
            try:
                construct: Any = _CONSTRUCT[tag]
                return construct(_constructor, yaml.ScalarNode(tag, text))
            except (ValueError, OverflowError, LookupError):
                return text
        return text
    return text


def _key(value: Any, event: Any) -> str:
    """Keys are strings, as in JSON: `9000: x` is `"9000": x`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise _problem(event, f"{'an empty value' if value is None else 'a mapping or list'} cannot be a key")


def _merge_sources(value: Any, event: Any) -> list[dict[str, Any]]:
    sources = value if type(value) is list else [value]
    if all(type(source) is dict for source in sources):
        return sources
    raise _problem(event, "the merge key << needs a mapping or a list of mappings")
