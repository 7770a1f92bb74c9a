"""Value types of text: what characters an argument may have (reference: annotations 0.2).

The classes are those of the retired controller. Blanks around a value are trimmed after validation only, so they make
a value of a class without spaces invalid.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NamedTuple

from tidegate.settings.types import InvalidValue, has_control, parse_as, reject_control
from tidegate.settings.variables import unknown_variable

_BASIC: Final = r"A-Za-z0-9\-._~/:"


class CharClass(Enum):
    """Named character classes; each value is the inside of a bracket expression and the class in words."""

    BASIC = (_BASIC, "letters, digits and - . _ ~ / :")
    BASIC_SP = (_BASIC + " ", "letters, digits, spaces and - . _ ~ / :")
    EXT = (_BASIC + ", ", "letters, digits, spaces and - . _ ~ / : ,")
    URL = (_BASIC + ",?&=", "letters, digits and - . _ ~ / : , ? & =")
    URLVAR = (_BASIC + ",?&=$ ", "letters, digits, spaces and - . _ ~ / : , ? & = $")
    REGEX = (_BASIC + r"^$\[\](){}*+?|&=\\", "letters, digits and - . _ ~ / : ^ $ [ ] ( ) { } * + ? | & = \\")
    NGXVAR = (r"A-Za-z0-9\-_${}", "letters, digits and - _ $ { }")
    PATHCAP = (_BASIC + "$", "letters, digits and - . _ ~ / : $")
    HEADERS = (r"A-Za-z0-9\-_, ", "letters, digits, spaces and - _ ,")
    METHODS = (r"A-Za-z, ", "letters, commas and spaces")
    EXPOSED = (r"A-Za-z0-9\-_,* ", "letters, digits, spaces and - _ , *")
    FILE = (r"A-Za-z0-9.\-_", "letters, digits and . - _")
    WORD = (r"A-Za-z0-9_\-", "letters, digits and _ -")
    PRINTABLE = (" -~", "printable ASCII characters")
    CIPHERS = (r"A-Za-z0-9+:_\-!", "letters, digits and + : _ - !")

    @property
    def words(self) -> str:
        return self.value[1]

    def matches(self, text: str) -> bool:
        """Whether each character of text belongs to the class."""
        return _PATTERNS[self].fullmatch(text) is not None


_PATTERNS: Final = {chars: re.compile(f"[{chars.value[0]}]*") for chars in CharClass}


LONGEST: Final = 2000
"""Characters of a text: NGINX reads 4096 bytes of an argument, in which a backslash takes two."""


def reject_long(text: str, allowed: str) -> None:
    """Raise InvalidValue if text is longer than what NGINX would read."""
    if len(text) > LONGEST:
        raise InvalidValue(text, f"{allowed}, at most {LONGEST} characters", misfit=True)


@dataclass(frozen=True)
class Text:
    """Text of one character class. `spaces_ignored`: spaces may stand anywhere and are kept inside, not around."""

    chars: CharClass
    spaces_ignored: bool = False

    @property
    def allowed(self) -> str:
        return self.chars.words + (", spaces are ignored" if self.spaces_ignored else "")

    def parse(self, text: str) -> str:
        shown = text.replace(" ", "") if self.spaces_ignored else text
        if not self.chars.matches(shown):
            raise InvalidValue(text, self.allowed)
        reject_long(text, self.allowed)
        return text.strip(" ")


@dataclass(frozen=True)
class PlainText:
    """One line of any text without control characters, trimmed."""

    @property
    def allowed(self) -> str:
        return "one line of text without control characters"

    def parse(self, text: str) -> str:
        reject_control(text, self.allowed)
        reject_long(text, self.allowed)
        return text.strip()


_SNIPPET_BREAKS: Final = str.maketrans("", "", "\n\t")


@dataclass(frozen=True)
class Snippet:
    """Lines of NGINX configuration, each trimmed; line ends become line feeds. The one type that may hold line ends."""

    @property
    def allowed(self) -> str:
        return "lines of text, no control characters but tabs and line ends"

    def parse(self, text: str) -> str:
        lines = text.replace("\r\n", "\n")
        if has_control(lines.translate(_SNIPPET_BREAKS)):
            raise InvalidValue(text, self.allowed)
        return "\n".join(line.strip() for line in lines.split("\n")).strip("\n")


class ObjectRef(NamedTuple):
    """A reference to a Secret or ConfigMap; `namespace` is empty for `the namespace of the Ingress`."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS_LABEL: Final = re.compile(_LABEL)
_DNS_SUBDOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_DNS_1035: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Reference:
    """`name` or `namespace/name` of an object. Text of class BASIC that is no such reference is a misfit."""

    namespace_required: bool = False

    @property
    def allowed(self) -> str:
        return "namespace/name of an object" if self.namespace_required else "name or namespace/name of an object"

    def parse(self, text: str) -> ObjectRef | None:
        if not CharClass.BASIC.matches(text):
            raise InvalidValue(text, self.allowed)
        namespace, slash, name = text.rpartition("/")
        shaped = bool(slash) or not self.namespace_required
        if not shaped or (slash and _DNS_LABEL.fullmatch(namespace) is None):
            raise InvalidValue(text, self.allowed, misfit=True)
        if len(name) > 253 or _DNS_SUBDOMAIN.fullmatch(name) is None:
            raise InvalidValue(text, self.allowed, misfit=True)
        return ObjectRef(namespace, name)


@dataclass(frozen=True)
class OptionalReference:
    """As `Reference` with a namespace, for a ConfigMap key that may be empty (None)."""

    @property
    def allowed(self) -> str:
        return "namespace/name of an object, or nothing"

    def parse(self, text: str) -> ObjectRef | None:
        return parse_as(Reference(namespace_required=True), text, self.allowed) if text else None


@dataclass(frozen=True)
class ServiceName:
    """The name of a Service in the namespace of the Ingress (DNS-1035 label)."""

    @property
    def allowed(self) -> str:
        return "the name of a Service (a DNS-1035 label)"

    def parse(self, text: str) -> str:
        if _DNS_1035.fullmatch(text) is None:
            raise InvalidValue(text, self.allowed)
        return text


@dataclass(frozen=True)
class HashExpression:
    """Text with NGINX variables to hash on, such as `$request_uri` or `${a}-b`.

    An expression with a `$` or brace that opens no variable is a misfit: NGINX would refuse it. With `known` its
    variables have to be those of HTTP requests, or of `more`, and there has to be one.
    """

    known: bool = False
    more: frozenset[str] = frozenset()

    def knowing(self, variables: frozenset[str]) -> HashExpression:
        """The same with variables that NGINX knows besides."""
        return replace(self, more=variables)

    @property
    def allowed(self) -> str:
        known = ", at least one and each known to NGINX" if self.known else ""
        return f"text with NGINX variables{known}, of {CharClass.NGXVAR.words}"

    def parse(self, text: str) -> str:
        if not CharClass.NGXVAR.matches(text):
            raise InvalidValue(text, self.allowed)
        if self.known and ("$" not in text or unknown_variable(text, more=self.more)):
            raise InvalidValue(text, self.allowed, misfit=True)
        if not has_sound_variables(text):
            raise InvalidValue(text, self.allowed, misfit=True)
        reject_long(text, self.allowed)
        return text


_VARIABLE: Final = re.compile(r"\$(?:[A-Za-z0-9_]+|\{[A-Za-z0-9_]+\})")


def has_sound_variables(text: str) -> bool:
    """Whether each `$` of text begins a variable as NGINX reads it (`$name` or `${name}`)."""
    return "$" not in _VARIABLE.sub("", text)


_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True)
class Template:
    """Text of one character class with NGINX variables. What NGINX would not take as such is a misfit."""

    chars: CharClass
    more: frozenset[str] = frozenset()

    def knowing(self, variables: frozenset[str]) -> Template:
        """The same with variables that NGINX knows besides."""
        return replace(self, more=variables)

    @property
    def allowed(self) -> str:
        return f"text with variables that NGINX knows, of {self.chars.words}"

    def parse(self, text: str) -> str:
        if not self.chars.matches(text):
            raise InvalidValue(text, self.allowed)
        if not has_sound_variables(text) or unknown_variable(text, more=self.more):
            raise InvalidValue(text, self.allowed, misfit=True)
        reject_long(text, self.allowed)
        return text


@dataclass(frozen=True)
class HeaderName:
    """The name of a request header. `proxy_protocol` is refused: NGINX reads it as something else."""

    @property
    def allowed(self) -> str:
        return "the name of a header: letters, digits, - and _"

    def parse(self, text: str) -> str:
        if _TOKEN.fullmatch(text) is None or text.lower() == "proxy_protocol":
            raise InvalidValue(text, self.allowed)
        return text


@dataclass(frozen=True)
class Containing:
    """One of some words. Other text that merely contains one is a misfit, as the retired controller lets it pass."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return f"one of {' '.join(self.words)}"

    def parse(self, text: str) -> str:
        if text in self.words:
            return text
        known = not has_control(text) and any(word in text for word in self.words)
        raise InvalidValue(text, self.allowed, misfit=known)


@dataclass(frozen=True)
class SameSite:
    """`None`, `Lax` or `Strict`. Another capitalisation is accepted and means no attribute, as ever."""

    @property
    def allowed(self) -> str:
        return "None, Lax or Strict (in another case: no attribute)"

    def parse(self, text: str) -> str:
        words = ("None", "Lax", "Strict")
        if text in words:
            return text
        if text.isascii() and text.lower() in {word.lower() for word in words}:
            return ""
        raise InvalidValue(text, self.allowed)


@dataclass(frozen=True)
class CommonNamePattern:
    """`CN=` and a regular expression, matched against the whole subject."""

    @property
    def allowed(self) -> str:
        return "CN= and a regular expression"

    def parse(self, text: str) -> str:
        reject_control(text, self.allowed)
        if not text.startswith("CN=") or not compiles(text[3:]):
            raise InvalidValue(text, self.allowed)
        reject_long(text, self.allowed)
        return text.strip(" ")


def compiles(pattern: str) -> bool:
    """Whether a text is a pattern. PCRE has the last word; Python's engine finds what no engine takes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


@dataclass(frozen=True)
class OptionalPattern:
    """A regular expression, or nothing."""

    @property
    def allowed(self) -> str:
        return "a regular expression of at most 2000 characters, or nothing"

    def parse(self, text: str) -> str:
        reject_control(text, self.allowed)
        pattern = text.strip(" ")
        if len(pattern) > 2000 or not compiles(pattern):
            raise InvalidValue(text, self.allowed, misfit=True)
        return pattern


class Pair(NamedTuple):
    """What to replace, and with what."""

    old: str
    new: str


@dataclass(frozen=True)
class PairOrOff:
    """`off` (None) or two words of a class with spaces between them; another number of words is a misfit."""

    chars: CharClass

    @property
    def allowed(self) -> str:
        return f"off, or two words of {self.chars.words}"

    def parse(self, text: str) -> Pair | None:
        if not self.chars.matches(text.replace(" ", "")):
            raise InvalidValue(text, self.allowed)
        reject_long(text, self.allowed)
        words = text.split()
        if words == ["off"]:
            return None
        if len(words) != 2:
            raise InvalidValue(text, self.allowed, misfit=True)
        return Pair(*words)
