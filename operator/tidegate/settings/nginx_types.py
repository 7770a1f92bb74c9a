"""Value types of NGINX's own grammars: times, buffer pairs, ciphers, log formats, log targets."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, NamedTuple

from tidegate.settings.lists import canonical_address
from tidegate.settings.texts import has_sound_variables
from tidegate.settings.types import InvalidValue, Size, reject_control
from tidegate.settings.variables import STREAM_VARIABLES, unknown_variable

_SECOND: Final = 1000
_UNITS: Final = (
    ("y", 365 * 86400 * _SECOND),
    ("M", 30 * 86400 * _SECOND),
    ("w", 7 * 86400 * _SECOND),
    ("d", 86400 * _SECOND),
    ("h", 3600 * _SECOND),
    ("m", 60 * _SECOND),
    ("s", _SECOND),
    ("ms", 1),
)
# NGINX wants the units in descending order; a last number without a unit means seconds.
_TIME: Final = re.compile(
    " *".join(rf"(?:([0-9]{{1,12}}){unit}(?![a-zA-Z]))?" for unit, _ in _UNITS) + r" *([0-9]{1,12})?"
)


@dataclass(frozen=True)
class Duration:
    """A time as NGINX writes it (`90`, `90s`, `1h30m`, `500ms`), in milliseconds.

    With `whole_seconds` milliseconds are refused, as NGINX does for settings that count seconds.
    """

    whole_seconds: bool = False

    @property
    def allowed(self) -> str:
        units = "y M w d h m s" if self.whole_seconds else "y M w d h m s ms"
        return f"a time such as 30s or 1h30m (units {units}; without a unit: seconds)"

    def parse(self, text: str) -> int:
        found = _TIME.fullmatch(re.sub(" +", " ", text))  # a row of blanks could be shared out in very many ways
        if found is None or not any(found.groups()) or text != text.strip(" "):
            raise InvalidValue(text, self.allowed)
        *counts, bare = found.groups()
        total = sum(int(count) * factor for count, (_, factor) in zip(counts, _UNITS, strict=True) if count)
        total += int(bare or 0) * _SECOND
        if total >= 2**53 or (bare and (counts[6] or counts[7])) or (self.whole_seconds and counts[7]):
            raise InvalidValue(text, self.allowed, misfit=True)
        return total


_GO_UNITS: Final = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 3.6e6}
_GO_PART: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})(ns|us|µs|μs|ms|s|m|h)")
_GO_TIME: Final = re.compile(rf"(?:{_GO_PART.pattern})+")


@dataclass(frozen=True)
class GoDuration:
    """A time as Go writes it (`5s`, `1m30s`, `1.5h`), in milliseconds, rounded down."""

    @property
    def allowed(self) -> str:
        return "a time such as 5s, 500ms or 1m30s"

    def parse(self, text: str) -> int:
        if _GO_TIME.fullmatch(text) is None:
            raise InvalidValue(text, self.allowed)
        return int(sum(float(number) * _GO_UNITS[unit] for number, unit in _GO_PART.findall(text)))


class Buffers(NamedTuple):
    """So many buffers of so many bytes."""

    number: int
    size: int


@dataclass(frozen=True)
class BufferPair:
    """`number size`, such as `4 8k`; NGINX wants at least 512 bytes each."""

    @property
    def allowed(self) -> str:
        return "number and size, such as 4 8k; at least 512 bytes each"

    def parse(self, text: str) -> Buffers:
        found = re.fullmatch(r"([0-9]{1,5}) +([0-9]{1,12}[kKmM]?)", text)
        if found is None:
            raise InvalidValue(text, self.allowed)
        try:
            pair = Buffers(int(found[1]), Size(minimum=512).parse(found[2]))
        except InvalidValue:
            raise InvalidValue(text, self.allowed, misfit=True) from None
        if pair.number < 1:
            raise InvalidValue(text, self.allowed, misfit=True)
        return pair


_CIPHER_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_CIPHER: Final = rf"(?:[!+-]?{_CIPHER_NAME}(?:\+{_CIPHER_NAME})*|@STRENGTH|@SECLEVEL=[0-5])"
_CIPHERS: Final = re.compile(rf"{_CIPHER}(?::{_CIPHER})*")
_LONGEST: Final = 4000  # bytes of an argument that NGINX reads


@dataclass(frozen=True)
class Ciphers:
    """An OpenSSL cipher list. `optional`: may be empty; `commands`: `@STRENGTH` and `@SECLEVEL=n` are allowed, too.

    A list from which OpenSSL takes no cipher is a misfit: NGINX would refuse it, and all that changes along with it.
    """

    optional: bool = False
    commands: bool = True

    @property
    def allowed(self) -> str:
        commands = ", @STRENGTH, @SECLEVEL=0 to 5" if self.commands else ""
        return f"an OpenSSL cipher list: names with ! + - separated by colons{commands}"

    def parse(self, text: str) -> str:
        if not (self.optional and not text) and _CIPHERS.fullmatch(text) is None:
            raise InvalidValue(text, self.allowed)
        if "@" in text and not self.commands:
            raise InvalidValue(text, self.allowed)
        if text and (len(text) > _LONGEST or not _chooses(text)):
            raise InvalidValue(text, f"{self.allowed}; at least one that OpenSSL knows", misfit=True)
        return text


@lru_cache(maxsize=256)
def _chooses(ciphers: str) -> bool:
    """Whether OpenSSL finds a cipher in the list."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(ciphers)
    except ssl.SSLError:
        return False
    return True


@dataclass(frozen=True)
class LogFormat:
    """A log format: text with NGINX variables. A `$` that begins no variable is refused, as NGINX would.

    The variables have to be those of HTTP requests (`http`) or of sessions (`stream`), or those that snippets of the
    ConfigMap define (`more`): one that NGINX does not know stops it. Line ends around the text mean nothing.
    """

    http: bool = False
    stream: bool = False
    more: frozenset[str] = frozenset()

    @property
    def allowed(self) -> str:
        return f"text with NGINX variables, no control characters but line ends, at most {_LONGEST} bytes"

    def knowing(self, variables: frozenset[str]) -> LogFormat:
        """The same with variables that NGINX knows besides."""
        return replace(self, more=variables)

    def parse(self, text: str) -> str:
        text = text.replace("\r\n", "\n").strip("\n")
        reject_control(text.replace("\n", ""), self.allowed)
        if not text.strip() or not has_sound_variables(text):
            raise InvalidValue(text, self.allowed, misfit=True)
        if len(text.encode()) + text.count('"') + text.count("\\") > _LONGEST:
            raise InvalidValue(text, self.allowed, misfit=True)
        unknown = ""
        if self.http:
            unknown = unknown_variable(text, more=self.more)
        elif self.stream:
            unknown = unknown_variable(text, STREAM_VARIABLES, (), self.more)
        if unknown:
            raise InvalidValue(f"${unknown}", f"{self.allowed}, of those that NGINX knows", misfit=True)
        return text


_FILE_TARGET: Final = re.compile(r"/[A-Za-z0-9._~+@%=,:/-]+")
_SYSLOG_TARGET: Final = re.compile(r"syslog:server=[A-Za-z0-9.:\[\]_/-]+(?:,[a-z]+(?:=[A-Za-z0-9_]+)?)*")


@dataclass(frozen=True)
class LogTarget:
    """An absolute file path or `syslog:server=...`. `optional`: may be empty."""

    optional: bool = False

    @property
    def allowed(self) -> str:
        return "an absolute file path or syslog:server=ADDRESS[,parameter=value]" + (", or nothing" * self.optional)

    def parse(self, text: str) -> str:
        if self.optional and not text:
            return text
        if _FILE_TARGET.fullmatch(text) is None and _SYSLOG_TARGET.fullmatch(text) is None:
            raise InvalidValue(text, self.allowed)
        return text


_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*"
)


@dataclass(frozen=True)
class OptionalHost:
    """A host name or an IP address (an IPv6 one without brackets), or nothing."""

    @property
    def allowed(self) -> str:
        return "a host name or an IP address, or nothing"

    def parse(self, text: str) -> str:
        if not text or _HOST_NAME.fullmatch(text) is not None or canonical_address(text) is not None:
            return text
        raise InvalidValue(text, self.allowed)


_MIME: Final = re.compile(r"[A-Za-z0-9!#&^_.+-]+/[A-Za-z0-9!#&^_.+-]+")


@dataclass(frozen=True)
class MimeType:
    """A media type such as `text/html`."""

    @property
    def allowed(self) -> str:
        return "a media type such as text/html"

    def parse(self, text: str) -> str:
        if _MIME.fullmatch(text) is None:
            raise InvalidValue(text, self.allowed)
        return text


_MASK: Final = re.compile("[01]{1,1024}")


@dataclass(frozen=True)
class CpuAffinity:
    """Masks of cores, one a worker; `auto` shares the cores out, those of one mask if it is followed by one."""

    @property
    def allowed(self) -> str:
        return "auto, auto and a mask, or masks of the digits 0 and 1, separated by spaces; or nothing"

    def parse(self, text: str) -> tuple[str, ...]:
        words = tuple(word for word in text.split(" ") if word)
        masks = words[1:] if words[:1] == ("auto",) else words
        if not all(_MASK.fullmatch(mask) and "1" in mask for mask in masks) or (masks != words and len(masks) > 1):
            raise InvalidValue(text, self.allowed)
        return words


@dataclass(frozen=True)
class WorkerCount:
    """The number of worker processes; `auto` is None: one per core."""

    @property
    def allowed(self) -> str:
        return "auto or a number from 1 to 1024"

    def parse(self, text: str) -> int | None:
        if text == "auto":
            return None
        if re.fullmatch("[0-9]{1,4}", text) is None:
            raise InvalidValue(text, self.allowed)
        if not 1 <= int(text) <= 1024:
            raise InvalidValue(text, self.allowed, misfit=True)
        return int(text)
