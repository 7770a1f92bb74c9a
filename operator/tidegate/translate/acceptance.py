"""Whether an Ingress is ours and accepted, and which revision of it is in force (reference: behaviour 9 and 10)."""

from __future__ import annotations

import re
from enum import Enum

import msgspec

from tidegate.findings import Finding, Severity, brief
from tidegate.model import listens_of
from tidegate.resources.model import Ingress
from tidegate.settings import annotations as ann
from tidegate.settings.patterns import pattern_fault
from tidegate.settings.resolve import GlobalSettings, IngressSettings, resolve
from tidegate.store import Store
from tidegate.translate.options import Options

CLASS_ANNOTATION = "kubernetes.io/ingress.class"

INSPECTED = re.compile(r"/etc/(?:passwd|shadow|group|nginx|ingress-controller)|/var/run/secrets|_by_lua", re.IGNORECASE)
DIRECTIVE = re.compile(r"(?:alias|root)\s", re.IGNORECASE)  # suspicious with a semicolon anywhere behind it


class Hold(Enum):
    """What stands on the paths of an Ingress that is not accepted."""

    NONE = "none"
    NOT_FOUND = "not found"  # the default backend answers, as if nothing were declared
    CLOSED = "closed"  # 503: an accepted revision was replaced by one with other security settings


class View(msgspec.Struct, frozen=True):
    """One Ingress as it is in force.

    `ingress` and `settings` are those of the revision served, which after a refusal is the last accepted one;
    `wanted` is what the source says, `last` the revision to go back to. `accepted` tells whether all are the same.
    """

    ingress: Ingress
    settings: IngressSettings
    wanted: Ingress
    last: Ingress | None
    accepted: bool
    hold: Hold
    findings: tuple[Finding, ...]

    @property
    def canary(self) -> bool:
        return self.settings.get(ann.CANARY)

    @property
    def order(self) -> tuple[int, str]:
        """Sorts the oldest first; of the same second the larger `namespace/name` first (reference: behaviour 2)."""
        meta = self.ingress.metadata
        name = f"{meta.namespace}/{meta.name}"
        return (meta.created, "".join(chr(0x10FFFF - ord(letter)) for letter in name) + chr(0x10FFFF))


def is_ours(ingress: Ingress, store: Store, options: Options) -> bool:
    """The class rules: field, then annotation, then the flag for Ingresses without class."""
    if options.watch_namespace and ingress.metadata.namespace != options.watch_namespace:
        return False
    if options.namespace_selector is not None:
        namespace = store.namespace(ingress.metadata.namespace)
        if namespace is None or not options.namespace_selector.matches(namespace.metadata.labels):
            return False
    if ingress.ingress_class_name is not None:
        found = store.ingress_class(ingress.ingress_class_name)
        if found is None:
            return False
        by_name = options.ingress_class_by_name and found.metadata.name == options.ingress_class
        return by_name or found.controller == options.controller_class
    annotation = ingress.metadata.annotations.get(CLASS_ANNOTATION)
    if annotation is not None:
        return annotation == options.ingress_class
    return options.watch_ingress_without_class


def inspect(ingress: Ingress) -> Finding | None:
    """What deep inspection has against an Ingress (reference: behaviour 10)."""
    fields: list[tuple[str, str]] = []
    for number, rule in enumerate(ingress.rules):
        fields.append((f"spec.rules[{number}].host", rule.host))
        for place, path in enumerate(rule.paths or ()):
            fields.append((f"spec.rules[{number}].http.paths[{place}].path", path.path))
    for number, tls in enumerate(ingress.tls):
        fields.append((f"spec.tls[{number}].secretName", tls.secret_name))
        fields.extend((f"spec.tls[{number}].hosts[{place}]", host) for place, host in enumerate(tls.hosts))
    for field, text in fields:
        directive = DIRECTIVE.search(text)
        if INSPECTED.search(text) or (directive and text.find(";", directive.end()) >= 0):
            return Finding(
                ingress.key,
                field,
                Severity.ERROR,
                "Rejected",
                f"found {brief(text)}, which looks like an attempt to reach files or code of the server",
            )
    return None


def _check_patterns(ingress: Ingress, settings: IngressSettings) -> Finding | None:
    if not settings.get(ann.USE_REGEX) and not settings.get(ann.REWRITE_TARGET):
        return None
    for number, rule in enumerate(ingress.rules):
        for place, path in enumerate(rule.paths or ()):
            if fault := pattern_fault(path.path):
                return Finding(
                    ingress.key,
                    f"spec.rules[{number}].http.paths[{place}].path",
                    Severity.ERROR,
                    "Rejected",
                    f"found {brief(path.path)}, which is not a valid regular expression: {fault}",
                )
    return None


def _listen_fault(settings: IngressSettings, options: Options) -> str:
    """Why lines for `stream` may not listen where they say: it is somebody else's place. Empty: they may."""
    lines = settings.get(ann.STREAM_SNIPPET)
    for address in listens_of(lines):
        port = address.rpartition(":")[2]
        if address.startswith("unix:") or not port.isascii() or not port.isdigit():
            return f"found a listener at {brief(address)}, allowed: a port, with an address before it or not"
        if use := options.reserved_ports.get(int(port)):
            return f"found a listener at port {int(port)}, which Tidegate itself uses ({use})"
    return ""


def _catch_all(ingress: Ingress, options: Options) -> bool:
    """Whether this is what nobody may have; one that becomes it is gone, whatever was accepted before."""
    return options.disable_catch_all and ingress.default_backend is not None


def _refusal(ingress: Ingress, settings: IngressSettings, options: Options) -> Finding | None:
    if options.deep_inspect and (found := inspect(ingress)):
        return found
    if _catch_all(ingress, options):
        return Finding(
            ingress.key,
            "spec.defaultBackend",
            Severity.ERROR,
            "Rejected",
            "a default backend is not allowed here (--disable-catch-all)",
        )
    if fault := _listen_fault(settings, options):
        field = f"metadata.annotations[{options.annotations_prefix}/{ann.STREAM_SNIPPET.name}]"
        return Finding(ingress.key, field, Severity.ERROR, "Rejected", fault)
    return _check_patterns(ingress, settings)


def _union(first: Ingress, second: Ingress) -> Ingress:
    return msgspec.structs.replace(first, rules=first.rules + second.rules)


def _other_guards(settings: IngressSettings, former: IngressSettings) -> bool:
    """Whether a refused revision wants other guards than the one before it: those it would be served with.

    A guard whose text cannot be read is none of the others where the former revision has it too.
    """
    differing = {name for name, _ in settings.security_fingerprint ^ former.security_fingerprint}
    return not differing <= settings.unreadable & {name for name, _ in former.security_fingerprint}


def accept(
    ingress: Ingress,
    last: Ingress | None,
    globals_: GlobalSettings,
    options: Options,
    refused: Finding | None = None,
) -> View:
    """The view of an Ingress that is ours.

    `last` is its last accepted revision, or None; `refused` is why the data plane would not take this one.
    """

    def settings_of(revision: Ingress) -> IngressSettings:
        return resolve(revision, globals_, options.annotations_prefix, validate=options.validate_annotations)

    settings = settings_of(ingress)
    refusal = refused or _refusal(ingress, settings, options)
    findings = settings.findings + ((refusal,) if refusal else ())
    if not settings.rejected and refusal is None:
        return View(ingress, settings, ingress, ingress, True, Hold.NONE, findings)
    if last is None or _catch_all(ingress, options):
        return View(ingress, settings, ingress, None, False, Hold.NOT_FOUND, findings)
    former = settings_of(last)
    # What was accepted may not be any more (a lower risk level): then it would be served without its guards.
    unguarded = former.rejected and bool(former.security_fingerprint)
    if unguarded or _other_guards(settings, former):
        return View(_union(ingress, last), former, ingress, last, False, Hold.CLOSED, findings)
    return View(last, former, ingress, last, False, Hold.NONE, findings)
