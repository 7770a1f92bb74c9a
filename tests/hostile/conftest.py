"""What the tests with a real `tidegate up` share; each module says in its fixture `served` what that one has."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "dataplane"))

from served import Up, Visitor


@pytest.fixture(scope="module")
def visitor(served: Up) -> Iterator[Visitor]:
    with Visitor(served).visiting() as one:
        yield one
