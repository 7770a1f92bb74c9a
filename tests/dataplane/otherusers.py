"""Commands that run as somebody else than the tests do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def as_user(user: int, group: int) -> list[str]:
    """What comes before a command that runs as somebody else."""
    return ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]


def python_of_others() -> str:
    """A Python of this version that an ordinary user can run: the one of the tests may be in root's home."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    program = f"import sys; assert sys.version.startswith('{version}.')"
    for python in (sys.executable, f"/usr/bin/python{version}"):
        command = [*as_user(65534, 65534), "sh", "-c", 'exec "$0" -c "$1"', python, program]
        if subprocess.run(command, capture_output=True).returncode == 0:
            return python
    pytest.skip("an ordinary user can run no Python of this version here")


def plain_program(python: str) -> list[str]:
    """The command for those who cannot reach this virtual environment."""
    return [python, "-c", "from tidegate.cli.main import main; main()"]


def plain_environment(home: Path) -> dict[str, str]:
    """What `plain_program` needs."""
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "HOME": str(home)}
