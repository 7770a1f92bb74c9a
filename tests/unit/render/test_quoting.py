"""The one way into nginx.conf: an argument stays one argument, with exactly its text."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nginx_text import crossplane_tokens, nginx_tokens
from tidegate.render.quoting import UnsafeValue, lua_text, on_off, quote, quote_variables

HOSTILE = (
    "",
    '"',
    "'",
    "\\",
    '\\"',
    '\\\\"',
    "a b",
    "#",
    "x;",
    "; return 200;",
    "}",
    "{",
    '"; } server { listen 1; #',
    "a\\nb",
    "\\t",
    "~^(a|b)\\.c$"[:-1],
    "]=====]",
    "é ü \u2028 \x85 \xa0",
    "*",
    "(",
    ")",
    "`id`",
    "%00",
)
SAFE = st.text(st.characters(exclude_characters="$", exclude_categories=("Cs", "Cc")))
VALUES = (
    SAFE
    | st.sampled_from(HOSTILE)
    | st.lists(st.sampled_from(("\\", '"', "'", ";", "{", "}", " ", "#", "a"))).map("".join)
)


@settings(max_examples=500, deadline=None)
@given(VALUES)
def test_a_quoted_value_is_one_argument_with_that_text(value: str) -> None:
    text = f"name {quote(value)} {quote(value)};\n"
    assert nginx_tokens(text) == ["name", value, value, ";"]
    assert crossplane_tokens(text) == ["name", value, value, ";"]


@settings(max_examples=300, deadline=None)
@given(VALUES, st.sampled_from(("$uri", "${arg_x}", "$A1", "$host$uri", "")))
def test_variables_pass_where_they_are_allowed(value: str, variable: str) -> None:
    text = f"name {quote_variables(value + variable + ' ' + value)};\n"
    assert nginx_tokens(text) == ["name", f"{value}{variable} {value}", ";"]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_quoted_value_never_ends_its_argument(value: str) -> None:
    assert nginx_tokens(f"name {quote(value)};") == ["name", value, ";"]


@settings(max_examples=200, deadline=None)
@example("\n")
@example("\x00")
@example("\x7f")
@given(st.characters(categories=("Cc",), max_codepoint=0x7F))
def test_control_characters_are_refused(control: str) -> None:
    for filter_ in (quote, quote_variables, lua_text):
        with pytest.raises(UnsafeValue):
            filter_(f"a{control}b")


@pytest.mark.parametrize("value", ["$", "a$", "$uri", "${uri}", "$$", "a$-"])
def test_a_dollar_is_refused_where_no_variable_is_expected(value: str) -> None:
    with pytest.raises(UnsafeValue):
        quote(value)


@pytest.mark.parametrize("value", ["$", "a$", "$$uri", "$-", "${", "${}", "${a", "${a-b}", "$é", "$ uri"])
def test_a_dollar_that_begins_no_variable_is_refused(value: str) -> None:
    with pytest.raises(UnsafeValue):
        quote_variables(value)


@pytest.mark.parametrize("value", ["]=====]", "x]=====]y", "a]====="])
def test_text_cannot_leave_its_lua_bracket(value: str) -> None:
    with pytest.raises(UnsafeValue):
        lua_text(value)


def test_switches_are_on_or_off() -> None:
    assert (on_off(True), on_off(False)) == ("on", "off")
