from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.findings import Finding, Severity
from tidegate.sources import manifests, yamltext
from tidegate.sources.entries import read_text
from tidegate.sources.manifests import ParsedFile, parse


def values(text: bytes | str, file: str = "a.yaml") -> list[Any]:
    parsed = parse(text, file)
    assert parsed.findings == ()
    return [document.manifest for document in parsed.documents]


def refused(text: bytes | str, file: str = "a.yaml") -> Finding:
    parsed = parse(text, file)
    assert not parsed.readable
    (finding,) = parsed.findings
    assert (finding.severity, finding.reason) == (Severity.ERROR, "UnreadableFile")
    return finding


def test_documents_come_with_the_line_where_they_begin() -> None:
    parsed = parse("# first\na: 1\n---\n\nb: 2\n---\n---\n# nothing\n---\n- c\n", "a.yaml")
    assert [(d.manifest, d.line) for d in parsed.documents] == [({"a": 1}, 2), ({"b": 2}, 5), (["c"], 10)]


@pytest.mark.parametrize("text", ["", "\n", "---\n", "# nothing\n", "---\n---\n", "null"])
def test_empty_documents_are_left_out(text: str) -> None:
    assert values(text) == []


def test_scalars_are_those_of_yaml_1_1_but_times_stay_text() -> None:
    text = """
        time: 2024-01-01
        stamp: 2024-01-01T00:00:00Z
        yes: on
        int: [1, 0x10, 010, 1_000, '1', !!str 1, !!int '7']
        float: [1.5, .inf, 1e3]
        nothing: ~
        odd: [0x_, '', "a\\nb"]
        block: |
          a
           b
        folded: >-
          a
          b
    """
    assert values(text) == [
        {
            "time": "2024-01-01",
            "stamp": "2024-01-01T00:00:00Z",
            "true": True,
            "int": [1, 16, 8, 1000, "1", "1", 7],
            "float": [1.5, float("inf"), "1e3"],
            "nothing": None,
            "odd": ["0x_", "", "a\nb"],
            "block": "a\n b\n",
            "folded": "a b",
        }
    ]


def test_numbers_as_keys_become_strings_as_kubectl_does_it() -> None:
    assert values("9000: shop/web:80\n1.5: x\ntrue: y\n") == [{"9000": "shop/web:80", "1.5": "x", "true": "y"}]


def test_aliases_and_merge_keys_work() -> None:
    text = "base: &b {x: 1, y: 2}\nsame: *b\nmore:\n  <<: *b\n  y: 3\nlist:\n  <<: [{x: 5}, *b]\n"
    base = {"x": 1, "y": 2}
    assert values(text) == [{"base": base, "same": base, "more": {"x": 1, "y": 3}, "list": {"x": 5, "y": 2}}]


@pytest.mark.parametrize("text", ["a: &x [*x]", "&x {a: {b: *x}}", "&x {<<: *x}"])
def test_cyclic_yaml_is_refused(text: str) -> None:
    assert "cycle" in refused(text).message


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    finding = refused("\n".join(lines))
    assert "aliases expand" in finding.message
    assert finding.place.startswith("a.yaml:6:")


def test_an_alias_bomb_of_long_text_is_refused() -> None:
    bomb = f"a: &a '{'x' * 1_000_000}'\nb: &b [{', '.join(['*a'] * 100)}]\n"
    assert "aliases expand" in refused(bomb).message


def test_plain_use_of_aliases_is_no_bomb() -> None:
    text = "a: &a {b: [1, 2, 3]}\nl:\n" + "- *a\n" * 5000
    assert len(values(text)[0]["l"]) == 5000


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 10_000, "- " * 5_000 + "a"])
def test_deep_nesting_is_refused(text: str) -> None:
    assert "nested" in refused(text).message


def test_deep_json_is_refused() -> None:
    assert "nested" in refused("[" * 100_000 + "]" * 100_000, "a.json").message


def test_too_many_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamltext, "MAX_NODES", 100)
    assert "more than 100 values" in refused("- a\n" * 101).message


def test_a_file_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MAX_BYTES", 1024 * 1024)
    assert "larger than 1 MiB" in refused(b"a" * (1024 * 1024 + 1)).message


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1,2\nb: 3\n", "a.yaml:2:2"),
        ("a: 1\nb: [", "a.yaml:2:5"),
        ("a: 1\nb: [\n", "a.yaml:3:1"),
        ("a: b\n\tc: d", "a.yaml:2:1"),
        ("ok: 1\na: {{ .Values.x }}\n", "a.yaml:2:5"),
        ("a: *nothing", "a.yaml:1:4"),
        ("a: 1\nb: !!python/object:os.system x", "a.yaml:2:4"),
        ("a: 1\nb: !secret x", "a.yaml:2:4"),
        ("a: 1\nb: !!binary YQ==", "a.yaml:2:4"),
        ("a: !!int x", "a.yaml:1:4"),
        ("? [a]\n: b", "a.yaml:1:3"),
        (": b", "a.yaml:1:1"),
        ("<<: 5", "a.yaml:1:5"),
        (b"a: 1\nb: \xff", "a.yaml:2:4"),
        ("a: 1\nb: x\x00y", "a.yaml:2:5"),
        ("a: \ud800", "a.yaml:1:4"),
    ],
)
def test_a_fault_is_named_with_file_line_and_column(text: bytes | str, place: str) -> None:
    assert refused(text).place == place


def test_the_readable_documents_of_a_faulty_file_are_given() -> None:
    parsed = parse("a: 1\n---\nb: [\n---\nc: 2\n", "a.yaml")
    assert not parsed.readable
    assert [(d.manifest, d.line) for d in parsed.documents] == [({"a": 1}, 1), ({"c": 2}, 5)]
    assert [finding.place for finding in parsed.findings] == ["a.yaml:4:1"]


def test_a_key_that_is_there_twice_is_a_warning_and_the_last_one_counts() -> None:
    parsed = parse("a: 1\nb: 2\na: 3\n", "a.yaml")
    assert parsed.readable
    assert parsed.documents[0].manifest == {"a": 3, "b": 2}
    (finding,) = parsed.findings
    assert (finding.severity, finding.reason, finding.place) == (Severity.WARNING, "DuplicateKey", "a.yaml:3:1")


@pytest.mark.parametrize("bom", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_understood(bom: str) -> None:
    assert values("a: ä\n".encode(bom)) == [{"a": "ä"}]


def test_json_files_hold_one_or_more_documents() -> None:
    text = '\n{"a": 1, "b": 1}\n{"a": [2]}\n'
    parsed = parse(text, "a.json")
    assert [(d.manifest, d.line) for d in parsed.documents] == [({"a": 1, "b": 1}, 2), ({"a": [2]}, 3)]
    assert values('{\n\t"a": 1}', "a.yaml") == [{"a": 1}]


def test_a_repeated_key_in_json_is_a_warning() -> None:
    parsed = parse('{"a": 1, "a": 2}', "a.json")
    assert parsed.documents[0].manifest == {"a": 2}
    assert [finding.reason for finding in parsed.findings] == ["DuplicateKey"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{\n "a": }', "a.json:2:7"),
        ('{"a": NaN}', "a.json:1:1"),
        ('{"a": "\\ud800"}', "a.json:1:1"),
        ("a: 1", "a.json:1:1"),
        ('{"a": ' + "9" * 5000 + "}", "a.json:1:1"),
    ],
)
def test_faults_in_json_are_named_with_their_place(text: str, place: str) -> None:
    assert refused(text, "a.json").place == place


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_yaml_and_json_that_were_written_are_read_back(value: Any) -> None:
    expected = [] if value is None else [value]
    assert values(json.dumps(value), "a.json") == expected
    assert values(yaml.safe_dump(value)) == expected


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(), st.text(), st.text(alphabet="{}[]:,-?&*!|>'\"%@`#\n\t ab1~<=")))
def test_no_text_makes_parse_raise(text: bytes | str) -> None:
    for file in ("a.yaml", "a.json"):
        parsed = parse(text, file)
        assert isinstance(parsed, ParsedFile)
        assert parsed.readable or parsed.findings


CONFIG = "{apiVersion: v1, kind: ConfigMap, metadata: {name: %s}}"


def test_lists_are_expanded() -> None:
    items = ", ".join(CONFIG % name for name in "ab")
    nested = "{apiVersion: v1, kind: List, items: [" + CONFIG % "c" + "]}"
    content = read_text("{apiVersion: v1, kind: List, items: [" + items + ", " + nested + "]}", "a.yaml")
    assert [entry.key.name for entry in content.entries] == ["a", "b", "c"]
    item = "{metadata: {name: x}, spec: {controller: a.io/b}}"
    typed = "{apiVersion: networking.k8s.io/v1, kind: IngressClassList, items: [" + item + "]}"
    assert [str(entry.key) for entry in read_text(typed, "a.yaml").entries] == ["IngressClass x"]


def test_a_custom_kind_that_is_called_list_is_no_list() -> None:
    content = read_text("{apiVersion: x.io/v1, kind: DenyList, spec: {}}", "a.yaml")
    assert [finding.reason for finding in content.ignored] == ["IgnoredKind"]


def test_a_list_without_a_list_of_items_is_refused() -> None:
    (finding,) = read_text("{apiVersion: v1, kind: List, items: x}", "a.yaml").findings
    assert (finding.reason, finding.field) == ("Invalid", "items")


def test_an_invalid_object_beside_text_of_unbounded_depth_is_reported() -> None:
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: A}}\n---\n" + "[" * 60_000
    content = read_text(text, "a.yaml")
    assert {finding.reason for finding in content.findings} == {"Invalid", "UnreadableFile"}


def test_a_finding_about_a_field_names_its_line_and_column() -> None:
    text = """# a comment
apiVersion: v1
kind: Service
metadata: {name: a}
spec:
  type: Port
  ports:
  - port: 80
    name: ok
  - port: 81
    targetPort: 70000
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata:
    name: b
    annotations:
      a.io/x: true
"""
    places = {finding.field: finding.place for finding in read_text(text, "a.yaml").findings}
    assert places == {
        "spec.type": "a.yaml:6:3",
        "spec.ports[1].targetPort": "a.yaml:11:5",
        "spec.ports[1].name": "a.yaml:10:5",
        "metadata.annotations[a.io/x]": "a.yaml:21:7",
    }
