"""The ConfigMaps of headers that global settings name: what every answer and every request to a backend carries."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tidegate.findings import Finding, Severity
from tidegate.resources.model import ConfigMap
from tidegate.settings import configmap as cm
from tidegate.settings.messages import written
from tidegate.settings.resolve import GlobalSettings
from tidegate.settings.setting import Setting
from tidegate.settings.texts import ObjectRef, has_sound_variables
from tidegate.settings.types import has_control
from tidegate.settings.variables import unknown_variable
from tidegate.translate.global_checks import about
from tidegate.translate.reader import Reader

Headers = tuple[tuple[str, str], ...]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,40}")  # a longer one has no room in NGINX's hash for gRPC
_LONGEST: Final = 4000  # bytes of an argument that NGINX reads
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})
_OURS: Final = _FRAMING | {"connection", "upgrade", "http2-settings"}


class HeaderSets(NamedTuple):
    """Names and values, which may have NGINX's variables; in the order of their names. An empty value removes."""

    added: Headers = ()
    proxied: Headers = ()
    findings: tuple[Finding, ...] = ()


NO_HEADERS: Final = HeaderSets()


def read_header_sets(settings: GlobalSettings, reader: Reader) -> HeaderSets:
    """What `add-headers` and `proxy-set-headers` name. A header that cannot be set is left out with a finding."""
    findings: list[Finding] = []
    return HeaderSets(
        _headers(settings, cm.ADD_HEADERS, reader, _FRAMING, findings),
        _headers(settings, cm.PROXY_SET_HEADERS, reader, _OURS, findings),
        tuple(findings),
    )


def _headers(
    settings: GlobalSettings,
    setting: Setting[ObjectRef | None],
    reader: Reader,
    reserved: frozenset[str],
    findings: list[Finding],
) -> Headers:
    reference = settings.get(setting)
    if reference is None:
        return ()
    configmap = reader.configmap(reference.namespace, reference.name)
    if configmap is None:
        findings.append(about(settings, setting, "NotFound", f"there is no ConfigMap {reference}; no header is set"))
        return ()
    return read_headers(configmap, reserved, findings, settings.own_variables)


def read_headers(
    configmap: ConfigMap, reserved: frozenset[str], findings: list[Finding], variables: frozenset[str] = frozenset()
) -> Headers:
    """The entries of a ConfigMap that can be headers; the first of several names that differ in case alone counts.

    `variables` are those that NGINX knows besides its own.
    """
    found: dict[str, tuple[str, str]] = {}
    for name, text in sorted(configmap.data.items()):
        value = text.strip()
        problem = _problem(name, value, reserved, variables)
        if not problem and name.lower() in found:
            problem = f"is {found[name.lower()][0]} in other letters"
        if problem:
            field = f"data[{written(name)}]"
            message = f"{problem}; this header is left out"
            findings.append(Finding(configmap.key, field, Severity.WARNING, "InvalidHeader", message))
        else:
            found[name.lower()] = (name, value)
    return tuple(found.values())


def _problem(name: str, value: str, reserved: frozenset[str], variables: frozenset[str]) -> str:
    if _NAME.fullmatch(name) is None:
        return "allowed as a name: a letter or digit, then up to 40 letters, digits, - _ and ."
    if name.lower() in reserved:
        return "is decided by the data plane for each request"
    if has_control(value) or len(value.encode()) > _LONGEST:
        return f"allowed as a value: one line of at most {_LONGEST} bytes without control characters"
    if not has_sound_variables(value):
        return "has a $ that begins no variable"
    unknown = unknown_variable(value, more=variables)
    return f"has the variable ${unknown}, which NGINX does not know" if unknown else ""
