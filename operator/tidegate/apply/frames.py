"""Transactions as the data plane reads them: the text form that `nginx-templates/lua/tidegate/frames.lua` describes."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec


class Transaction(NamedTuple):
    """Values by key, None for a key to be deleted, in the order in which they are to be written."""

    version: int
    operations: Mapping[str, bytes | None]


def encode(transaction: Transaction) -> bytes:
    """One transaction, closed by its end line."""
    parts: list[bytes] = []
    for key, value in transaction.operations.items():
        name = key.encode()
        if value is None:
            parts.append(b"D %d 0\n%b\n" % (len(name), name))
        else:
            parts.append(b"S %d %d\n%b%b\n" % (len(name), len(value), name, value))
    body = b"".join(parts)
    return body + b"E %d %d\n" % (transaction.version, zlib.crc32(body))


def decode(text: bytes) -> Iterator[Transaction]:
    """The transactions of a state file; what follows the last whole one (a torn end) is left out."""
    position = 0
    while True:
        found = _read(text, position)
        if found is None:
            return
        transaction, position = found
        yield transaction


def _read(text: bytes, position: int) -> tuple[Transaction, int] | None:
    start = position
    operations: dict[str, bytes | None] = {}
    while True:
        line_end = text.find(b"\n", position)
        if line_end < 0:
            return None
        words = text[position:line_end].split(b" ")
        if len(words) != 3 or words[0] not in (b"S", b"D", b"E") or not (words[1] + words[2]).isdigit():
            return None
        first, second = int(words[1]), int(words[2])
        if words[0] == b"E":
            if zlib.crc32(text[start:position]) != second:
                return None
            return Transaction(first, operations), line_end + 1
        value_end = line_end + 1 + first + second
        if value_end >= len(text):
            return None
        key = text[line_end + 1 : line_end + 1 + first].decode()
        operations[key] = text[line_end + 1 + first : value_end] if words[0] == b"S" else None
        position = value_end + 1


def merge(transactions: Iterable[Transaction]) -> tuple[int, dict[str, bytes]]:
    """What a row of transactions amounts to: the last version, and the values that stand."""
    version, values = 0, dict[str, bytes]()
    for transaction in transactions:
        version = transaction.version
        for key, value in transaction.operations.items():
            if value is None:
                values.pop(key, None)
            else:
                values[key] = value
    return version, values


def record(value: msgspec.Struct) -> bytes:
    """A model value as the record that Lua decodes."""
    return msgspec.json.encode(value)
