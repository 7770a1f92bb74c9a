"""Label selectors select what kubectl would."""

from __future__ import annotations

import pytest
from tidegate.resources.labels import parse_selector

LABELS = {"team": "shop", "example.com/tier": "front", "empty": ""}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("team=shop", True),
        ("team==shop", True),
        ("team = shop , empty=", True),
        ("team=other", False),
        ("team!=other", True),
        ("absent!=x", True),
        ("team in (shop, cart)", True),
        ("team in (cart)", False),
        ("team notin (cart,shop)", False),
        ("absent notin (x)", True),
        ("example.com/tier", True),
        ("absent", False),
        ("!absent", True),
        ("!team", False),
        ("team=shop,!absent,example.com/tier in (front)", True),
        ("team=shop,!team", False),
    ],
)
def test_a_selector_selects(selector: str, matches: bool) -> None:
    assert parse_selector(selector).matches(LABELS) is matches


@pytest.mark.parametrize("selector", ["team=shop team", "in (a)", "a in b", "a=b=c", "-x", "a in (b", "a,,b"])
def test_what_is_no_selector_is_refused(selector: str) -> None:
    with pytest.raises(ValueError, match="found"):
        parse_selector(selector)
