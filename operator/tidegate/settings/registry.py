"""The registry: every annotation and ConfigMap key that Tidegate knows, by name.

It is collected from the constants of the declaring modules, in the order of the families and of their source. A name
that ends in `*` stands for all names that begin so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from types import MappingProxyType, ModuleType
from typing import Final

from tidegate.settings import annotations as ann
from tidegate.settings import configmap as cm
from tidegate.settings.setting import AnySetting, Setting

_ANNOTATION_MODULES: Final = (
    ann.redirects,
    ann.rewriting,
    ann.balancing,
    ann.canary,
    ann.affinity,
    ann.basic_auth,
    ann.external_auth,
    ann.client_certs,
    ann.access,
    ann.limits,
    ann.cors,
    ann.errors,
    ann.proxying,
    ann.backend_tls,
    ann.client_tls,
    ann.backends,
    ann.logging,
    ann.snippets,
    ann.dead,
)
_CONFIGMAP_MODULES: Final = (
    cm.security,
    cm.logging,
    cm.client,
    cm.access,
    cm.forwarding,
    cm.proxying,
    cm.redirects,
    cm.tls,
    cm.limits,
    cm.compression,
    cm.processes,
    cm.snippets,
    cm.streams,
    cm.global_auth,
    cm.tracing,
    cm.modsecurity,
    cm.dead,
)


def collect(modules: Iterable[ModuleType]) -> Mapping[str, AnySetting]:
    """The settings declared in modules by each of their names; raise ValueError if two have the same one."""
    found: dict[str, AnySetting] = {}
    for module in modules:
        for setting in vars(module).values():
            if not isinstance(setting, Setting):
                continue
            for name in setting.names:
                if name in found:
                    raise ValueError(f"two settings are named {name!r}")
                found[name] = setting
    return MappingProxyType(found)


ANNOTATIONS: Final[Mapping[str, AnySetting]] = collect(_ANNOTATION_MODULES)
"""Annotations by name without prefix; an alias maps to the setting that it is another name of."""

CONFIGMAP_KEYS: Final[Mapping[str, AnySetting]] = collect(_CONFIGMAP_MODULES)
"""Keys of the ConfigMap by name."""

OVERRIDES: Final[Mapping[str, AnySetting]] = MappingProxyType(
    {setting.configmap_key: setting for setting in ANNOTATIONS.values() if setting.configmap_key is not None}
)
"""For a key of the ConfigMap, the annotation that takes its place on an Ingress."""


def _families(settings: Mapping[str, AnySetting]) -> tuple[tuple[str, AnySetting], ...]:
    return tuple((name[:-1], setting) for name, setting in settings.items() if name.endswith("*"))


_ANNOTATION_FAMILIES: Final = _families(ANNOTATIONS)
_CONFIGMAP_FAMILIES: Final = _families(CONFIGMAP_KEYS)


def find_annotation(name: str) -> AnySetting | None:
    """The annotation of this name (without prefix), if it is known."""
    return ANNOTATIONS.get(name) or _member(name, _ANNOTATION_FAMILIES)


def find_configmap_key(name: str) -> AnySetting | None:
    """The ConfigMap key of this name, if it is known."""
    return CONFIGMAP_KEYS.get(name) or _member(name, _CONFIGMAP_FAMILIES)


def _member(name: str, families: tuple[tuple[str, AnySetting], ...]) -> AnySetting | None:
    return next((setting for beginning, setting in families if name.startswith(beginning)), None)


@lru_cache(maxsize=4096)
def similar_annotation(name: str) -> str:
    """The known annotation that an unknown name is probably meant to be; empty if none comes near."""
    return _similar(name, ANNOTATIONS)


@lru_cache(maxsize=1024)
def similar_configmap_key(name: str) -> str:
    """The known ConfigMap key that an unknown name is probably meant to be; empty if none comes near."""
    return _similar(name, CONFIGMAP_KEYS)


def _similar(name: str, known: Mapping[str, AnySetting]) -> str:
    # The comparison takes time in the square of the length, and names come from users.
    if len(name) > 64:
        return ""
    return next(iter(get_close_matches(name, known, n=1, cutoff=0.8)), "")
