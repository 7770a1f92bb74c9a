"""What is installed: wheel and source distribution carry all that the program reads, and it works from there alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hatchling import build

PROJECT = Path(__file__).parent.parent.parent
READ_BY_NGINX = {str(path.relative_to(PROJECT)) for path in (PROJECT / "nginx-templates").rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with both, built as pip does it."""
    folder, before = tmp_path_factory.mktemp("dist"), Path.cwd()
    os.chdir(PROJECT)
    try:
        build.build_wheel(str(folder))
        build.build_sdist(str(folder))
        yield folder
    finally:
        os.chdir(before)


def test_the_wheel_has_templates_and_lua(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    assert {f"tidegate/{name}" for name in READ_BY_NGINX} <= names
    assert not any(name.startswith(("tests", "nginx-templates")) for name in names)


def test_the_source_distribution_has_them_too(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= READ_BY_NGINX
    assert {"pyproject.toml", "README.md", "LICENSE", "operator/tidegate/cli/main.py"} <= names


def test_the_program_works_from_the_wheel_alone(built: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    (tmp_path / "m").mkdir()
    program = "import tidegate; print(tidegate.__file__, file=sys.stderr); from tidegate.cli.main import main; main()"
    found = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}", "render", str(tmp_path / "m")],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    assert str(tmp_path / "site") in found.stderr
    assert f"{tmp_path}/site/tidegate/nginx-templates/lua/" in found.stdout
