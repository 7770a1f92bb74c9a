"""The last accepted revision of each Ingress, on disk: what a refused one goes back to, also after a restart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from tidegate.findings import ObjectKey
from tidegate.resources.model import Ingress


class AcceptedFile:
    """JSON lines: each one Ingress, or the key of one that is gone; the last line about a key counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[ObjectKey, bytes] = {}
        self._lines = 0

    def load(self) -> dict[ObjectKey, Ingress]:
        """What an earlier run accepted; lines that cannot be read are left out."""
        found: dict[ObjectKey, Ingress] = {}
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return found
        for line in lines:
            try:
                entry = msgspec.json.decode(line, type=_Line)
            except msgspec.DecodeError:
                continue
            key = ObjectKey("Ingress", entry.namespace, entry.name)
            if entry.ingress is None:
                found.pop(key, None)
                self._kept.pop(key, None)
            else:
                found[key] = entry.ingress
                self._kept[key] = line
        self._lines = len(lines)
        return found

    def update(self, changes: Mapping[ObjectKey, Ingress | None]) -> None:
        """Write down changes; the whole file anew when most of its lines are outdated."""
        encoded: list[bytes] = []
        for key, ingress in changes.items():
            line = msgspec.json.encode(_Line(key.namespace, key.name, ingress))
            encoded.append(line)
            if ingress is None:
                self._kept.pop(key, None)
            else:
                self._kept[key] = line
        self._lines += len(encoded)
        if self._lines > 2 * len(self._kept) + 1000:
            self._rewrite()
            return
        with self._path.open("ab") as file:
            file.write(b"\n" + b"\n".join(encoded) + b"\n")  # what was torn before is a line of its own

    def _rewrite(self) -> None:
        temporary = self._path.with_suffix(".new")
        temporary.write_bytes(b"\n".join(self._kept.values()) + b"\n")
        temporary.rename(self._path)
        self._lines = len(self._kept)


class _Line(msgspec.Struct, frozen=True):
    namespace: str
    name: str
    ingress: Ingress | None = None
