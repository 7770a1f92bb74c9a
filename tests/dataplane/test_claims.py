"""What tests claim is nobody else's until their process ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import claims
import pytest

PROGRAM = """
import pathlib, sys, claims
claims.FOLDER = pathlib.Path(sys.argv[1])
print(claims.claim(sys.argv[2], range(2)), *claims.free_ports(300))
"""


def elsewhere(folder: Path, kind: str) -> list[int]:
    """A number and 300 ports that another process claims, which then ends."""
    command = [sys.executable, "-c", PROGRAM, folder, kind]
    done = subprocess.run(command, cwd=Path(claims.__file__).parent, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_ports_of_one_process_are_each_another_one_and_none_of_another_process() -> None:
    own = [*claims.free_ports(100), *claims.free_row(20), *claims.free_ports(100)]
    assert len(set(own)) == len(own)
    assert not set(own) & set(elsewhere(claims.FOLDER, f"test{os.getpid()}")[1:])


def test_a_number_is_given_once_and_again_when_its_process_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "FOLDER", tmp_path)
    claims.claim("test", [0])
    assert [elsewhere(tmp_path, "test")[0] for _ in range(2)] == [1, 1]
    assert claims.claim("test", range(2)) == 1
    with pytest.raises(RuntimeError):
        claims.claim("test", range(2))
