"""ConfigMap keys of compression and of client geography."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.lists import BlankList
from tidegate.settings.setting import Becomes, Scope
from tidegate.settings.texts import OptionalPattern
from tidegate.settings.types import LiteralInt, WeakBool

_FAMILY: Final = Family("Compression", scope=Scope.GLOBAL, becomes=Becomes.GLOBAL)
_LENGTH: Final = LiteralInt(0, 2**31 - 1, "bytes")
_TYPES: Final = BlankList(r"\*|[A-Za-z0-9!#&^_.+-]+/[A-Za-z0-9!#&^_.+*-]+", "media types")

GZIP_DEFAULT_TYPES: Final[tuple[str, ...]] = (
    "application/atom+xml",
    "application/javascript",
    "application/x-javascript",
    "application/json",
    "application/rss+xml",
    "application/vnd.ms-fontobject",
    "application/x-font-ttf",
    "application/x-web-app-manifest+json",
    "application/xhtml+xml",
    "application/xml",
    "font/opentype",
    "image/svg+xml",
    "image/x-icon",
    "text/css",
    "text/javascript",
    "text/plain",
    "text/x-component",
)

USE_GZIP: Final = _FAMILY.setting("use-gzip", WeakBool(), False, "Whether answers are compressed with gzip.")
GZIP_LEVEL: Final = _FAMILY.setting("gzip-level", LiteralInt(1, 9), 1, "How hard gzip tries, from 1 to 9.")
GZIP_MIN_LENGTH: Final = _FAMILY.setting("gzip-min-length", _LENGTH, 256, "Bytes below which an answer is left alone.")
GZIP_TYPES: Final = _FAMILY.setting(
    "gzip-types", _TYPES, GZIP_DEFAULT_TYPES, "Media types to compress besides text/html; * means all."
)
GZIP_DISABLE: Final = _FAMILY.setting(
    "gzip-disable",
    OptionalPattern(),
    "",
    "A pattern of User-Agent values that get no gzip; msie6 means old browsers.",
)
ENABLE_BROTLI: Final = _FAMILY.setting(
    "enable-brotli", WeakBool(), False, "Whether answers are compressed with brotli."
)
BROTLI_LEVEL: Final = _FAMILY.setting("brotli-level", LiteralInt(0, 11), 4, "How hard brotli tries, from 0 to 11.")
BROTLI_MIN_LENGTH: Final = _FAMILY.setting(
    "brotli-min-length", _LENGTH, 20, "Bytes below which an answer is left alone."
)
BROTLI_TYPES: Final = _FAMILY.setting(
    "brotli-types",
    _TYPES,
    ("application/xml+rss", *GZIP_DEFAULT_TYPES),
    "Media types to compress with brotli besides text/html.",
)
USE_GEOIP2: Final = _FAMILY.setting(
    "use-geoip2",
    WeakBool(),
    False,
    "Whether variables tell the country and network of a client.",
)
GEOIP2_AUTORELOAD_IN_MINUTES: Final = _FAMILY.setting(
    "geoip2-autoreload-in-minutes",
    LiteralInt(0, 60 * 24 * 365, "minutes"),
    0,
    "Minutes after which the databases are read again.",
)
