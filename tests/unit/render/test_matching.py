"""Keys of NGINX's maps, and the room that names need in its hash tables."""

from __future__ import annotations

import pytest
from tidegate.render.matching import bucket_size, map_key


@pytest.mark.parametrize(
    ("text", "key"), [("/a", r"\/a"), ("default", r"\default"), (r"\a", r"\\a"), ("~^/a$", "~^/a$")]
)
def test_a_text_is_never_a_key_word(text: str, key: str) -> None:
    assert map_key(text) == key


@pytest.mark.parametrize(
    ("length", "least", "size"),
    [(0, 64, 64), (46, 64, 64), (47, 64, 128), (10, 100, 128), (110, 64, 128), (111, 64, 192)],
)
def test_a_bucket_has_room_for_the_longest_name(length: int, least: int, size: int) -> None:
    assert bucket_size(["x" * length, "y"], least) == size
