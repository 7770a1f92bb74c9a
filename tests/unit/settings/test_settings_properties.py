"""What holds for each setting of the registry and any text."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tidegate.settings.blocking import BlockList
from tidegate.settings.lists import AddressList, CidrList, CodeList, CommaList
from tidegate.settings.log_types import Matchers
from tidegate.settings.nginx_types import LogFormat
from tidegate.settings.registry import ANNOTATIONS, CONFIGMAP_KEYS
from tidegate.settings.texts import Snippet
from tidegate.settings.types import Ignored, InvalidValue, ValueType

TYPES: dict[str, ValueType[Any]] = {
    repr(setting.type): setting.type for setting in (*ANNOTATIONS.values(), *CONFIGMAP_KEYS.values())
}
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
SEEDS = (
    "true",
    "10",
    "0x10",
    "8k",
    "on",
    "HTTP",
    "/a/$1",
    "http://a.test/b?c=d",
    "ns/name",
    "$request_uri",
    "10.0.0.0/8, ::1",
    "404,503",
    "error timeout",
    "GET, PUT",
    "200 1m",
    "1h30m",
    "4 8k",
    "HIGH:!aNULL",
    "/var/log/a.log",
    "buffer=16k flush=1m gzip",
    "/healthz, ~^/probe, ~*[a-z]+$",
    "text/html",
    "auto",
    "basic",
    "CN=a",
    "Lax",
)
TEXTS = st.one_of(st.text(), st.sampled_from(SEEDS), st.tuples(st.sampled_from(SEEDS), st.text()).map("".join))


def flattened(value: Any) -> list[str]:
    if isinstance(value, tuple):
        return [text for element in value for text in flattened(element)]
    return [str(value)]


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
@settings(max_examples=60, deadline=None)
@example("\x00")
@example("\ud800")
@example("9" * 10_000)
@example("(" * 5_000)
@example("CN=" + "(" * 5_000)
@given(text=TEXTS)
def test_any_text_is_a_value_or_an_invalid_one(kind: ValueType[Any], text: str) -> None:
    try:
        value = kind.parse(text)
    except InvalidValue as problem:
        assert problem.allowed
        assert not CONTROL.search(str(problem))
    else:
        hash(value)


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    control=st.sampled_from([chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]),
    place=st.integers(0, 20),
)
def test_no_control_character_gets_through(kind: ValueType[Any], seed: str, control: str, place: int) -> None:
    text = seed[:place] + control + seed[place:]
    try:
        value = kind.parse(text)
    except InvalidValue:
        return
    if isinstance(kind, Ignored):
        assert value is None
    elif isinstance(kind, LogFormat):
        assert control in "\n\r"
        assert not CONTROL.search(value.replace("\n", ""))
    elif isinstance(kind, Snippet):
        assert control in "\t\n\r"
        assert not CONTROL.search(value.replace("\n", "").replace("\t", ""))
    else:
        # A line end beside the comma of such a list is a blank; it must not be part of an element.
        assert isinstance(kind, AddressList | BlockList | CidrList | CodeList | CommaList | Matchers)
        assert control in "\t\n\r"
        assert not any(CONTROL.search(element) for element in flattened(value))


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
def test_each_type_says_in_words_what_it_allows(kind: ValueType[Any]) -> None:
    assert kind.allowed.strip()
    assert not CONTROL.search(kind.allowed)
