"""Label selectors, as kubectl and the API write them: `a=b,c!=d,e in (f,g),h notin (i),j,!k`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from tidegate.resources import checks

_TERM = re.compile(
    r"\s*(?:(?P<absent>!)\s*(?P<missing>[^\s,()!=]+)"
    r"|(?P<key>[^\s,()!=]+)\s*(?:(?P<equals>==?|!=)\s*(?P<value>[^\s,()!=]*)"
    r"|\s(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?:,|\Z)"
)


class Requirement(msgspec.Struct, frozen=True):
    """`values` is empty where only the key counts. A label that is absent satisfies `notin`."""

    key: str
    operator: Literal["in", "notin", "exists", "absent"]
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "exists":
                return self.key in labels
            case "absent":
                return self.key not in labels
            case "in":
                return labels.get(self.key) in self.values
            case "notin":
                return labels.get(self.key) not in self.values


class Selector(msgspec.Struct, frozen=True):
    """All requirements have to hold; without any, everything is selected."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(item.matches(labels) for item in self.requirements)


def parse_selector(text: str) -> Selector:
    """Raises ValueError with what was found."""
    found: list[Requirement] = []
    place = 0
    while place < len(text.rstrip()):
        term = _TERM.match(text, place)
        if term is None or term.end() == place:
            raise ValueError(
                f"found {text[place:]!r}, allowed: terms such as a=b, a!=b, a in (b,c), a notin (b), a, !a"
            )
        found.append(_requirement(term))
        place = term.end()
    return Selector(tuple(found))


def _requirement(term: re.Match[str]) -> Requirement:
    key = term["missing"] or term["key"]
    if not checks.is_qualified_name(key):
        raise ValueError(f"found the label {key!r}, allowed: a name of at most 63 letters, digits and -_.")
    if term["absent"]:
        return Requirement(key, "absent")
    if term["equals"]:
        return Requirement(key, "notin" if term["equals"] == "!=" else "in", (term["value"],))
    if term["set"]:
        values = tuple(value.strip() for value in term["values"].split(","))
        return Requirement(key, "in" if term["set"] == "in" else "notin", values)
    return Requirement(key, "exists")
