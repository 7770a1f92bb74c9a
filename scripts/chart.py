"""Makes what the chart has twice: README.md and values.schema.json from values.yaml, templates/crds.yaml from crds/."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

PROJECT = Path(__file__).resolve().parents[1]
CHART = PROJECT / "charts" / "tidegate"
KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z][\w.-]*):")
COMMENT = re.compile(r"^ *# (?P<text>.*)$")


class Value(NamedTuple):
    """One documented value: a leaf of the settings, even where its default is a mapping."""

    path: tuple[str, ...]
    default: Any
    text: str
    enum: tuple[str, ...]


def documented(source: str) -> list[Value]:
    """The values that have a comment beginning with `--`."""
    defaults = yaml.safe_load(source)
    found: list[Value] = []
    path: list[tuple[int, str]] = []
    text, enum = "", ()
    for line in source.splitlines():
        if match := COMMENT.match(line):
            words = match["text"]
            if words.startswith("-- "):
                text = words.removeprefix("-- ")
            elif words.startswith("@enum "):
                enum = tuple(item.strip() for item in words.removeprefix("@enum ").split(","))
            continue
        if match := KEY.match(line):
            indent = len(match["indent"])
            path = [(depth, key) for depth, key in path if depth < indent] + [(indent, match["key"])]
            if text:
                names = tuple(key for _, key in path)
                value = defaults
                for name in names:
                    value = value[name]
                found.append(Value(names, value, text, enum))
        text, enum = "", ()
    return found


def schema_of(value: Value) -> dict[str, Any]:
    """What a value may be, from its default."""
    found: dict[str, Any] = {"description": value.text}
    match value.default:
        case _ if value.enum:
            found["enum"] = list(value.enum)
        case bool():
            found["type"] = "boolean"
        case int():
            found["type"] = ["integer", "string"]
        case str():
            found["type"] = ["string", "integer"]
        case list():
            found["type"] = "array"
        case dict():
            found["type"] = "object"
        case None:
            pass
    return found


def schema(values: list[Value]) -> dict[str, Any]:
    """The whole schema. Sections are closed: a value that nobody knows is refused."""
    root: dict[str, Any] = {"$schema": "http://json-schema.org/draft-07/schema#", **section()}
    for value in values:
        place = root
        for name in value.path[:-1]:
            place = place["properties"].setdefault(name, section())
        place["properties"][value.path[-1]] = schema_of(value)
    root["properties"]["global"].pop("additionalProperties")  # charts above this one have theirs there
    return root


def section() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def readme(values: list[Value]) -> str:
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for value in values:
        default = json.dumps(value.default).replace("|", "\\|")
        text = value.text + (f" One of {', '.join(value.enum)}." if value.enum else "")
        rows.append(f"| `{'.'.join(value.path)}` | `{default}` | {text.replace('|', chr(92) + '|')} |")
    return (CHART / "README.in.md").read_text() + "\n" + "\n".join(rows) + "\n"


def definitions() -> str:
    """The CustomResourceDefinitions as templates: Helm would never upgrade those of a folder `crds`."""
    found = ["{{- /* Made by scripts/chart.py from crds/. */}}", "{{- if .Values.crds.enabled }}"]
    for path in sorted((PROJECT / "crds").glob("*.yaml")):
        text = path.read_text()
        name = yaml.safe_load(text)["metadata"]["name"]
        text = re.sub(r"\{\{|\}\}", lambda braces: '{{ "' + braces[0] + '" }}', text)
        text = re.sub(r"(?m)^#.*\n", "", text)
        keep = "\n  {{- if .Values.crds.keep }}\n  annotations:\n    helm.sh/resource-policy: keep\n  {{- end }}"
        text, count = re.subn(r"(?m)^metadata:$", "metadata:" + keep, text)
        assert count == 1, f"{path} has no line 'metadata:'"
        ours = f'include "tidegate.ours" (list . "CustomResourceDefinition" "{name}" "apiextensions.k8s.io/v1")'
        found += [f"{{{{- if {ours} }}}}", "---", text.strip(), "{{- end }}"]
    return "\n".join([*found, "{{- end }}"]) + "\n"


def made() -> dict[Path, str]:
    """The files and what they have to be."""
    values = documented((CHART / "values.yaml").read_text())
    return {
        CHART / "README.md": readme(values),
        CHART / "values.schema.json": json.dumps(schema(values), indent=2) + "\n",
        CHART / "templates" / "crds.yaml": definitions(),
    }


def main() -> None:
    """With `--check` says what is not in step, and ends with status 1 if anything is."""
    check = sys.argv[1:] == ["--check"]
    stale = {path: text for path, text in made().items() if not path.exists() or path.read_text() != text}
    for path, text in stale.items():
        print(f"chart: {path.relative_to(PROJECT)} {'is not in step: run scripts/chart.py' if check else 'written'}")
        if not check:
            path.write_text(text)
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
