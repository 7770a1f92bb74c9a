"""Compression of answers."""

from __future__ import annotations

from tidegate.model import Compression
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings
from tidegate.translate.options import BROTLI, Options


def gzip(settings: GlobalSettings) -> Compression | None:
    get = settings.get
    if not get(cm.USE_GZIP):
        return None
    types = _types(get(cm.GZIP_TYPES))
    return Compression(get(cm.GZIP_LEVEL), get(cm.GZIP_MIN_LENGTH), types, get(cm.GZIP_DISABLE))


def brotli(settings: GlobalSettings, options: Options) -> Compression | None:
    """None also where NGINX cannot do it."""
    get = settings.get
    if not get(cm.ENABLE_BROTLI) or not options.nginx.has(BROTLI):
        return None
    return Compression(get(cm.BROTLI_LEVEL), get(cm.BROTLI_MIN_LENGTH), _types(get(cm.BROTLI_TYPES)))


def _types(types: tuple[str, ...]) -> tuple[str, ...]:
    """Without the one that NGINX always compresses, each once whatever its case: it would complain."""
    found = {name.lower(): name for name in reversed(types) if name.lower() != "text/html"}
    return tuple(reversed(found.values()))
