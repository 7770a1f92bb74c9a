"""The real programs of tools that drive ingress controllers, which `scripts/tool-programs.sh` builds."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from apiserver import PROJECT, until
from toolworld import Cluster

PLACE = PROJECT / ".cache" / "tools"
PATIENCE = 150.0  # Flagger looks every ten seconds
Wait = Callable[[Callable[[], Any]], Any]


def program(name: str) -> str:
    found, missing = PLACE / "bin" / name, f"{name} is missing: run scripts/tool-programs.sh"
    if not found.exists() and not os.environ.get("CI"):
        pytest.skip(missing)
    assert found.exists(), missing
    return str(found)


def define_kinds(world: Cluster, tool: str) -> None:
    """The custom resource definitions that a tool brings."""
    world.api.kubectl("apply", "--server-side", "-f", str(PLACE / "crds" / tool))
    world.api.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


@contextmanager
def running(folder: Path, *words: str, **env: str) -> Iterator[Wait]:
    """A program, and how to wait for what it does: what it said is told if that does not come about."""
    log = folder / f"{len(list(folder.iterdir()))}.log"
    own = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with (
        log.open("w") as file,
        subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=own | env) as process,
    ):

        def so(what: Callable[[], Any]) -> Any:
            assert process.poll() is None, "the program has ended"
            return what()

        try:
            yield lambda what: until(lambda: so(what), PATIENCE)
            so(bool)
        except AssertionError as error:
            error.add_note(log.read_text()[-4000:])
            raise
        finally:
            process.kill()
