"""Value types of lists. Lists come out as tuples in a canonical form, so that equal settings are equal values.

Lists of the ConfigMap, of addresses and of server names (`lenient`) may be broken over lines, as people write long
ones: a line end or tab beside a comma is a blank like any other. It is never part of an element.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

from tidegate.settings.texts import CharClass
from tidegate.settings.types import NOTHING, InvalidValue, has_control, reject_control

_BLANKS: Final = " \t\r\n"


def _elements(text: str, blanks: str) -> list[str]:
    return [element.strip(blanks) for element in text.split(",")]


_ADDRESS: Final = re.compile(r"[0-9A-Fa-f.:]{2,45}(?:/[0-9]{1,3})?")


def _network(text: str) -> str | None:
    """The canonical form of an address or network (`10.0.0.1/32`, `2001:db8::/32`), or None."""
    # ipaddress also takes scope ids and netmasks, which NGINX does not.
    if _ADDRESS.fullmatch(text) is None:
        return None
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        return None


@dataclass(frozen=True)
class CidrList:
    """Comma separated IPv4 and IPv6 addresses and networks, as canonical networks in the order written.

    A bare address is a network of one; host bits are cleared. `lenient`: empty elements vanish and an empty list is
    one. `skip_bad`: a list with bad elements can be used without them.
    """

    lenient: bool = False
    skip_bad: bool = False

    @property
    def allowed(self) -> str:
        return "a comma separated list of IP addresses and networks"

    def parse(self, text: str) -> tuple[str, ...]:
        elements = _elements(text, _BLANKS)
        if self.lenient:
            elements = [element for element in elements if element]
        networks = [_network(element) for element in elements]
        good = tuple(dict.fromkeys(network for network in networks if network is not None))
        if None in networks:
            bad = elements[networks.index(None)]
            raise InvalidValue(bad, self.allowed, usable=good if self.skip_bad else NOTHING)
        return good


@dataclass(frozen=True)
class AddressList:
    """Comma separated IP addresses, no networks; bad and empty elements are left out."""

    @property
    def allowed(self) -> str:
        return "a comma separated list of IP addresses"

    def parse(self, text: str) -> tuple[str, ...]:
        elements = [element for element in _elements(text, _BLANKS) if element]
        good = tuple(
            dict.fromkeys(address for element in elements if (address := canonical_address(element)) is not None)
        )
        for element in elements:
            if canonical_address(element) is None:
                raise InvalidValue(element, self.allowed, usable=good)
        return good


def canonical_address(text: str) -> str | None:
    """The canonical form of an IP address without a zone, or None."""
    if _ADDRESS.fullmatch(text) is None:
        return None
    try:
        return str(ip_address(text))
    except ValueError:
        return None


@dataclass(frozen=True)
class CodeList:
    """Comma separated HTTP status codes, ascending and without duplicates.

    `lenient`: the list may be empty, and one with bad elements can be used without them.
    """

    minimum: int = 400
    maximum: int = 599
    lenient: bool = False

    @property
    def allowed(self) -> str:
        return f"a comma separated list of status codes from {self.minimum} to {self.maximum}, but not 499"

    def parse(self, text: str) -> tuple[int, ...]:
        elements = [element for element in _elements(text, _BLANKS if self.lenient else " ") if element]
        good = tuple(sorted({int(element) for element in elements if self._is_code(element)}))
        for element in elements:
            if not self._is_code(element):
                raise InvalidValue(element, self.allowed, usable=good if self.lenient else NOTHING)
        if not good and not self.lenient:
            raise InvalidValue(text, self.allowed)
        return good

    def _is_code(self, text: str) -> bool:
        # NGINX refuses 499, with which it notes that the client has gone: nobody would see another page.
        known = re.fullmatch("[0-9]{3}", text) is not None and text != "499"
        return known and self.minimum <= int(text) <= self.maximum


@dataclass(frozen=True)
class CommaList:
    """Comma separated elements, trimmed, empty ones left out. `chars` is the class of an element; None: any text.

    `skip_bad`: a list with bad elements can be used without them. `ordered`: False if their order means nothing.
    """

    chars: CharClass | None = None
    what: str = "elements"
    lenient: bool = False
    skip_bad: bool = False
    ordered: bool = True
    longest: int = 0  # characters of an element; 0: any number

    @property
    def allowed(self) -> str:
        of = f" of {self.chars.words}" if self.chars is not None else " without control characters"
        most = f", at most {self.longest} characters each" if self.longest else ""
        return f"a comma separated list of {self.what}{of}{most}"

    def parse(self, text: str) -> tuple[str, ...]:
        blanks = _BLANKS if self.lenient else " "
        elements = dict.fromkeys(element for element in _elements(text, blanks) if element)
        good = tuple(element for element in elements if self._is_good(element))
        if len(good) != len(elements):
            bad = next(element for element in elements if not self._is_good(element))
            raise InvalidValue(bad, self.allowed, usable=good if self.skip_bad else NOTHING)
        return good if self.ordered else tuple(sorted(good))

    def _is_good(self, element: str) -> bool:
        if self.longest and len(element) > self.longest:
            return False
        return not has_control(element) if self.chars is None else self.chars.matches(element)


@dataclass(frozen=True)
class WordList:
    """Blank separated words out of some, in the order written, without duplicates.

    `off`, where it is one of the words, stands for itself alone; `sorted_` yields them in the order of `words`.
    """

    words: tuple[str, ...]
    sorted_: bool = False

    @property
    def allowed(self) -> str:
        return f"words separated by spaces: {' '.join(self.words)}"

    def parse(self, text: str) -> tuple[str, ...]:
        reject_control(text, self.allowed)
        found = tuple(dict.fromkeys(word for word in text.split(" ") if word))
        for word in found:
            if word not in self.words:
                raise InvalidValue(word, self.allowed)
        if not found:
            raise InvalidValue(text, self.allowed)
        if "off" in found:
            return ("off",)
        return tuple(word for word in self.words if word in found) if self.sorted_ else found


CONDITIONS: Final = (
    "error",
    "timeout",
    "invalid_header",
    "http_500",
    "http_502",
    "http_503",
    "http_504",
    "http_403",
    "http_404",
    "http_429",
    "non_idempotent",
    "off",
)


@dataclass(frozen=True)
class NextUpstream:
    """Conditions of `proxy_next_upstream`, `non_idempotent` last, `off` alone."""

    @property
    def allowed(self) -> str:
        return WordList(CONDITIONS).allowed

    def parse(self, text: str) -> tuple[str, ...]:
        found = WordList(CONDITIONS).parse(text)
        others = tuple(condition for condition in found if condition != "non_idempotent")
        return (*others, "non_idempotent") if len(others) != len(found) else others


@dataclass(frozen=True)
class BlankList:
    """Blank separated elements of one character class, in the order written."""

    pattern: str
    what: str

    @property
    def allowed(self) -> str:
        return f"{self.what}, separated by spaces"

    def parse(self, text: str) -> tuple[str, ...]:
        reject_control(text, self.allowed)
        elements = tuple(dict.fromkeys(element for element in text.split(" ") if element))
        for element in elements:
            if re.fullmatch(self.pattern, element) is None:
                raise InvalidValue(element, self.allowed)
        return elements


_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:\*\.)?[A-Za-z0-9._-]+(?::[0-9]{1,5})?|null")
_ORIGIN_CHARS: Final = re.compile(r"[A-Za-z0-9+._\-:/*\[\], ]*")


@dataclass(frozen=True)
class Origins:
    """Comma separated web origins; `*` anywhere means all. Elements that are no origin are left out."""

    @property
    def allowed(self) -> str:
        return "a comma separated list of scheme://host[:port], scheme://*.host[:port], null or *"

    def parse(self, text: str) -> tuple[str, ...]:
        if _ORIGIN_CHARS.fullmatch(text) is None:
            raise InvalidValue(text, self.allowed)
        elements = [element.strip(" ") for element in text.split(",") if element.strip(" ")]
        if "*" in elements or not text.strip(" "):
            return ("*",)
        return tuple(dict.fromkeys(element for element in elements if _ORIGIN.fullmatch(element)))


_CACHE_ITEM: Final = re.compile(r"(?:(?:[1-5][0-9]{2} +)*|any +)[0-9]{1,9}(?:ms|[smhdwMy])?")


@dataclass(frozen=True)
class CacheDurations:
    """Comma separated items `[code ...] time`, each as one text with single spaces."""

    @property
    def allowed(self) -> str:
        return "a comma separated list of [status code ...] time, such as 200 202 10m, 401 1m"

    def parse(self, text: str) -> tuple[str, ...]:
        if has_control(text) or not CharClass.EXT.matches(text):
            raise InvalidValue(text, self.allowed)
        items = [" ".join(item.split()) for item in text.split(",") if item.strip(" ")]
        for item in items or [text]:
            if _CACHE_ITEM.fullmatch(item) is None:
                raise InvalidValue(item, self.allowed, misfit=True)
        return tuple(items)
