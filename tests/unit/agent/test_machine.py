"""How many cores NGINX may use, from its control group."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tidegate.agent import machine

CORES = len(os.sched_getaffinity(0))


def group(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_max", ".max").replace("cfs", "cpu.cfs")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, CORES),
        ({"cpu_max": "max 100000\n"}, CORES),
        ({"cpu_max": "50000 100000\n"}, 1),
        ({"cpu_max": "99900000 100000\n"}, CORES),
        ({"cpu_max": "nonsense\n"}, CORES),
        ({"cpu__cfs_quota_us": "-1\n", "cpu__cfs_period_us": "100000\n"}, CORES),
        ({"cpu__cfs_quota_us": "20000\n", "cpu__cfs_period_us": "100000\n"}, 1),
    ],
)
def test_a_quota_bounds_the_cores_and_a_part_of_one_counts_as_one(
    tmp_path: Path, files: dict[str, str], cores: int
) -> None:
    assert machine._cores(group(tmp_path, **files)) == cores


def test_a_quota_is_rounded_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    assert machine._cores(group(tmp_path, cpu_max="250000 100000\n")) == 3
