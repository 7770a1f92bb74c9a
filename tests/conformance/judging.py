"""What both adapters do with the cases: lay those that are wanted into a folder, read the result, judge each case."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
CASES = HERE / "cases"
CHANCE: dict[str, str] = yaml.safe_load((HERE / "chance.yaml").read_text())

Found = dict[str, dict[str, str]]
"""area/name -> result and message."""


def tail(path: Path, lines: int = 30) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""


def lay_out(wanted: Iterable[str], folder: Path, cases: Path = CASES) -> Path:
    """A folder with just these of the cases."""
    for case in wanted:
        link = folder / f"{case}.yaml"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(cases / f"{case}.yaml")
    return folder


def read_result(file: Path, output: Path) -> Found:
    """Raises RuntimeError with the end of the runner's output where it gave none."""
    if not file.exists():
        raise RuntimeError(f"the runner gave no result:\n{tail(output)}")
    return {f"{case['area']}/{case['name']}": case for case in json.loads(file.read_text())["cases"]}


def judge(case: str, outcome: Found, expected_failures: Mapping[str, str]) -> None:
    """Passes, skips or fails the test of one case."""
    found = outcome.get(case)
    if found is None:
        pytest.fail("the runner said nothing about this case", pytrace=False)
    result, message, reason = found["result"], found["message"], expected_failures.get(case)
    if result == "fail" and case in CHANCE:
        pytest.xfail(f"{CHANCE[case]} ({message})")
    if result == "skip":
        pytest.skip(message)
    if result == "fail" and reason is None:
        pytest.fail(f"{message}\n{CASES / case}.yaml", pytrace=False)
    if result == "fail":
        pytest.xfail(f"{reason} ({message})")
    if reason is not None:
        pytest.fail("passes now: remove it from expected_failures.yaml", pytrace=False)
