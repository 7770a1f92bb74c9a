"""What the webhook says about one object: whether it is let in, and what it is warned of.

The order of the checks is the retired controller's (reference: behaviour 13); the first that fails decides. Reads the
translator without waiting for it: each look-up is one step, so a translation that goes on beside does no harm.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

import msgspec

from tidegate.admission.paths import find_owner
from tidegate.findings import Finding, ObjectKey, Severity, brief
from tidegate.resources.decode import decode
from tidegate.resources.model import Ingress
from tidegate.settings import annotations as ann
from tidegate.settings import configmap as cm
from tidegate.settings.registry import find_annotation
from tidegate.settings.setting import Support
from tidegate.store import Store
from tidegate.translate.acceptance import accept, inspect, is_ours
from tidegate.translate.engine import Translator
from tidegate.translate.hosts import server_name
from tidegate.translate.options import DEFAULT_PREFIX, Options

STRICT_PATH = re.compile(r"/[A-Za-z0-9._/-]*")
MOST_WARNINGS = 20
LONGEST_WARNING = 240  # Kubernetes cuts longer ones


class Verdict(msgspec.Struct, frozen=True):
    """`message` is why it is refused; empty where it is let in."""

    allowed: bool
    message: str = ""
    warnings: tuple[str, ...] = ()


class Judge:
    """Judges Ingresses beside what the store and the translator have."""

    def __init__(self, store: Store, translator: Translator, options: Options) -> None:
        self._store, self._translator, self._options = store, translator, options

    def judge(self, item: dict[str, Any]) -> Verdict:
        """Whether this Ingress may be written. A refusal names it, for kubectl tells just the file it was in."""
        verdict = self._judged(item)
        name = _name_of(item)
        if verdict.allowed or not name:
            return verdict
        return msgspec.structs.replace(verdict, message=f"{name}: {verdict.message}")

    def _judged(self, item: dict[str, Any]) -> Verdict:
        if (item.get("metadata") or {}).get("deletionTimestamp"):
            return Verdict(True)
        decoded = decode(item, created=2**62, uid="", place="")
        if not isinstance(decoded.resource, Ingress):
            errors = [finding for finding in decoded.findings if finding.severity is Severity.ERROR]
            return Verdict(False, _joined(errors) or "this is no Ingress")
        ingress, options = decoded.resource, self._options
        if options.deep_inspect and (found := inspect(ingress)):
            return Verdict(False, found.words)
        if not is_ours(ingress, self._store, options):
            return Verdict(True)
        warnings = [*_path_faults(ingress), *self._retired(ingress)]
        refusal = self._refusal(ingress, warnings)
        return Verdict(not refusal, refusal, tuple(_shortened(text) for text in warnings[:MOST_WARNINGS]))

    def _refusal(self, ingress: Ingress, warnings: list[str]) -> str:
        """Why this Ingress, which is ours, is refused; empty: it is not. Adds what it is warned of."""
        settings = self._translator.settings
        if not _is_uuid(ingress.metadata.uid):
            return f"metadata.uid: found {ingress.metadata.uid!r}, allowed: a UUID"
        if settings.get(cm.STRICT_VALIDATE_PATH_TYPE) and (faults := _path_faults(ingress)):
            return faults[0]
        if fault := self._foreign_prefix(ingress):
            return fault
        view = accept(ingress, None, settings, self._options)
        errors = [finding for finding in view.findings if finding.severity is Severity.ERROR]
        if not view.accepted:
            return _joined(errors) or "this revision would not be applied"
        if fault := self._forbidden_snippet(ingress):
            return fault
        warnings += [finding.words for finding in view.findings if finding.severity is not Severity.INFO]
        warnings += self._missing_services(ingress)
        return self._overlap(ingress)

    def _overlap(self, ingress: Ingress) -> str:
        if self._is_canary(ingress):
            return ""
        for host in sorted({server_name(rule.host) for rule in ingress.rules}):
            others = [
                view.ingress
                for view in self._translator.views_of_host(host)
                if view.ingress.key != ingress.key and not self._is_canary(view.ingress)
            ]
            if owner := find_owner(ingress, others, host):
                place = f"{owner.ingress.namespace}/{owner.ingress.name}"
                return f'host "{owner.host}" and path "{owner.path}" is already defined in ingress {place}'
        return ""

    def _is_canary(self, ingress: Ingress) -> bool:
        """Whether it carries the annotation, whatever its value."""
        return f"{self._options.annotations_prefix}/{ann.CANARY.name}" in ingress.metadata.annotations

    def _foreign_prefix(self, ingress: Ingress) -> str:
        own = self._options.annotations_prefix
        if own == DEFAULT_PREFIX:
            return ""
        for name in sorted(ingress.metadata.annotations):
            if name.startswith(f"{DEFAULT_PREFIX}/"):
                return f"metadata.annotations[{name}]: this controller's annotations begin with {own}/"
        return ""

    def _forbidden_snippet(self, ingress: Ingress) -> str:
        """Whatever its prefix: where snippets are forbidden, one that has no effect is refused, too."""
        if self._translator.settings.get(cm.ALLOW_SNIPPET_ANNOTATIONS):
            return ""
        name = next((name for name in sorted(ingress.metadata.annotations) if name.endswith("-snippet")), "")
        return f"metadata.annotations[{name}]: snippets are not allowed (allow-snippet-annotations)" if name else ""

    def _retired(self, ingress: Ingress) -> list[str]:
        found = []
        prefix = f"{self._options.annotations_prefix}/"
        for name in sorted(ingress.metadata.annotations):
            setting = find_annotation(name.removeprefix(prefix)) if name.startswith(prefix) else None
            if setting is not None and setting.support is Support.DEAD:
                found.append(f"annotation {name} is deprecated")
        return found

    def _missing_services(self, ingress: Ingress) -> list[str]:
        namespace = ingress.metadata.namespace
        names = {path.backend.service for rule in ingress.rules for path in rule.paths or () if path.backend}
        missing = sorted(name for name in names if self._store.service(namespace, name) is None)
        return [f"there is no Service {namespace}/{name}: its paths answer 503" for name in missing]


def _path_faults(ingress: Ingress) -> list[str]:
    found = []
    for number, rule in enumerate(ingress.rules):
        for place, path in enumerate(rule.paths or ()):
            if path.path and path.path_type in ("Exact", "Prefix") and not STRICT_PATH.fullmatch(path.path):
                field = f"spec.rules[{number}].http.paths[{place}].path"
                allowed = "letters, digits and . _ - / after a /"
                found.append(f"{field}: found {brief(path.path)} of pathType {path.path_type}, allowed: {allowed}")
    return found


def _name_of(item: dict[str, Any]) -> str:
    """The object in words; empty where it has no name (yet)."""
    meta = item.get("metadata")
    if not isinstance(meta, dict) or not meta.get("name"):
        return ""
    return str(ObjectKey("Ingress", str(meta.get("namespace") or "default"), str(meta["name"])))


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _joined(findings: list[Finding]) -> str:
    return "; ".join(dict.fromkeys(finding.words for finding in findings))


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_WARNING else text[: LONGEST_WARNING - 1] + "…"
