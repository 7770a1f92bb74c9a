"""Annotations of FastCGI backends and of mirrored requests."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.setting import Becomes, OnInvalid, Risk
from tidegate.settings.texts import CharClass, Reference, Text
from tidegate.settings.types import OnOff

_FASTCGI: Final = Family("FastCGI")
_MIRROR: Final = Family("Mirroring", becomes=Becomes.DATA)

FASTCGI_INDEX: Final = _FASTCGI.setting(
    "fastcgi-index",
    Text(CharClass.FILE),
    "",
    "The file that stands for a directory.",
    risk=Risk.MEDIUM,
    on_invalid=OnInvalid.REJECT,
)
FASTCGI_PARAMS_CONFIGMAP: Final = _FASTCGI.setting(
    "fastcgi-params-configmap",
    Reference(),
    None,
    "A ConfigMap whose entries are FastCGI parameters.",
    risk=Risk.MEDIUM,
)
MIRROR_TARGET: Final = _MIRROR.setting(
    "mirror-target",
    Text(CharClass.REGEX),
    "",
    "A URL that gets a copy of each request; its answers are thrown away.",
    risk=Risk.HIGH,
)
MIRROR_REQUEST_BODY: Final = _MIRROR.setting(
    "mirror-request-body", OnOff(), True, "Whether copies carry the request body.", becomes=Becomes.POLICY
)
MIRROR_HOST: Final = _MIRROR.setting(
    "mirror-host",
    Text(CharClass.REGEX),
    "",
    "The Host header of copies; unset: the host of `mirror-target`.",
    risk=Risk.HIGH,
)
