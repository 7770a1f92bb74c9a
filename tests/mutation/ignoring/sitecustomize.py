"""Makes Tidegate ignore settings, in each Python process that has this folder on its path.

Its text is read and judged as ever, so that findings and refusals stay what they are; the value is then left out, as if
it had never been set. An alias is a name of its own: ignored under this name alone.

Which setting that is, an object says itself: an Ingress by the annotation `tidegate-test-ignored` (beside the others,
with their prefix), the ConfigMap by a key of that name. For objects that say nothing there is `TIDEGATE_TEST_IGNORED`:
`annotation/NAME` or `configmap/NAME`, or several of them with commas between.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import MappingProxyType, ModuleType
from typing import Any

MARK = "tidegate-test-ignored"
IGNORED = os.environ.get("TIDEGATE_TEST_IGNORED", "").split(",")


def names(kind: str, marked: str) -> frozenset[str]:
    """The settings that an object is to miss."""
    return frozenset([marked] if marked else [one.partition("/")[2] for one in IGNORED if one.startswith(f"{kind}/")])


def ignore_annotations(module: ModuleType) -> None:
    """An ignored annotation no longer leaves a value."""
    resolver: Any = module._Resolver
    begin, keep = resolver.__init__, resolver._keep

    def begin_marked(self: Any, object_key: Any, globals_: Any, prefix: str, written: Any, **more: Any) -> None:
        self.ignored = names("annotation", written.pop(MARK, ""))
        begin(self, object_key, globals_, prefix, written, **more)

    def keep_others(self: Any, name: str, setting: Any, value: Any) -> None:
        if name not in self.ignored:
            keep(self, name, setting, value)

    resolver.__init__, resolver._keep = begin_marked, keep_others


def ignore_configmap_keys(module: ModuleType) -> None:
    """An ignored key of the ConfigMap no longer leaves a value."""
    read: Any = module.read_configmap

    def read_others(configmap: Any) -> Any:
        if configmap is None:
            return read(None)
        data = dict(configmap.data)
        ignored = names("configmap", data.pop(MARK, ""))
        settings, findings = read(type(configmap)(configmap.metadata, data))
        values = {name: value for name, value in settings.values.items() if name not in ignored}
        return replace(settings, values=MappingProxyType(values)), findings

    module.read_configmap = read_others  # type: ignore[attr-defined]


CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "tidegate.settings.ingress_settings": ignore_annotations,
    "tidegate.settings.global_settings": ignore_configmap_keys,
}


class Changing(MetaPathFinder):
    """Changes these modules as soon as they have been imported."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        change = CHANGES.get(fullname)
        spec = PathFinder.find_spec(fullname, path, target) if change else None
        if change is None or spec is None or spec.loader is None:
            return None
        loader: Any = spec.loader
        execute = loader.exec_module

        def execute_and_change(module: ModuleType) -> None:
            execute(module)
            change(module)

        loader.exec_module = execute_and_change
        return spec


sys.meta_path.insert(0, Changing())
