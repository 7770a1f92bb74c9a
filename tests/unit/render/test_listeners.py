"""Which addresses NGINX listens on."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from rendering import wanted
from tidegate.model import Globals
from tidegate.render.listeners import is_wildcard, listen_addresses

ALL = ("0.0.0.0:80", "[::]:80")


@pytest.fixture(scope="module")
def settings() -> Globals:
    return wanted().settings


@pytest.mark.parametrize(
    ("fourth", "sixth", "ipv6", "found"),
    [
        ((), (), True, ALL),
        ((), (), False, ("0.0.0.0:80",)),
        (("10.0.0.1",), (), True, ("10.0.0.1:80", "[::]:80")),
        (("10.0.0.1",), (), False, ("10.0.0.1:80",)),
        ((), ("2001:db8::1", "2001:db8::2"), True, ("0.0.0.0:80", "[2001:db8::1]:80", "[2001:db8::2]:80")),
        ((), ("2001:db8::1",), False, ("0.0.0.0:80",)),
    ],
)
def test_addresses_to_bind_take_the_place_of_the_wildcard_of_their_family(
    settings: Globals, fourth: tuple[str, ...], sixth: tuple[str, ...], ipv6: bool, found: tuple[str, ...]
) -> None:
    asked = replace(settings, bind_ipv4=fourth, bind_ipv6=sixth, ipv6=ipv6)
    assert listen_addresses(ALL, asked) == found


def test_an_address_that_somebody_gave_stays(settings: Globals) -> None:
    asked = replace(settings, bind_ipv4=("10.0.0.1",), ipv6=False)
    assert listen_addresses(("127.0.0.1:80", "[::1]:80"), asked) == ("127.0.0.1:80", "[::1]:80")


def test_there_is_always_a_listener(settings: Globals) -> None:
    assert listen_addresses(("[::]:80",), replace(settings, ipv6=False)) == ("[::]:80",)


@pytest.mark.parametrize(("address", "wildcard"), [("0.0.0.0:80", True), ("[::]:80", True), ("[::1]:80", False)])
def test_wildcards(address: str, wildcard: bool) -> None:
    assert is_wildcard(address) is wildcard
