"""Every name of the retired controller is known, and is what it was there where nobody sets it (defaults.txt)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tidegate.settings.registry import ANNOTATIONS, CONFIGMAP_KEYS
from tidegate.settings.setting import AnySetting
from tidegate.settings.types import Ignored

SECTIONS = {"[ConfigMap keys]": CONFIGMAP_KEYS, "[annotations]": ANNOTATIONS}
LIST = Path(__file__).with_name("defaults.txt")
OWN = {"limit-divide-by-replicas"}
HIDDEN = "names that end in * stand for families, and those of older releases are not in the list"


def rows() -> Iterator[tuple[str, str]]:
    """Section and line."""
    section = ""
    for line in LIST.read_text().splitlines():
        if line in SECTIONS:
            section = line
        elif line and not line.startswith("#"):
            yield section, line


def name_of(line: str) -> str:
    return line.split(" ", 1)[0]


def setting_of(section: str, line: str) -> AnySetting:
    return SECTIONS[section][name_of(line)]


@pytest.mark.parametrize(("section", "count"), [("[ConfigMap keys]", 195), ("[annotations]", 138)])
def test_the_list_has_every_name_once(section: str, count: int) -> None:
    names = [name_of(line) for where, line in rows() if where == section]
    assert len(names) == len(set(names)) == count
    assert [name for name in names if name not in SECTIONS[section]] == []
    others = [name for name in SECTIONS[section] if name not in names]
    assert {name for name in others if not isinstance(SECTIONS[section][name].type, Ignored)} <= OWN, HIDDEN


@pytest.mark.parametrize(("section", "line"), list(rows()))
def test_a_setting_that_nobody_sets_is_what_it_was(section: str, line: str) -> None:
    setting = setting_of(section, line)
    _, equals, text = line.partition(" = ")
    _, arrow, key = line.partition(" <- ")
    if equals:
        assert setting.type.parse(text) == setting.default
    elif arrow:
        assert setting.configmap_key == key
        assert setting.default == CONFIGMAP_KEYS[key].default
    else:
        assert not setting.default
