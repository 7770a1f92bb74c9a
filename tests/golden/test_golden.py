"""Each folder here is a case; its name says what it shows. `TIDEGATE_GOLDEN=write` writes what is expected anew."""

from __future__ import annotations

import os
from pathlib import Path

import pipeline
import pytest

HERE = Path(__file__).parent
CASES = sorted(file.parent for file in HERE.glob("*/in.yaml"))
WRITTEN = ("model.json", "findings.json", "nginx.diff")
WRITE = os.environ.get("TIDEGATE_GOLDEN") == "write"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_becomes_of_these_manifests_is_what_was_written_down(case: Path) -> None:
    found = pipeline.outputs(case)
    assert not any(pipeline.contains_a_key(text) for text in found.values())
    if WRITE:
        for name in WRITTEN:
            (case / name).unlink(missing_ok=True)
        for name, text in found.items():
            (case / name).write_text(text)
    expected = {name: (case / name).read_text() for name in WRITTEN if (case / name).exists()}
    assert found == expected


def test_the_configuration_of_an_empty_folder_is_what_was_written_down() -> None:
    file = HERE / "empty.nginx.conf"
    found = pipeline.empty_conf()
    if WRITE:
        file.write_text(found)
    assert found == file.read_text()


def test_there_are_cases() -> None:
    assert len(CASES) > 30


def test_no_file_of_a_case_holds_a_private_key() -> None:
    for file in HERE.rglob("*"):
        if file.is_file() and file.suffix in (".yaml", ".json", ".conf", ".diff"):
            assert "PRIVATE KEY" not in file.read_text(), file
