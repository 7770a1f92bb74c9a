"""docs/settings.md is what `tidegate annotations` prints."""

from __future__ import annotations

import os
from pathlib import Path

from tidegate.settings.reference import rows, to_markdown

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"
HEAD = "# Annotations and ConfigMap keys\n\nMade from the registry: `tidegate annotations` prints the same.\n\n"


def test_the_reference_page_says_what_the_registry_says() -> None:
    wanted = HEAD + to_markdown(rows())
    if os.environ.get("TIDEGATE_GOLDEN") == "write":
        PAGE.write_text(wanted)
    assert PAGE.read_text() == wanted, "TIDEGATE_GOLDEN=write makes it again"
