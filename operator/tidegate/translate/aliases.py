"""The names that `server-alias` stands for: names, NGINX's wildcards (`*.x`, `.x`, `x.*`) and patterns."""

from __future__ import annotations

from tidegate.model import PATTERN, is_pattern, names_before, names_below
from tidegate.settings.patterns import pattern_fault


class UnsoundAlias(Exception):
    """Its text says why nothing of this alias can be had."""


def names_of(alias: str, *, own_server: bool) -> tuple[str, ...]:
    """The names of records for one alias; `own_server`: its host has one, whose names cannot be patterns."""
    if is_pattern(alias):
        _refuse_patterns(own_server)
        if fault := pattern_fault(alias[len(PATTERN) :]):
            raise UnsoundAlias(f"which is not a valid regular expression: {fault}")
        return (alias,)
    alias = alias.lower()
    parent = alias.removeprefix("*").removeprefix(".") if alias.startswith(("*.", ".")) else ""
    if parent and "*" not in parent:
        itself = () if alias.startswith("*") else (parent,)
        below = () if own_server else (names_below(parent),)  # of more than one label
        return (*itself, f"*.{parent}", *below)
    if alias.endswith(".*") and "*" not in alias[:-1] and not alias.startswith("."):
        _refuse_patterns(own_server)
        return (names_before(alias[:-2]),)
    if "*" in alias or alias.startswith("."):
        raise UnsoundAlias("allowed: a name, *.name, .name, name.* or ~pattern")
    return (alias,)


def _refuse_patterns(own_server: bool) -> None:
    if own_server:
        raise UnsoundAlias(
            "which a host with client certificates, a server snippet or ciphers of its own cannot have as an alias"
        )
