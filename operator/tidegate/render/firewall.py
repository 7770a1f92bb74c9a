"""ModSecurity's directives. Of several values for one thing the first counts, so own rules come before all others.

The OWASP core rules take about 17 MB for each location that loads them, and next to nothing where a location inherits
them. So they stand once at the http level, and locations that do not want them leave out their range of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tidegate.model import Directive, Firewall

MODULE = "ngx_http_modsecurity_module.so"
CORE_RANGE = "900000-999999"
LONGEST = 3500  # bytes; NGINX takes no argument above 4096
_CHAIN = re.compile(r"\bchain\b")


@dataclass(frozen=True)
class FirewallFiles:
    """The recommended rules and the OWASP core rules of this system; empty where they are not installed."""

    base: str = "/etc/nginx/modsecurity.conf"
    core_setup: str = "/etc/modsecurity/crs/crs-setup.conf"
    core_rules: str = "/usr/share/modsecurity-crs/rules"


def core_directives(files: FirewallFiles) -> tuple[Directive, ...]:
    """The core rules, for the http level."""
    text = f"Include {files.core_setup}\nInclude {files.core_rules}/*.conf"
    return (Directive("modsecurity_rules", (text,)),)


def location_directives(
    firewall: Firewall, common_rules: str, core_inherited: bool, files: FirewallFiles, audit_log: str
) -> tuple[Directive, ...]:
    """What a location has. `common_rules` are those of the global settings in place of the recommended ones."""
    found = [Directive("modsecurity", ("on",))]
    found += _inline(firewall.rules)
    if firewall.common:
        found += _inline(common_rules)
    if firewall.base or (firewall.common and not common_rules):
        found += _inline(f"SecAuditEngine Off\nSecAuditLog {audit_log}")
        found.append(Directive("modsecurity_rules_file", (files.base,)))
    if core_inherited and not firewall.core:
        found += _inline(f"SecRuleRemoveById {CORE_RANGE}")
    if firewall.transaction_id:
        found.append(Directive("modsecurity_transaction_id", (firewall.transaction_id,)))
    return tuple(found)


def _inline(rules: str) -> list[Directive]:
    return [Directive("modsecurity_rules", (part,)) for part in _parts(rules)]


def _logical_lines(rules: str) -> Iterable[str]:
    """Lines with those that continue them."""
    line = ""
    for part in rules.split("\n"):
        line += part
        if part.endswith("\\"):
            line += "\n"
        else:
            yield line
            line = ""
    if line:
        yield line


def _parts(rules: str) -> list[str]:
    """Rules in parts that NGINX takes as one argument; a chain of rules is not torn."""
    parts: list[str] = []
    current: list[str] = []
    size, whole = 0, True
    for line in _logical_lines(rules):
        if not line.strip():
            continue
        length = len(line.encode()) + 1
        if current and whole and size + length > LONGEST:
            parts.append("\n".join(current))
            current, size = [], 0
        current.append(line)
        size += length
        whole = _CHAIN.search(line) is None
    return [*parts, "\n".join(current)] if current else parts
