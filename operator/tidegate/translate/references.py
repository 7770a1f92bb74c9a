"""The Secrets and ConfigMaps that annotations name: those of other namespaces only where the ConfigMap allows it."""

from __future__ import annotations

from tidegate.resources.model import ConfigMap, Secret
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings
from tidegate.settings.texts import ObjectRef
from tidegate.translate.reader import Reader


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


def named_secret(field: str, reference: ObjectRef, namespace: str, globals_: GlobalSettings, reader: Reader) -> Secret:
    """The Secret that an annotation names. Raises Denied where it may not be named or is not there."""
    if fault := foreign("Secret", reference.namespace, namespace, globals_):
        raise Denied(field, fault)
    secret = reader.secret(reference.namespace, reference.name)
    if secret is None:
        raise Denied(field, f"there is no Secret {reference}")
    return secret


def named_configmap(
    field: str, reference: ObjectRef, namespace: str, globals_: GlobalSettings, reader: Reader
) -> ConfigMap:
    """The ConfigMap that an annotation names. Raises Denied where it may not be named or is not there."""
    if fault := foreign("ConfigMap", reference.namespace, namespace, globals_):
        raise Denied(field, fault)
    configmap = reader.configmap(reference.namespace, reference.name)
    if configmap is None:
        raise Denied(field, f"there is no ConfigMap {reference}")
    return configmap
