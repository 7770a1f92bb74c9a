"""Where in a text a field of a document stands: for findings, which name `file:line:column`. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

_MAX_TEXT = 2 * 1024 * 1024
_STEP = re.compile(r"(?P<name>[^.\[\]]+)|\[(?P<item>[^\]]*)\]")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def locate(text: str, wanted: Sequence[tuple[int, str]]) -> list[tuple[int, int] | None]:
    """Line and column (from 1) of each wanted (line where the document begins, field path).

    The deepest part of the path that exists counts; None where nothing was found. Only for text that
    `tidegate.sources.manifests.parse` could read, so that its depth is bounded.
    """
    if len(text) > _MAX_TEXT:
        return [None] * len(wanted)
    loader = _Loader(text)
    roots: dict[int, yaml.Node] = {}
    try:
        while loader.check_node():
            root = loader.get_node()
            roots[root.start_mark.line + 1] = root
    except (yaml.YAMLError, RecursionError):
        pass  # what was read so far will do
    finally:
        loader.dispose()
    return [_find(roots.get(line), field) for line, field in wanted]


def _find(node: yaml.Node | None, field: str) -> tuple[int, int] | None:
    if node is None:
        return None
    mark: Any = node.start_mark
    for step in _STEP.finditer(field):
        name = step["name"] if step["name"] is not None else step["item"]
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == name:
                    mark, node = key.start_mark, value
                    break
            else:
                break
        elif isinstance(node, yaml.SequenceNode) and name.isdigit() and int(name) < len(node.value):
            node = node.value[int(name)]
            mark = node.start_mark
        else:
            break
    return mark.line + 1, mark.column + 1
