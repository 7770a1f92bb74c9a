"""Value types of URLs and paths."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from tidegate.settings.texts import CharClass, reject_long
from tidegate.settings.types import NOTHING, InvalidValue, parse_as


@dataclass(frozen=True)
class AbsolutePath:
    """A path that begins with `/`, of class PATHCAP; an absolute URL is not one."""

    @property
    def allowed(self) -> str:
        return f"a path that begins with /, of {CharClass.PATHCAP.words}"

    def parse(self, text: str) -> str:
        if not CharClass.PATHCAP.matches(text) or not text.startswith("/"):
            raise InvalidValue(text, self.allowed)
        reject_long(text, self.allowed)
        return text


@dataclass(frozen=True)
class Url:
    """A URL whose scheme and host are there. Text of the class that is no such URL is a misfit.

    With `any_http` only the scheme is looked at: it has to be http or https; of another one nothing is left.
    """

    chars: CharClass = CharClass.URL
    any_http: bool = False

    @property
    def allowed(self) -> str:
        kind = "a URL that begins with http: or https:" if self.any_http else "a URL with scheme and host"
        return f"{kind}, of {self.chars.words}"

    def parse(self, text: str) -> str:
        if not self.chars.matches(text):
            raise InvalidValue(text, self.allowed)
        url = text.strip(" ")
        if not self._is_url(url):
            raise InvalidValue(text, self.allowed, misfit=True, usable="" if self.any_http else NOTHING)
        reject_long(text, self.allowed)
        return url

    def _is_url(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        if self.any_http:
            return parts.scheme in ("http", "https")
        return bool(parts.scheme and parts.netloc) and ".." not in parts.netloc


@dataclass(frozen=True)
class OptionalUrl:
    """As `Url`; empty text stays empty."""

    chars: CharClass = CharClass.URL

    @property
    def allowed(self) -> str:
        return f"{Url(self.chars).allowed}, or nothing"

    def parse(self, text: str) -> str:
        return parse_as(Url(self.chars), text, self.allowed) if text else ""


_PATH: Final = r"/[A-Za-z0-9\-._~/]*"
_ERROR_PAGE: Final = re.compile(rf"@[A-Za-z0-9_-]+|https?://[A-Za-z0-9._-]+(?::[0-9]{{1,5}})?(?:{_PATH})?|{_PATH}")


@dataclass(frozen=True)
class ErrorPage:
    """`@name`, a path, or an absolute URL without query."""

    @property
    def allowed(self) -> str:
        return "@name, a path, or http(s)://host[:port][/path] without query"

    def parse(self, text: str) -> str:
        if _ERROR_PAGE.fullmatch(text) is None:
            raise InvalidValue(text, self.allowed)
        return text
