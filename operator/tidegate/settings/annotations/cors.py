"""Annotations of cross-origin requests."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.lists import Origins
from tidegate.settings.setting import Becomes, OnInvalid, Risk
from tidegate.settings.texts import CharClass, Text
from tidegate.settings.types import GoBool, Int

_FAMILY: Final = Family("CORS", becomes=Becomes.DATA, on_invalid=OnInvalid.CLOSED)
_STRICT: Final = "A bad value leaves the header out, instead of the default that allows more."

ENABLE_CORS: Final = _FAMILY.setting(
    "enable-cors",
    GoBool(),
    False,
    "Whether answers allow scripts of other origins, and OPTIONS is answered here.",
    fallback=False,
)
CORS_ALLOW_ORIGIN: Final = _FAMILY.setting(
    "cors-allow-origin",
    Origins(),
    ("*",),
    "Origins that are allowed; *. stands for one label.",
    risk=Risk.MEDIUM,
    fallback=(),
    note="A bad value allows no origin, instead of all.",
)
CORS_ALLOW_METHODS: Final = _FAMILY.setting(
    "cors-allow-methods",
    Text(CharClass.METHODS),
    "GET, PUT, POST, DELETE, PATCH, OPTIONS",
    "Methods that other origins may use.",
    risk=Risk.MEDIUM,
    fallback="",
    note=_STRICT,
)
CORS_ALLOW_HEADERS: Final = _FAMILY.setting(
    "cors-allow-headers",
    Text(CharClass.HEADERS),
    "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization",
    "Request headers that other origins may set.",
    risk=Risk.MEDIUM,
    fallback="",
    note=_STRICT,
)
CORS_EXPOSE_HEADERS: Final = _FAMILY.setting(
    "cors-expose-headers",
    Text(CharClass.EXPOSED),
    "",
    "Response headers that scripts of other origins may read.",
    risk=Risk.MEDIUM,
    fallback="",
)
CORS_ALLOW_CREDENTIALS: Final = _FAMILY.setting(
    "cors-allow-credentials",
    GoBool(),
    True,
    "Whether cookies and credentials may be sent.",
    fallback=False,
    note=_STRICT,
)
CORS_MAX_AGE: Final = _FAMILY.setting(
    "cors-max-age",
    Int(unit="seconds"),
    1728000,
    "Seconds for which browsers may remember what is allowed.",
    on_invalid=OnInvalid.DEFAULT,
)
