"""The support table that users read."""

from __future__ import annotations

import pytest
from tidegate.settings.reference import rows, to_markdown
from tidegate.settings.registry import ANNOTATIONS, CONFIGMAP_KEYS
from tidegate.settings.types import InvalidValue


def test_there_is_a_row_for_each_name() -> None:
    table = rows()
    assert [row.name for row in table if row.kind == "annotation"] == list(ANNOTATIONS)
    assert [row.name for row in table if row.kind == "ConfigMap key"] == list(CONFIGMAP_KEYS)


def test_a_row_says_what_its_setting_is() -> None:
    row = next(row for row in rows() if row.name == "proxy-body-size" and row.kind == "annotation")
    assert (row.default, row.risk, row.on_invalid, row.support) == ("1m", "Medium", "default", "supported")
    assert row.configmap_key == "proxy-body-size"


def test_an_alias_names_the_setting_it_is_for() -> None:
    row = next(row for row in rows() if row.name == "whitelist-source-range" and row.kind == "annotation")
    assert row.alias_of == "allowlist-source-range"


def test_the_table_is_sound_markdown() -> None:
    table = to_markdown(rows())
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {10}
    assert table.count("## Annotations: ") == len({setting.group for setting in ANNOTATIONS.values()})
    assert table.count("`server-alias`") == 1


def test_the_table_does_not_depend_on_when_it_is_made() -> None:
    assert to_markdown(rows()) == to_markdown(rows())


def test_the_page_says_once_around_which_annotations_spaces_are_not_ignored() -> None:
    lead = to_markdown(rows()).partition("\n")[0]
    named = {name for name in ANNOTATIONS if f"`{name}`" in lead}
    for name, text in (("app-root", " /x"), ("rewrite-target", "/x "), ("permanent-redirect", " http://a.test")):
        assert ANNOTATIONS[name].exact and name in named
        with pytest.raises(InvalidValue):
            ANNOTATIONS[name].type.parse(text)
    assert all(ANNOTATIONS[name].exact for name in named)
