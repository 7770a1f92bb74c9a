"""What a route adds to its answers: headers for cross-origin requests (reference: annotations 6), and those of a
ConfigMap that the administrator allows (annotations 7)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tidegate.model import Cors
from tidegate.settings import annotations as ann
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings, IngressSettings
from tidegate.settings.texts import CharClass
from tidegate.translate.external_auth import FRAMING
from tidegate.translate.reader import Reader
from tidegate.translate.references import Denied, named_configmap

_PRINTABLE: Final = re.compile(r"[\x20-\x7e]*")


class Additions(NamedTuple):
    """Headers for other origins, and those of a ConfigMap."""

    cors: Cors | None
    headers: tuple[tuple[str, str], ...]

    @property
    def any(self) -> bool:
        return self.cors is not None or bool(self.headers)


def _cors(settings: IngressSettings) -> Cors | None:
    origins = settings.get(ann.CORS_ALLOW_ORIGIN)
    if not settings.get(ann.ENABLE_CORS) or not origins:
        return None
    return Cors(
        origins=origins,
        max_age=settings.get(ann.CORS_MAX_AGE),
        methods=settings.get(ann.CORS_ALLOW_METHODS),
        headers=settings.get(ann.CORS_ALLOW_HEADERS),
        expose=settings.get(ann.CORS_EXPOSE_HEADERS),
        credentials=settings.get(ann.CORS_ALLOW_CREDENTIALS),
    )


def _headers(
    settings: IngressSettings, globals_: GlobalSettings, namespace: str, reader: Reader
) -> tuple[tuple[str, str], ...]:
    reference = settings.get(ann.CUSTOM_HEADERS)
    if reference is None:
        return ()
    field = ann.CUSTOM_HEADERS.name
    configmap = named_configmap(field, reference, namespace, globals_, reader)
    allowed = globals_.get(cm.GLOBAL_ALLOWED_RESPONSE_HEADERS)
    for name, value in configmap.data.items():
        if name not in allowed:
            raise Denied(
                field, f"found the header {name!r} in ConfigMap {reference}, allowed: those of {_allowed(allowed)}"
            )
        if not CharClass.WORD.matches(name) or name.lower() in FRAMING:
            raise Denied(field, f"found the header {name!r} in ConfigMap {reference}, which no setting may change")
        if _PRINTABLE.fullmatch(value) is None:
            raise Denied(field, f"found a value of {name!r} in ConfigMap {reference} that is not printable ASCII")
    return tuple(sorted(configmap.data.items()))


def _allowed(names: tuple[str, ...]) -> str:
    return f"global-allowed-response-headers ({', '.join(names) or 'none'})"


def additions_of(settings: IngressSettings, globals_: GlobalSettings, namespace: str, reader: Reader) -> Additions:
    """What the answers of an Ingress get. Raises Denied where its ConfigMap cannot be used."""
    return Additions(_cors(settings), _headers(settings, globals_, namespace, reader))
