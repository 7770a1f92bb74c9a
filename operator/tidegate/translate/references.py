"""The Secrets and ConfigMaps that annotations name: those of other namespaces only where the ConfigMap allows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tidegate.resources.model import ConfigMap, Secret
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings
from tidegate.settings.texts import ObjectRef
from tidegate.translate.reader import Reader

T = TypeVar("T", Secret, ConfigMap)


class Denied(Exception):
    """A security setting that cannot be carried out; `field` is the annotation's name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def foreign(kind: str, place: str, namespace: str, globals_: GlobalSettings) -> str:
    """Why an Ingress of `namespace` may name no object of the namespace `place`; empty if it may."""
    if place == namespace or globals_.get(cm.ALLOW_CROSS_NAMESPACE_RESOURCES):
        return ""
    return f"found a {kind} of namespace {place!r}, allowed: {namespace!r} (allow-cross-namespace-resources is off)"


def _named(
    field: str,
    kind: str,
    reference: ObjectRef,
    namespace: str,
    globals_: GlobalSettings,
    find: Callable[[str, str], T | None],
) -> T:
    """The object that an annotation names. Raises Denied where it may not be named or is not there."""
    if fault := foreign(kind, reference.namespace, namespace, globals_):
        raise Denied(field, fault)
    found = find(reference.namespace, reference.name)
    if found is None:
        raise Denied(field, f"there is no {kind} {reference}")
    return found


def named_secret(field: str, reference: ObjectRef, namespace: str, globals_: GlobalSettings, reader: Reader) -> Secret:
    """The Secret that an annotation names. Raises Denied where it may not be named or is not there."""
    return _named(field, "Secret", reference, namespace, globals_, reader.secret)


def named_configmap(
    field: str, reference: ObjectRef, namespace: str, globals_: GlobalSettings, reader: Reader
) -> ConfigMap:
    """The ConfigMap that an annotation names. Raises Denied where it may not be named or is not there."""
    return _named(field, "ConfigMap", reference, namespace, globals_, reader.configmap)
