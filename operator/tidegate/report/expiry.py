"""Certificates that are not valid now, or soon no longer: they are shown all the same, and this is said about them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping

from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.model import CertificateInfo

SOON = 10 * 86400


def _when(moment: int) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _about(info: CertificateInfo, now: float) -> tuple[str, str] | None:
    """Reason and words, or nothing."""
    if info.not_before > now:
        return "CertificateNotYetValid", f"is valid only from {_when(info.not_before)}"
    if info.not_after <= now:
        return "CertificateExpired", f"expired at {_when(info.not_after)}"
    if info.not_after <= now + SOON:
        return "CertificateExpiresSoon", f"expires at {_when(info.not_after)}"
    return None


def expiry_findings(certificates: Iterable[tuple[str, CertificateInfo]], now: float) -> tuple[Finding, ...]:
    """One finding for each Secret; `certificates` are hosts and what they show, `now` seconds since the epoch."""
    hosts: dict[CertificateInfo, list[str]] = {}
    for host, info in certificates:
        if info.secret and _about(info, now):
            hosts.setdefault(info, []).append(host)
    found = []
    for info, names in hosts.items():
        reason, words = _about(info, now) or ("", "")
        namespace, _, name = info.secret.partition("/")
        shown = ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        message = f"the certificate of {shown} {words}; it is shown all the same"
        found.append(Finding(ObjectKey("Secret", namespace, name), "data[tls.crt]", Severity.WARNING, reason, message))
    return tuple(sorted(found))


class Expiry:
    """What is to be said about the certificates of many hosts, of which few change at a time."""

    def __init__(self) -> None:
        self._troubled: dict[str, tuple[CertificateInfo, ...]] = {}

    def look(self, shown: Mapping[str, tuple[CertificateInfo, ...]], now: float) -> None:
        """Note what these hosts show at `now`, seconds since the epoch; of others what was seen before counts."""
        for host, infos in shown.items():
            troubled = tuple(info for info in infos if _about(info, now))
            if troubled:
                self._troubled[host] = troubled
            else:
                self._troubled.pop(host, None)

    def findings(self, now: float) -> tuple[Finding, ...]:
        return expiry_findings(((host, info) for host, infos in self._troubled.items() for info in infos), now)
