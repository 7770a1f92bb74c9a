"""Lists of texts and patterns, as NGINX's map reads them."""

from __future__ import annotations

import pytest
from tidegate.settings.blocking import BlockList
from tidegate.settings.types import InvalidValue


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ("one, two ,,\n three", ("one", "two", "three")),
        ("a, a", ("a",)),
        ("~*chrome\\/68\\.0,AlphaBot", ("~*chrome\\/68\\.0", "AlphaBot")),
        ("\"~*two words\", 'x y'", ("~*two words", "x y")),
        ('~a\\\\.b, \\"q', ("~a\\.b", '"q')),
        ("\\~text", ("\\~text",)),
    ],
)
def test_elements_come_out_as_nginx_would_read_them(text: str, found: tuple[str, ...]) -> None:
    assert BlockList().parse(text) == found


@pytest.mark.parametrize("text", ["~", "~*", "~(", "~*[a", "ok,~*)", "a\x00b", '""'])
def test_what_is_no_text_and_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        BlockList().parse(text)
