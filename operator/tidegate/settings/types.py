"""Value types: the grammar of a setting's text, and nothing else.

Each type parses text into a closed Python value or raises `InvalidValue`, whose message names what was found and what
is allowed. Grammars follow the retired controller (reference: annotations 0.2); patterns are always full matches.

This module has the protocol and the scalar types; `texts`, `lists` and `nginx_types` have the others. No type lets a
control character through, and none yields text that it has not matched as a whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, TypeVar

from tidegate.findings import brief

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _Nothing(Enum):
    NOTHING = "nothing"


NOTHING: Final = _Nothing.NOTHING
"""Marks an `InvalidValue` of which no part can be used."""


class InvalidValue(ValueError):
    """Text that a value type does not accept.

    `misfit` marks text made of the right characters that means nothing here (a number out of range, a URL without a
    host): some settings treat that more mildly than a foreign character. `usable` is the value made of the good
    elements of a list, for the few lists from which bad elements are merely left out; `NOTHING` otherwise.
    """

    def __init__(self, found: str, allowed: str, *, misfit: bool = False, usable: object = NOTHING) -> None:
        super().__init__(found, allowed)
        self.found = found
        self.allowed = allowed
        self.misfit = misfit
        self.usable = usable

    def __str__(self) -> str:
        return f"found {brief(self.found)}, allowed: {self.allowed}"


class ValueType(Protocol[T_co]):
    """Parses the text of one setting."""

    @property
    def allowed(self) -> str:
        """The grammar in words, for messages and the reference page."""
        ...

    def parse(self, text: str) -> T_co:
        """Raise InvalidValue for text outside the grammar."""
        ...


def parse_as(inner: ValueType[T], text: str, allowed: str) -> T:
    """What another type makes of text; what is wrong with it is said in the words of the type that asks."""
    try:
        return inner.parse(text)
    except InvalidValue as problem:
        more = problem.allowed.removeprefix(inner.allowed)
        raise InvalidValue(problem.found, f"{allowed}{more}", misfit=problem.misfit, usable=problem.usable) from None


INT64_MAX: Final = 2**63 - 1
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,40}")
_DIGITS: Final = re.compile(r"[0-9]{1,40}")
_SIZE: Final = re.compile(r"([0-9]{1,40})([bkmgBKMG]?)")
# Python reads the same prefixes as Go, but refuses Go's bare leading zero for octal.
_GO_LITERAL: Final = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]{1,40}|0[oO]?[0-7]{1,40}|0[bB][01]{1,64}|[1-9][0-9]{0,40}|0)")
_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,3})?")


def has_control(text: str) -> bool:
    """Whether text has a C0 or C1 control character, a Unicode line separator or a lone surrogate."""
    return _CONTROL.search(text) is not None


def reject_control(text: str, allowed: str) -> None:
    """Raise InvalidValue if text has a control character."""
    if has_control(text):
        raise InvalidValue(text, f"{allowed}, no control characters")


@dataclass(frozen=True)
class GoBool:
    """A boolean in the spellings of Go's ParseBool; blanks around it make it invalid."""

    @property
    def allowed(self) -> str:
        return "true or false (also 1 t T TRUE True 0 f F FALSE False)"

    def parse(self, text: str) -> bool:
        if text in TRUE:
            return True
        if text in FALSE:
            return False
        raise InvalidValue(text, self.allowed)


@dataclass(frozen=True)
class WeakBool:
    """A boolean of the ConfigMap: as `GoBool`, and empty text is false."""

    @property
    def allowed(self) -> str:
        return f"{GoBool().allowed}; empty means false"

    def parse(self, text: str) -> bool:
        return parse_as(GoBool(), text, self.allowed) if text else False


@dataclass(frozen=True)
class OnOff:
    """NGINX's switch: `on` or `off`, lower case."""

    @property
    def allowed(self) -> str:
        return "on or off"

    def parse(self, text: str) -> bool:
        if text in ("on", "off"):
            return text == "on"
        raise InvalidValue(text, self.allowed)


def _in_range(number: int, minimum: int, maximum: int) -> bool:
    return minimum <= number <= maximum


def _range_words(minimum: int, maximum: int) -> str:
    if minimum == -INT64_MAX and maximum == INT64_MAX:
        return ""
    if minimum == -INT64_MAX:
        return f" up to {maximum}"
    if maximum == INT64_MAX:
        return f" from {minimum} on"
    return f" from {minimum} to {maximum}"


@dataclass(frozen=True)
class Int:
    """A decimal whole number, `+1` included; a number out of range is a misfit.

    `zero_means` is the number that 0 stands for where the retired controller replaces it.
    """

    minimum: int = -INT64_MAX
    maximum: int = INT64_MAX
    unit: str = ""
    zero_means: int | None = None

    @property
    def allowed(self) -> str:
        unit = f" ({self.unit})" if self.unit else ""
        zero = f", 0 means {self.zero_means}" if self.zero_means is not None else ""
        return f"a decimal whole number{_range_words(self.minimum, self.maximum)}{unit}{zero}"

    def parse(self, text: str) -> int:
        if _DECIMAL.fullmatch(text) is None:
            raise InvalidValue(text, self.allowed)
        number = int(text)
        if number == 0 and self.zero_means is not None:
            return self.zero_means
        if not _in_range(number, self.minimum, self.maximum):
            raise InvalidValue(text, self.allowed, misfit=True)
        return number


@dataclass(frozen=True)
class LiteralInt:
    """A whole number of the ConfigMap: a Go literal (`42`, `0x2a`, `052`, `0b1`); empty text is 0."""

    minimum: int = -INT64_MAX
    maximum: int = INT64_MAX
    unit: str = ""

    @property
    def allowed(self) -> str:
        unit = f" ({self.unit})" if self.unit else ""
        return f"a whole number{_range_words(self.minimum, self.maximum)}{unit}, decimal or with 0x, 0o, 0b"

    def parse(self, text: str) -> int:
        number = _go_literal(text) if text else 0
        if number is None or not _in_range(number, self.minimum, self.maximum):
            raise InvalidValue(text, self.allowed, misfit=number is not None)
        return number


def _go_literal(text: str) -> int | None:
    if _GO_LITERAL.fullmatch(text) is None:
        return None
    digits = text.lstrip("+-")
    bare_octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
    number = int(digits, 8 if bare_octal else 0)
    return -number if text[0] == "-" else number


@dataclass(frozen=True)
class Digits:
    """A whole number written with digits alone; the unit is said by the setting."""

    minimum: int = 0
    maximum: int = INT64_MAX
    unit: str = ""

    @property
    def allowed(self) -> str:
        unit = f" ({self.unit})" if self.unit else ""
        return f"digits only, a number{_range_words(self.minimum, self.maximum)}{unit}"

    def parse(self, text: str) -> int:
        if _DIGITS.fullmatch(text) is None:
            raise InvalidValue(text, self.allowed)
        number = int(text)
        if not _in_range(number, self.minimum, self.maximum):
            raise InvalidValue(text, self.allowed, misfit=True)
        return number


@dataclass(frozen=True)
class CookieAge:
    """Seconds, negative ones included, without a plus sign."""

    @property
    def allowed(self) -> str:
        return f"a decimal whole number of seconds from {-(2**31)} to {2**31 - 1}"

    def parse(self, text: str) -> int | None:
        if text.startswith("+"):
            raise InvalidValue(text, self.allowed)
        return parse_as(Int(-(2**31), 2**31 - 1), text, self.allowed)


@dataclass(frozen=True)
class Float:
    """A decimal fraction from 0 to 1; empty text is 0."""

    @property
    def allowed(self) -> str:
        return "a decimal fraction from 0 to 1"

    def parse(self, text: str) -> float:
        if not text:
            return 0.0
        if _FLOAT.fullmatch(text) is None:
            raise InvalidValue(text, self.allowed)
        number = float(text)
        if not 0.0 <= number <= 1.0:
            raise InvalidValue(text, self.allowed, misfit=True)
        return number


_FACTORS: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


@dataclass(frozen=True)
class Size:
    """Bytes, with a unit `k`, `m` or `g` in any case.

    The retired controller's pattern also lets `b` pass, and `g` everywhere; NGINX knows no `b`, and `g` only for body
    sizes (`giga`). Such a size is a misfit here, so that it never reaches NGINX.
    """

    minimum: int = 0
    maximum: int = 2**40
    giga: bool = False

    @property
    def allowed(self) -> str:
        units = "k, m or g" if self.giga else "k or m"
        least = f", at least {self.minimum} bytes" if self.minimum else ""
        return f"a number of bytes with an optional unit {units}{least}"

    def parse(self, text: str) -> int:
        found = _SIZE.fullmatch(text)
        if found is None:
            raise InvalidValue(text, self.allowed)
        unit = found[2].lower()
        if unit == "b" or (unit == "g" and not self.giga):
            raise InvalidValue(text, self.allowed, misfit=True)
        size = int(found[1]) * _FACTORS[unit]
        if not _in_range(size, self.minimum, self.maximum):
            raise InvalidValue(text, self.allowed, misfit=True)
        return size


@dataclass(frozen=True)
class OptionalSize:
    """As `Size`, for a setting that may be unset: empty text is None."""

    size: Size = Size(minimum=1)

    @property
    def allowed(self) -> str:
        return f"{self.size.allowed}, or nothing"

    def parse(self, text: str) -> int | None:
        return parse_as(self.size, text, self.allowed) if text else None


@dataclass(frozen=True)
class Choice:
    """One of some words. With `any_case` the canonical spelling is what it yields."""

    words: tuple[str, ...]
    any_case: bool = False

    @property
    def allowed(self) -> str:
        case = " (any case)" if self.any_case else ""
        return f"one of {' '.join(word or '(empty)' for word in self.words)}{case}"

    def parse(self, text: str) -> str:
        for word in self.words:
            # casefold would let `ſ` pass for `s`, so other letters than ASCII ones are shut out first.
            if text == word or (self.any_case and text.isascii() and text.lower() == word.lower()):
                return word
        raise InvalidValue(text, self.allowed)


@dataclass(frozen=True)
class NumberChoice:
    """One of some whole numbers, as a ConfigMap literal."""

    numbers: tuple[int, ...]

    @property
    def allowed(self) -> str:
        return f"one of {' '.join(map(str, self.numbers))}"

    def parse(self, text: str) -> int:
        number = _go_literal(text)
        if number is None or number not in self.numbers:
            raise InvalidValue(text, self.allowed, misfit=number is not None)
        return number


E_T = TypeVar("E_T", bound=Enum)


@dataclass(frozen=True)
class Member(ValueType[E_T]):
    """A member of an enumeration of texts, in any case."""

    members: tuple[E_T, ...]

    @property
    def allowed(self) -> str:
        return f"one of {' '.join(str(member.value) for member in self.members)} (any case)"

    def parse(self, text: str) -> E_T:
        for member in self.members:
            if text.isascii() and text.lower() == str(member.value).lower():
                return member
        raise InvalidValue(text, self.allowed)


@dataclass(frozen=True)
class Ignored:
    """Any text at all: the setting has no effect, so nothing of it is kept."""

    @property
    def allowed(self) -> str:
        return "anything"

    def parse(self, text: str) -> None:
        return None
