"""The words in which problems with settings are reported."""

from __future__ import annotations

from typing import Final

from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.settings.setting import AnySetting, OnInvalid
from tidegate.settings.types import NOTHING, InvalidValue

INVALID_VALUE: Final = "InvalidValue"
NOT_YET_SUPPORTED: Final = "NotYetSupported"
IGNORED: Final = "Ignored"

_CONSEQUENCES: Final = {
    OnInvalid.DEFAULT: "the default is used",
    OnInvalid.DENY: "the paths it covers answer 503",
    OnInvalid.CLOSED: "the strict variant is used",
    OnInvalid.REJECT: "this revision is not applied",
}


def invalid(place: tuple[ObjectKey, str], problem: InvalidValue, outcome: OnInvalid) -> Finding:
    """An invalid value and what it does; `place` is the object and the field."""
    severity = Severity.ERROR if outcome in (OnInvalid.DENY, OnInvalid.REJECT) else Severity.WARNING
    partly = problem.usable is not NOTHING and severity is Severity.WARNING
    consequence = "it is left out" if partly else _CONSEQUENCES[outcome]
    return Finding(*place, severity, INVALID_VALUE, f"{problem}; {consequence}")


def not_yet_supported(place: tuple[ObjectKey, str], setting: AnySetting, *, inert: bool) -> Finding:
    """A setting or a value that is known and not carried out yet. `inert`: it asks for nothing that is missing."""
    if inert:
        return Finding(*place, Severity.INFO, NOT_YET_SUPPORTED, "not supported yet, and this value does not need it")
    if setting.security:
        message = "not supported yet; as it protects something, the paths it covers answer 503"
        return Finding(*place, Severity.ERROR, NOT_YET_SUPPORTED, message)
    return Finding(*place, Severity.WARNING, NOT_YET_SUPPORTED, "not supported yet, and has no effect")


def ignored(place: tuple[ObjectKey, str], setting: AnySetting) -> Finding:
    """A name that never has an effect."""
    return Finding(*place, Severity.INFO, IGNORED, f"accepted, has no effect: {setting.doc}")


def unknown(place: tuple[ObjectKey, str], reason: str, similar: str) -> Finding:
    """A name that is not known; `similar` is the one that was probably meant, or empty."""
    hint = f"; did you mean {similar}?" if similar else ""
    return Finding(*place, Severity.INFO, reason, f"not a name that Tidegate knows, ignored{hint}")


def written(name: str) -> str:
    """A name as it can be shown on one line: outside a cluster, nobody has checked it."""
    return name if name.isprintable() else ascii(name)[1:-1]
