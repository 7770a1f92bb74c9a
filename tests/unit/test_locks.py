"""The two lock files: what the image has is what was tested."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ]+)", re.MULTILINE)


def blocks(name: str) -> dict[str, str]:
    """Each package with its version and hashes."""
    parts = re.split(r"(?m)^(?=[A-Za-z0-9])", (PROJECT / name).read_text())
    return {match["name"]: part for part in parts if (match := PIN.match(part))}


def test_the_image_has_the_packages_that_are_tested() -> None:
    everything, image = blocks("requirements.lock"), blocks("requirements-run.lock")
    differing = [name for name, block in image.items() if everything.get(name) != block]
    assert image
    assert not differing, f"run make lock: {differing}"


def test_the_image_has_every_dependency_of_the_program() -> None:
    with (PROJECT / "pyproject.toml").open("rb") as file:
        wanted = tomllib.load(file)["project"]["dependencies"]
    names = {re.split(r"[<>=\[ ;]", text, maxsplit=1)[0] for text in wanted}
    assert names <= blocks("requirements-run.lock").keys(), "run make lock"
