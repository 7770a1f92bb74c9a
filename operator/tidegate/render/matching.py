"""Lists of texts and patterns as the keys of an NGINX map, and the room that such keys need."""

from __future__ import annotations

from collections.abc import Iterable

_POINTER = 8
_CACHE_LINE = 64


def map_key(matcher: str) -> str:
    """A text, or a pattern that begins with `~`, as a key: a backslash keeps a text from being read as a key word."""
    return matcher if matcher.startswith("~") else f"\\{matcher}"


def bucket_size(names: Iterable[str], least: int) -> int:
    """The size of hash buckets that the longest of some names fits in: at least `least`, whole cache lines."""
    longest = max((len(name.encode()) for name in names), default=0)
    entry = _POINTER + -(-(longest + 2) // _POINTER) * _POINTER  # a pointer, then length and name, padded
    needed = max(least, entry + _POINTER)  # an empty pointer ends a bucket
    return -(-needed // _CACHE_LINE) * _CACHE_LINE
