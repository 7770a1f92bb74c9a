"""The grammars that most settings share: switches, numbers, lists, sizes and times, against what they stand for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tidegate.settings.lists import CidrList, CommaList
from tidegate.settings.nginx_types import Duration, GoDuration
from tidegate.settings.types import GoBool, InvalidValue, LiteralInt, Size, WeakBool

SPELLINGS = {True: ["1", "t", "T", "TRUE", "true", "True"], False: ["0", "f", "F", "FALSE", "false", "False"]}
WORDS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"], exclude_characters=", "), min_size=1)
BLANKS = st.text(" ", max_size=2)


def parses(kind: object, text: str) -> bool:
    try:
        kind.parse(text)  # type: ignore[attr-defined]
    except InvalidValue:
        return False
    return True


@given(st.text(max_size=6) | st.sampled_from(["yes", "on", "tRUE", " true", "true ", "TrUe", "00", "+1"]))
def test_a_switch_has_twelve_spellings_and_in_the_configmap_nothing_is_false(text: str) -> None:
    known = {spelling: value for value, found in SPELLINGS.items() for spelling in found}
    assert parses(GoBool(), text) is (text in known)
    assert parses(WeakBool(), text) is (text in known or not text)
    assert WeakBool().parse("") is False
    for spelling, value in known.items():
        assert GoBool().parse(spelling) is WeakBool().parse(spelling) is value


@given(st.integers(-(2**62), 2**62))
def test_a_number_of_the_configmap_may_be_written_in_every_base(number: int) -> None:
    sign, digits = ("-" if number < 0 else ""), abs(number)
    for text in (f"{number}", f"{sign}{digits:#x}", f"{sign}{digits:#o}", f"{sign}{digits:#b}", f"{sign}0{digits:o}"):
        assert LiteralInt().parse(text) == number
    assert LiteralInt().parse("") == 0


@given(st.integers(0, 2**20), st.sampled_from(["", "k", "m", "g"]), st.booleans())
def test_a_size_is_a_number_and_a_factor(number: int, unit: str, upper: bool) -> None:
    text = f"{number}{unit.upper() if upper else unit}"
    factor = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}[unit]
    if number * factor <= 2**40:
        assert Size(giga=True).parse(text) == number * factor
    assert parses(Size(), text) is (unit != "g" and number * factor <= 2**40)
    assert not parses(Size(), f"{text}b")


@given(st.lists(WORDS, max_size=5), BLANKS, BLANKS)
def test_elements_of_a_list_are_trimmed_and_empty_ones_vanish(words: list[str], before: str, after: str) -> None:
    text = ",".join(f"{before}{word}{after}" for word in words)
    for written in (text, f",{text},,", f"{before},{after}{text}"):
        assert CommaList(lenient=True).parse(written) == tuple(dict.fromkeys(words))


@given(st.lists(st.ip_addresses(), max_size=4))
def test_an_address_is_a_network_of_one(addresses: list[object]) -> None:
    found = CidrList(lenient=True).parse(" , ".join(map(str, addresses)))
    assert [network.partition("/")[0] for network in found] == list(dict.fromkeys(map(str, addresses)))
    assert {network.partition("/")[2] for network in found} <= {"32", "128"}


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 999))
def test_a_time_is_the_sum_of_its_parts(hours: int, minutes: int, rest: int) -> None:
    total = (hours * 3600 + minutes * 60) * 1000 + rest
    assert Duration().parse(f"{hours}h{minutes}m{rest}ms") == total
    assert Duration().parse(f"{hours}h {minutes}m {rest}ms") == total
    assert GoDuration().parse(f"{hours}h{minutes}m{rest}ms") == total
    assert Duration().parse(str(rest)) == rest * 1000
    assert not parses(GoDuration(), str(rest))
    assert not parses(Duration(), f"{minutes}m{hours}h")
