"""Promises that the files around the program make."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parent.parent.parent


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_lock_pins_every_dependency_by_hash_and_names_no_host() -> None:
    text = (PROJECT / "requirements.lock").read_text()
    assert "://" not in text
    assert "--index-url" not in text and "--find-links" not in text
    entries = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    locked = {normal(re.split(r"[=\[ ]", entry, maxsplit=1)[0]) for entry in entries}

    pyproject = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    wanted = [
        *pyproject["project"]["dependencies"],
        *pyproject["project"]["optional-dependencies"]["dev"],
        *pyproject["build-system"]["requires"],
    ]
    names = {normal(re.split(r"[<>=~!\[; ]", requirement, maxsplit=1)[0]) for requirement in wanted}
    assert names <= locked, "run `make lock`"


def test_promised_targets_exist() -> None:
    text = (PROJECT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", text, re.MULTILINE))
    assert {"setup", "demo", "test", "bench", "lint", "clean"} <= targets


def test_shell_scripts_parse() -> None:
    scripts = [*(PROJECT / "scripts").glob("*.sh"), PROJECT / "scripts" / "nginx-trixie", PROJECT / ".ci" / "run"]
    for script in scripts:
        subprocess.run(["bash", "-n", str(script)], check=True)


def test_links_of_the_documents_lead_somewhere() -> None:
    documents = [*PROJECT.glob("*.md"), *(PROJECT / "docs").glob("*.md"), *(PROJECT / "examples").glob("*.md")]
    broken = []
    for document in documents:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
            if "://" not in target and not (document.parent / target).exists():
                broken.append(f"{document.name}: {target}")
    assert broken == []
