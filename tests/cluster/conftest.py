"""Fixtures of the cluster tier: one real API server for all tests of a worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parents[1] / name) for name in ("dataplane", "conformance", "hostile", "bench")]
sys.path.append(str(Path(__file__).parents[2] / "scripts"))

import apiserver
from apiserver import ApiServer
from network import Network


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without the programs of a cluster nothing here can run: said once, loudly; in CI it is a failure."""
    missing = apiserver.missing()
    if not missing and os.geteuid() == 0:
        return
    why = f"{', '.join(missing)} not found: run scripts/kube-programs.sh" if missing else "needs root"
    if os.environ.get("CI"):
        return  # each test fails for want of it
    print(f"\n!!! The cluster tier is not run: {why}\n", file=sys.stderr)
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def cluster() -> Iterator[ApiServer]:
    server = ApiServer()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    one = Network()
    try:
        yield one
    finally:
        one.close()
