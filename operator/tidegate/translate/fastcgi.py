"""Parameters of FastCGI backends (reference: annotations 11)."""

from __future__ import annotations

import re
from typing import Final

from tidegate.findings import brief
from tidegate.model import FastCGI
from tidegate.resources.model import ConfigMap
from tidegate.settings import annotations as ann
from tidegate.settings.resolve import GlobalSettings, IngressSettings
from tidegate.translate.expressions import UnsoundExpression, check_variables
from tidegate.translate.reader import Reader
from tidegate.translate.references import Denied, foreign

_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_VALUE: Final = re.compile(r"[A-Za-z0-9_./${}-]*")


class Refused(Exception):
    """Data of a ConfigMap that NGINX must not see: the path is not served. `field` is the annotation's name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Foreign(Exception):
    """A reference to another namespace, which counts for nothing."""


def _parameters(configmap: ConfigMap, name: str, more: frozenset[str]) -> tuple[tuple[str, str], ...]:
    field = ann.FASTCGI_PARAMS_CONFIGMAP.name
    for key, value in configmap.data.items():
        if not _NAME.fullmatch(key):
            raise Refused(field, f"ConfigMap {name}: found the name {key!r}, allowed: letters, digits and . _ -")
        if not _VALUE.fullmatch(value):
            allowed = "letters, digits and . _ - / and variables such as $uri or ${uri}"
            raise Refused(field, f"ConfigMap {name}, {key}: found {brief(value)}, allowed: {allowed}")
        try:
            check_variables(value, more)
        except UnsoundExpression as error:
            raise Refused(field, f"ConfigMap {name}, {key}: {error}") from None
    return tuple(sorted(configmap.data.items()))


def fastcgi(settings: IngressSettings, globals_: GlobalSettings, namespace: str, reader: Reader) -> FastCGI:
    """What an Ingress says to FastCGI backends, besides what all are told. Raises Denied, Refused or Foreign."""
    index = settings.get(ann.FASTCGI_INDEX)
    reference = settings.get(ann.FASTCGI_PARAMS_CONFIGMAP)
    if reference is None:
        return FastCGI(index)
    place = reference.namespace or namespace
    if fault := foreign("ConfigMap", place, namespace, globals_):
        raise Foreign(f"{fault}; it has no effect")
    configmap = reader.configmap(place, reference.name)
    if configmap is None:
        raise Denied(ann.FASTCGI_PARAMS_CONFIGMAP.name, f"there is no ConfigMap {place}/{reference.name}")
    return FastCGI(index, _parameters(configmap, f"{place}/{reference.name}", globals_.own_variables))
