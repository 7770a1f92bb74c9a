"""The grammar of the access log's parameters and of the URIs that it leaves out."""

from __future__ import annotations

import pytest
from tidegate.settings.log_types import AccessLogParameters, Matchers
from tidegate.settings.nginx_types import OptionalHost
from tidegate.settings.types import NOTHING, InvalidValue


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ()),
        ("buffer=16k flush=1m gzip", ("buffer=16k", "flush=1m", "gzip")),
        ("  gzip=9   buffer=1m", ("buffer=1m", "gzip=9")),
        ("gzip flush=500ms", ("flush=500ms", "gzip")),
    ],
)
def test_parameters_of_the_access_log(text: str, value: tuple[str, ...]) -> None:
    assert AccessLogParameters().parse(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "flush=1m",
        "buffer=0",
        "buffer=1g",
        "gzip=0",
        "gzip=10",
        "if=$x",
        "combined",
        "buffer=1k buffer=2k",
        "buffer=1k;",
        "a\n",
    ],
)
def test_no_other_parameter_gets_into_the_access_log(text: str) -> None:
    with pytest.raises(InvalidValue):
        AccessLogParameters().parse(text)


def test_bad_patterns_are_left_out_of_a_list() -> None:
    with pytest.raises(InvalidValue) as problem:
        Matchers("URIs").parse("/a, ~(, ~*b$, ~, ~(?<uri>x), ~(?P<uri>x), ~(?'uri'x), ~(?<=x)y")
    assert problem.value.usable == ("/a", "~*b$", "~(?<=x)y")
    assert problem.value.found == "~("


def test_a_list_of_nothing_but_bad_patterns_cannot_be_used() -> None:
    with pytest.raises(InvalidValue) as problem:
        Matchers("URIs").parse("~(")
    assert problem.value.usable is NOTHING


@pytest.mark.parametrize("text", ["", "logs", "logs.example.com", "10.0.0.1", "2001:db8::1"])
def test_hosts(text: str) -> None:
    assert OptionalHost().parse(text) == text


@pytest.mark.parametrize("text", ["a b", "a;b", "-a", "a..b", "a:514", "fe80::1%eth0", "[::1]", "a/b", "x" * 64])
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(InvalidValue):
        OptionalHost().parse(text)
