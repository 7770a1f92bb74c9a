"""docs/differences.md has each difference that the registry records."""

from __future__ import annotations

import re
from pathlib import Path

from tidegate.settings.registry import ANNOTATIONS, CONFIGMAP_KEYS

PAGE = Path(__file__).parents[3] / "docs" / "differences.md"


def test_each_difference_that_the_registry_records_is_in_the_list() -> None:
    table = "".join(line for line in PAGE.read_text().splitlines() if line.startswith("|"))
    named = set(re.findall(r"`([a-z0-9-]+)(?:: [^`]*)?`", table))
    different = {one.name for known in (ANNOTATIONS, CONFIGMAP_KEYS) for one in known.values() if one.note}
    assert sorted(different - named) == []
