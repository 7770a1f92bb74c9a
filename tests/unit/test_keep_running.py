"""Process 1 of the operator's container: a crash is mended, an end is an end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "keep-running.sh"
LIMIT = 30.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def start(folder: Path, program: str, soon: int) -> subprocess.Popen[bytes]:
    """Runs a shell program that gets $PIDS, a file to which it is to append its process id."""
    env = {**os.environ, "PIDS": str(folder / "pids"), "KEEP_RUNNING_SOON": str(soon)}
    return subprocess.Popen([SCRIPT, "sh", "-c", program], env=env, stderr=subprocess.DEVNULL)


def pids(folder: Path) -> list[int]:
    path = folder / "pids"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


RUNS = 'echo $$ >>"$PIDS"; exec sleep 1000'


def test_a_program_that_is_killed_is_started_again(tmp_path: Path) -> None:
    process = start(tmp_path, RUNS, soon=0)
    try:
        for count in (1, 2, 3):
            until(lambda count=count: len(pids(tmp_path)) == count)
            os.kill(pids(tmp_path)[-1], signal.SIGKILL)
        until(lambda: len(pids(tmp_path)) == 4)
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(LIMIT)


def test_a_signal_to_end_reaches_the_program_and_its_status_is_the_containers(tmp_path: Path) -> None:
    program = 'trap "exit 7" TERM; echo $$ >>"$PIDS"; while :; do sleep 0.01; done'
    process = start(tmp_path, program, soon=0)
    until(lambda: len(pids(tmp_path)) == 1)
    process.terminate()
    assert process.wait(LIMIT) == 7
    assert len(pids(tmp_path)) == 1


def test_a_program_that_crashes_soon_is_left_to_the_kubelet(tmp_path: Path) -> None:
    process = start(tmp_path, RUNS, soon=1000)
    until(lambda: len(pids(tmp_path)) == 1)
    os.kill(pids(tmp_path)[-1], signal.SIGKILL)
    assert process.wait(LIMIT) == 128 + signal.SIGKILL


def test_wrong_usage_and_a_clean_end_are_ends(tmp_path: Path) -> None:
    for status in (0, 2):
        assert start(tmp_path, f"exit {status}", soon=0).wait(LIMIT) == status
