"""The e2e tier: a kind cluster with the chart in it. Without the cluster of `make e2e` nothing here is collected."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parents[1] / name) for name in ("dataplane", "bench")]

collect_ignore_glob = [] if "E2E_NODE" in os.environ else ["test_*"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A test that failed shows what the pods said."""
    report = yield
    if report.when == "call" and report.failed:
        from cluster import said

        report.sections.append(("What the pods said", said()))
    return report
