"""Snippets as trees of directives: what is read, what is refused, and that what is written says the same to NGINX."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tidegate.model import Directive
from tidegate.render.snippets import lines
from tidegate.settings.directives import Directives
from tidegate.settings.types import InvalidValue

sys.path.insert(0, str(Path(__file__).parents[1] / "render"))
from nginx_text import nginx_depth, nginx_tokens


def read(text: str) -> tuple[Directive, ...]:
    return Directives().parse(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ()),
        ("# _by_lua is only a word\n", ()),
        ("return 410;", (Directive("return", ("410",)),)),
        (r'return 200 "a\"b\\n";', (Directive("return", ("200", 'a"b\\n')),)),
        (r"rewrite ^/(\d+)\.x$ '/y z' break;", (Directive("rewrite", (r"^/(\d+)\.x$", "/y z", "break")),)),
        (
            'if ($a = "x{2}") { set $b 1; }',
            (Directive("if", ("($a", "=", "x{2}", ")"), (Directive("set", ("$b", "1")),)),),
        ),
        ("add_header X ${a}b;", (Directive("add_header", ("X", "${a}b")),)),
        ("a; # }\nb;", (Directive("a"), Directive("b"))),
    ],
)
def test_a_snippet_becomes_the_words_that_nginx_reads(text: str, wanted: tuple[Directive, ...]) -> None:
    assert read(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "}",
        "return 200; } server {",
        "a { b;",
        "a {",
        "a b",
        'a "b;',
        'a; "b',
        "a; 'deny all;",
        "a \\",
        ";",
        "{}",
        "a }",
        "access_by_lua_block { x }",
        "content_by_lua 'x';",
        "Rewrite_By_Lua_File /x;",
        "if ($a) { set_by_lua_block $x { return 1 } }",
        "set $tidegate_users /x;",
        'return 200 "${tidegate_realm}";',
        "location @policy_0123 { }",
        "error_page 404 @tidegate_default;",
        "a {" * 40 + "}" * 40,
        "a\x00b;",
    ],
)
def test_what_is_not_closed_or_not_allowed_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        read(text)


def words_of(tree: tuple[Directive, ...]) -> Iterator[str]:
    for item in tree:
        yield from (item.name, *item.args)
        if item.block is None:
            yield ";"
        else:
            yield "{"
            yield from words_of(item.block)
            yield "}"


TEXT = st.text(st.sampled_from("ab$\\\"'{};# \n\t()é~^*"), max_size=40)
WORDS = st.text(st.characters(blacklist_categories=("Cc", "Cs")), max_size=20) | TEXT
TREES = st.recursive(
    st.builds(Directive, WORDS, st.lists(WORDS, max_size=3).map(tuple)),
    lambda inner: st.builds(
        Directive, WORDS, st.lists(WORDS, max_size=3).map(tuple), st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(TREES, max_size=3).map(tuple))
def test_whatever_a_tree_holds_nginx_reads_its_words_back_and_every_block_is_closed(
    tree: tuple[Directive, ...],
) -> None:
    text = lines(tree, 2)
    assert nginx_tokens(text) == list(words_of(tree))
    assert nginx_depth(text) == 0
    assert text.count("\n") == number_of_lines(tree)


def number_of_lines(tree: tuple[Directive, ...]) -> int:
    return sum(1 if item.block is None else 2 + number_of_lines(item.block) for item in tree)


@settings(deadline=None)
@given(TEXT)
def test_whatever_text_is_taken_can_be_written_and_read_again(text: str) -> None:
    try:
        tree = read(text)
    except InvalidValue:
        return
    written = lines(tree, 0)
    assert nginx_depth(written) == 0
    assert read(written) == tree
