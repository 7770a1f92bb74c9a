"""The copy of NGINX's error log: whole, in order, and of a file that stays small."""

from __future__ import annotations

import io
from pathlib import Path

from tidegate.agent.console import Console


def test_what_is_appended_is_copied_once(tmp_path: Path) -> None:
    log, output = tmp_path / "error.log", io.BytesIO()
    console = Console(log, output)
    console.copy()  # there is no file yet
    log.write_text("one\n")
    console.copy()
    console.copy()
    with log.open("a") as file:
        file.write("two\n")
    console.copy()
    assert output.getvalue() == b"one\ntwo\n"


def test_a_file_that_has_grown_is_emptied_and_nothing_is_lost(tmp_path: Path) -> None:
    log, output = tmp_path / "error.log", io.BytesIO()
    console = Console(log, output, largest=100)
    written = b""
    with log.open("ab", buffering=0) as file:
        for number in range(40):
            line = b"line %d\n" % number
            file.write(line)
            written += line
            console.copy()
            assert log.stat().st_size <= 120
    assert output.getvalue() == written
