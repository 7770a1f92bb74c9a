"""The corpus: one hostile or broken manifest a file, and in its first lines what is to be found in it.

# object: Ingress hostile/a       the object, or the beginning of its name
# field: spec.rules[0].host       a part of the field
# reason: Invalid
# severity: error
# says: found                     a part of the message
# guarded: a.hostile.test /x      a route that must not answer 200 to a client without credentials
# ask: a.hostile.test /x          a route that must answer something, and soon
# live: no                        denies everybody by design, so it is checked alone
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tidegate.findings import Finding, ObjectKey
from tidegate.sources.directory import load_once
from tidegate.store import Store
from tidegate.translate.engine import Translator
from tidegate.translate.options import Options

CORPUS = Path(__file__).parent / "corpus"
CONFIGMAP = ObjectKey("ConfigMap", "hostile", "config")
_LINE = re.compile(rb"# (object|field|reason|severity|says|guarded|ask|live): ?(.*)")


@dataclass(frozen=True)
class Expected:
    """What one manifest has to give."""

    object: str
    field: str
    reason: str
    severity: str
    says: str
    guarded: tuple[tuple[str, str], ...] = ()
    ask: tuple[tuple[str, str], ...] = ()
    live: bool = True

    def is_met_by(self, finding: Finding) -> bool:
        return (
            str(finding.object).startswith(self.object)
            and self.field in finding.field
            and finding.reason == self.reason
            and (not self.severity or finding.severity == self.severity)
            and self.says in finding.message
        )


def expected(file: Path) -> Expected:
    """Read from the head of a file of the corpus."""
    rows: list[tuple[str, str]] = []
    for line in file.read_bytes().split(b"\n"):
        found = _LINE.fullmatch(line)
        if found is None:
            break
        rows.append((found[1].decode(), found[2].decode()))

    def one(name: str) -> str:
        (value,) = [value for key, value in rows if key == name]
        return value

    def routes(name: str) -> tuple[tuple[str, str], ...]:
        return tuple((host, path) for key, value in rows if key == name for host, path in [value.split(" ", 1)])

    return Expected(
        one("object"),
        one("field"),
        one("reason"),
        one("severity"),
        one("says"),
        guarded=routes("guarded"),
        ask=routes("ask"),
        live=("live", "no") not in rows,
    )


def files() -> list[Path]:
    return sorted(CORPUS.iterdir())


def findings(path: Path) -> tuple[Finding, ...]:
    """What `tidegate check` finds in a file or folder."""
    update = load_once(path)
    store = Store()
    translator = Translator(Options(configmap=CONFIGMAP))
    translator.update(store, store.apply(update.changes))
    return (*update.findings, *translator.findings())
