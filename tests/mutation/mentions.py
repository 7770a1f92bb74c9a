"""Which tests on a real NGINX mention which setting, the likeliest to notice its loss first.

A setting is written `annotation/NAME` or `configmap/NAME`. A conformance case says exactly which ones it sets. A
data-plane test is searched for the name: in the test itself, or in what its file shares.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tidegate.settings.registry import ANNOTATIONS, CONFIGMAP_KEYS
from tidegate.settings.setting import Support

TESTS = Path(__file__).parent.parent
CASES = TESTS / "conformance" / "cases"
PREFIX = "nginx.ingress.kubernetes.io/"
MARK = "tidegate-test-ignored"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

sys.path.insert(0, str(TESTS / "conformance"))
from judging import CHANCE  # noqa: E402
from test_conformance import EXPECTED_FAILURES, GROUPS  # noqa: E402


def all_settings() -> list[str]:
    """Every name that has an effect: `annotation/NAME`, `configmap/NAME`."""
    kinds = (("annotation", ANNOTATIONS), ("configmap", CONFIGMAP_KEYS))
    return [f"{kind}/{name}" for kind, known in kinds for name, one in known.items() if one.support is not Support.DEAD]


@dataclass(frozen=True, order=True)
class Candidate:
    """A test that mentions a setting; the lower, the sooner it is tried."""

    distance: int  # 0: in the test itself, 1: in what its file shares
    others: int  # how many other settings it mentions
    test: str  # area/name of a case, or as pytest names a test
    group: str = ""  # whose case it is; empty: a test of pytest


class Mentions:
    """Tests by the setting that they mention."""

    def __init__(self, settings: list[str]) -> None:
        self._found: dict[str, set[Candidate]] = defaultdict(set)
        self.named: dict[str, set[str]] = {}  # what each test of pytest mentions; of a table just its row
        known = set(settings)
        for group in GROUPS.values():
            for case in group.cases():
                if case not in EXPECTED_FAILURES and case not in CHANCE:
                    named = set(named_in(load(case))) & known
                    for setting in named:
                        self._found[setting].add(Candidate(0, len(named) - 1, case, group.name))
        for file in sorted([*(TESTS / "dataplane").glob("test_*.py"), TESTS / "cluster" / "test_operator.py"]):
            if "from up import" in (text := file.read_text()):
                self._read_file(file, text, known)

    def of(self, setting: str) -> list[Candidate]:
        """The tests that mention a setting."""
        return sorted(self._found[setting])

    def _read_file(self, file: Path, text: str, settings: set[str]) -> None:
        tree = ast.parse(text)
        tests = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
        lines = text.splitlines()
        own = {node.name: "\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in tests}
        for node in reversed(tests):
            del lines[node.lineno - 1 : node.end_lineno]
        shared = mentioned("\n".join(lines), settings)
        tables = {node.name: table_of(node, tree) for node in tests}
        for name, body in own.items():
            test = f"{file.relative_to(TESTS.parent)}::{name}"
            named = mentioned(body, settings)
            self.named[test] = named | shared
            for setting in named:
                self._found[setting].add(Candidate(0, len(named) - 1, test))
            for setting in shared - named:
                self._found[setting].add(Candidate(1, len(shared) + len(named), test))
            for row in tables[name]:
                self.named[f"{test}[{row}]"] = mentioned(row, settings)
                for setting in mentioned(row, settings):
                    self._found[setting].add(Candidate(0, 0, f"{test}[{row}]"))


def table_of(test: ast.FunctionDef, tree: ast.Module) -> set[str]:
    """The keys of the table, a dictionary of its file, of which a test takes one at a time."""
    calls = [one for one in test.decorator_list if isinstance(one, ast.Call)]
    given = {item.id for call in calls for item in call.args if isinstance(item, ast.Name)}
    tables = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    keys = [key for name in given & tables.keys() for key in tables[name].keys]
    return {str(key.value) for key in keys if isinstance(key, ast.Constant)}


def mentioned(text: str, settings: set[str]) -> set[str]:
    """The settings that Python code names, with hyphens or as a keyword argument."""
    words = {word.replace("_", "-") for word in re.findall(r"[\w-]+", text)}
    return {setting for setting in settings if setting.partition("/")[2] in words}


def load(case: str) -> dict[str, Any]:
    """What a case says."""
    return dict(yaml.load((CASES / f"{case}.yaml").read_text(), LOADER))


def named_in(part: Any) -> Iterator[str]:
    """The settings that a part of a case sets."""
    for kind, rows in places(part):
        yield from (f"{kind}/{name.removeprefix(PREFIX)}" for name in rows)


def mark(case: dict[str, Any], setting: str) -> dict[str, Any]:
    """Makes each object of a case that sets this setting say that it is to be ignored; the case itself."""
    wanted, _, name = setting.partition("/")
    for kind, rows in places(case):
        for written in {name, f"{PREFIX}{name}"} & set(rows):
            if kind == wanted:
                rows[written.removesuffix(name) + MARK] = name
    return case


def places(part: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The mappings in a part of a case that hold annotations or data of the ConfigMap."""
    if isinstance(part, list):
        for item in part:
            yield from places(item)
    if not isinstance(part, dict):
        return
    for key, value in part.items():
        if key in ("annotations", "configmap") and isinstance(value, dict):
            yield "annotation" if key == "annotations" else key, value
        else:
            yield from places(value)
