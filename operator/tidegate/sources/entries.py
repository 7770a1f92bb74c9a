"""A manifest file's text to the objects that it defines. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from tidegate.findings import Finding, ObjectKey
from tidegate.resources.checks import IGNORED
from tidegate.resources.decode import Decoded, decode
from tidegate.resources.model import Resource
from tidegate.sources.locate import locate
from tidegate.sources.manifests import Document, parse

_MAX_ITEMS_LEVELS = 8


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One object of a file; `resource` is None when it is invalid and no valid version is known."""

    key: ObjectKey
    resource: Resource | None
    place: str


class FileContent(msgspec.Struct, frozen=True, gc=False):
    """What a file says. `ignored` holds one finding for each object of a kind that is not read."""

    entries: tuple[Entry, ...] = ()
    findings: tuple[Finding, ...] = ()
    ignored: tuple[Finding, ...] = ()
    readable: bool = True


def read_text(text: bytes | str, file: str) -> FileContent:
    """Parse and decode; Lists are expanded. `metadata.created`, `uid` and `generation` are 0 or empty where absent.

    Never raises.
    """
    parsed = parse(text, file)
    entries: list[Entry] = []
    ignored: list[Finding] = []
    doubtful: list[tuple[Finding, int, str]] = []
    for document in parsed.documents:
        place = f"{file}:{document.line}"
        for manifest, prefix in _objects(document.manifest, "", 0):
            decoded = decode(manifest, created=0, uid="", place=place)
            if decoded.key is not None:
                entries.append(Entry(decoded.key, decoded.resource, place))
            if decoded.findings:
                _sort_findings(decoded, document, prefix, ignored, doubtful)
    findings = parsed.findings
    if doubtful and parsed.readable:  # looking into text of unbounded depth would be a risk
        findings += _placed(text, file, doubtful)
    else:
        findings += tuple(finding for finding, _, _ in doubtful)
    return FileContent(tuple(entries), findings, tuple(ignored), parsed.readable)


def _sort_findings(
    decoded: Decoded,
    document: Document,
    prefix: str,
    ignored: list[Finding],
    doubtful: list[tuple[Finding, int, str]],
) -> None:
    for finding in decoded.findings:
        if finding.reason == IGNORED:
            ignored.append(finding)
        else:
            doubtful.append((finding, document.line, f"{prefix}{finding.field}"))


def _placed(text: bytes | str, file: str, doubtful: list[tuple[Finding, int, str]]) -> tuple[Finding, ...]:
    """The findings with the line and column of the very field."""
    try:
        clean = text if isinstance(text, str) else text.decode("utf-8-sig")
    except UnicodeDecodeError:
        return tuple(finding for finding, _, _ in doubtful)
    places = locate(clean, [(line, field) for _, line, field in doubtful])
    return tuple(
        msgspec.structs.replace(finding, place=f"{file}:{place[0]}:{place[1]}") if place else finding
        for (finding, _, _), place in zip(doubtful, places, strict=True)
    )


def _objects(manifest: Any, prefix: str, level: int) -> Iterator[tuple[Any, str]]:
    """The manifest, or the items of a List (`v1 List`, `IngressList`, ...) with the path to each."""
    if isinstance(manifest, dict) and level < _MAX_ITEMS_LEVELS:
        kind, items, version = manifest.get("kind"), manifest.get("items"), manifest.get("apiVersion")
        listed = items is None or isinstance(items, list)
        if isinstance(kind, str) and kind.endswith("List") and "items" in manifest and listed:
            inherited = kind.removesuffix("List")
            for index, item in enumerate(items or ()):
                if isinstance(item, dict) and inherited and "kind" not in item:
                    item = {"apiVersion": version, "kind": inherited, **item}
                yield from _objects(item, f"{prefix}items[{index}].", level + 1)
            return
    yield manifest, prefix
