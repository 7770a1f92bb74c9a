"""Text of a manifest file to its documents. Pure: bytes in, values and findings out.

YAML (many documents) and JSON (one document, or several after one another). A text with a syntax error gives
the documents that can still be read and a finding `UnreadableFile` at `file:line:column`.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.sources.yamltext import MAX_NODES, YAMLTextError, documents

MAX_BYTES = 32 * 1024 * 1024
UNREADABLE = "UnreadableFile"
DUPLICATE_KEY = "DuplicateKey"

_MAX_DUPLICATES = 10
_NOT_ALLOWED = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_SEPARATOR = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


class Document(msgspec.Struct, frozen=True):
    """`manifest` is a plain value whose mappings have string keys; `line` counts from 1; `index` from 0."""

    manifest: Any
    line: int
    index: int = 0


class ParsedFile(msgspec.Struct, frozen=True):
    """`readable` is false when some of the text could not be read; empty documents are left out."""

    documents: tuple[Document, ...]
    findings: tuple[Finding, ...]
    readable: bool = True


class _UnreadableError(Exception):
    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


def parse(text: bytes | str, file: str) -> ParsedFile:
    """The documents of `text`; `file` is its name in findings. Never raises."""
    try:
        clean = _decode(text)
    except _UnreadableError as error:
        return ParsedFile((), (unreadable(file, error.message, error.line, error.column),), False)
    if clean.lstrip()[:1] in ("{", "[") or file.endswith(".json"):
        try:
            return ParsedFile(*_json(clean, file))
        except _UnreadableError as error:
            if file.endswith(".json"):
                return ParsedFile((), (unreadable(file, error.message, error.line, error.column),), False)
    duplicates: list[tuple[str, int, int]] = []
    try:
        found = [
            Document(manifest, line, index)
            for index, (manifest, line) in enumerate(documents(clean, duplicates))
            if manifest is not None
        ]
    except YAMLTextError as error:
        return _parts(clean, file, error)
    return ParsedFile(tuple(found), _duplicate_findings(duplicates, file))


def unreadable(file: str, message: str, line: int = 0, column: int = 0) -> Finding:
    """A finding about a file as a whole; `place` is `file:line:column`, or `file` without a line."""
    place = f"{file}:{line}:{column}" if line else file
    return Finding(ObjectKey("File", "", file), "", Severity.ERROR, UNREADABLE, message, place)


def _decode(text: bytes | str) -> str:
    if len(text) > MAX_BYTES:
        raise _UnreadableError(f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB", 1, 1)
    if isinstance(text, bytes):
        data, encoding = text, "utf-8"
        for bom, name in _BOMS:
            if data.startswith(bom):
                data, encoding = data[len(bom) :], name
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError as error:
            line, column = _position(data[: error.start].decode(encoding, "replace"))
            raise _UnreadableError(f"the text is not {encoding.upper()}", line, column) from None
    match = _NOT_ALLOWED.search(text)
    if match:
        line, column = _position(text[: match.start()])
        raise _UnreadableError(f"the character U+{ord(match[0]):04X} is not allowed", line, column)
    return text


def _position(before: str) -> tuple[int, int]:
    """Line and column, from 1, of what follows `before`."""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _parts(text: str, file: str, error: YAMLTextError) -> ParsedFile:
    """The documents between `---` lines one by one, because one of them is faulty."""
    starts = [0, *[match.start() for match in _SEPARATOR.finditer(text) if match.start()], len(text)]
    line, column = min((error.line, error.column), _position(text))
    whole = unreadable(file, error.message, line, column)
    if len(starts) > 10_000:
        return ParsedFile((), (whole,), False)
    found: list[Document] = []
    findings: list[Finding] = []
    duplicates: list[tuple[str, int, int]] = []
    offset = 0
    for begin, end in itertools.pairwise(starts):
        part = text[begin:end]
        here: list[tuple[str, int, int]] = []
        try:
            for manifest, line in documents(part, here):
                if manifest is not None:
                    found.append(Document(manifest, line + offset, len(found)))
        except YAMLTextError as problem:
            line, column = min((problem.line, problem.column), _position(part))  # libyaml counts one line more
            findings.append(unreadable(file, problem.message, line + offset, column))
        duplicates += [(key, line + offset, column) for key, line, column in here]
        offset += part.count("\n")
    if not findings:
        findings.append(whole)
    return ParsedFile(tuple(found), (*findings[:20], *_duplicate_findings(duplicates, file)), False)


def _duplicate_findings(duplicates: list[tuple[str, int, int]], file: str) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            ObjectKey("File", "", file),
            "",
            Severity.WARNING,
            DUPLICATE_KEY,
            f"the key {json.dumps(key[:80])} is there twice; the last one counts",
            f"{file}:{line}:{column}" if line else file,
        )
        for key, line, column in duplicates[:_MAX_DUPLICATES]
    )


def _json(text: str, file: str) -> tuple[tuple[Document, ...], tuple[Finding, ...]]:
    if text.count(",") > 2 * MAX_NODES or text.count("[") > MAX_NODES:
        raise _UnreadableError("too many values in one file", 1, 1)
    duplicates: list[tuple[str, int, int]] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) < len(items):
            seen: set[str] = set()
            duplicates.extend((key, 0, 0) for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        return result

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    decoder = json.JSONDecoder(object_pairs_hook=pairs, parse_constant=refuse)
    try:
        found = tuple(_json_documents(text, decoder))
        if _SURROGATE_ESCAPE.search(text):
            for document in found:
                json.dumps(document.manifest, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise _UnreadableError(f"not JSON: {error.msg}", error.lineno, error.colno) from None
    except RecursionError:
        raise _UnreadableError("nested too deeply", 1, 1) from None
    except UnicodeEncodeError:
        raise _UnreadableError("an escape names half of a surrogate pair", 1, 1) from None
    except ValueError as error:
        raise _UnreadableError(f"not JSON: {str(error)[:120]}", 1, 1) from None
    return found, _duplicate_findings(duplicates, file)


def _json_documents(text: str, decoder: json.JSONDecoder) -> Iterator[Document]:
    space = re.compile(r"[ \t\r\n]*")
    position = index = 0
    line, counted = 1, 0
    while True:
        match = space.match(text, position)
        position = match.end() if match else position
        if position >= len(text):
            return
        line += text.count("\n", counted, position)
        counted = position
        manifest, position = decoder.raw_decode(text, position)
        if manifest is not None:
            yield Document(manifest, line, index)
        index += 1
