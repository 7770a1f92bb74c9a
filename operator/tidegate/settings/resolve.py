"""From texts to settings: the ConfigMap first, then each Ingress over it. Pure, and cheap where nothing is set."""

from __future__ import annotations

from tidegate.settings.global_settings import GlobalSettings, read_configmap
from tidegate.settings.ingress_settings import Fingerprint, IngressSettings, resolve

__all__ = ["Fingerprint", "GlobalSettings", "IngressSettings", "read_configmap", "resolve"]
