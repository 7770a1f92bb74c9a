"""TLS that goes to the backend undecrypted (reference: behaviour 20).

A host whose Ingress says so is looked up by its SNI before TLS begins. Where its path `/` leads, all of its TLS goes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from tidegate.findings import Finding, Severity
from tidegate.model import CATCH_ALL, Endpoint, Passthrough
from tidegate.settings import annotations as ann
from tidegate.settings.setting import OriginKind
from tidegate.translate.acceptance import Hold, View
from tidegate.translate.backends import BackendName
from tidegate.translate.routes import Location, RouteContext, field_of

FLAG = "--enable-ssl-passthrough"


def passthrough_of(
    name: str, views: list[View], root: Location | None, context: RouteContext
) -> tuple[BackendName | None, list[Finding]]:
    """Where TLS of a host goes, None for the ordinary way; `root` is what the host does with `/`.

    The oldest Ingress that says anything about it decides. It has to be of the namespace that `/` belongs to: nobody
    switches encryption off for others.
    """
    view = _asking(views)
    if view is None:
        return None, []

    def ordinary(why: str) -> tuple[None, list[Finding]]:
        field = field_of(view, ann.SSL_PASSTHROUGH.name, context)
        message = f"{why}; TLS of host {name!r} ends here"
        return None, [Finding(view.ingress.key, field, Severity.WARNING, "Ignored", message)]

    if not context.options.ssl_passthrough:
        return ordinary(f"this needs {FLAG}")
    if name == CATCH_ALL or name.startswith("*."):
        return ordinary("only a host with a full name can be told by its SNI")
    backend, fault = _backend_of_root(view, root)
    return (backend, []) if backend is not None else ordinary(fault)


def backend_of_passthrough(views: list[View], root: Location | None) -> BackendName | None:
    """The backend that expects TLS, as its host asks to pass it through: what ends here reaches it over TLS, too."""
    view = _asking(views)
    return _backend_of_root(view, root)[0] if view is not None else None


def _asking(views: list[View]) -> View | None:
    """The Ingress that asks to pass a host through: the oldest one that says anything about it, if it does ask."""
    view = next((view for view in views if view.hold is Hold.NONE and _says(view)), None)
    return view if view is not None and view.settings.get(ann.SSL_PASSTHROUGH) else None


def _backend_of_root(view: View, root: Location | None) -> tuple[BackendName | None, str]:
    """The backend of `/` that an Ingress may say this about; else None, and why."""
    if root is None or root.backend is None or root.view.hold is not Hold.NONE:
        return None, "the path / has no backend of its own"
    if root.view.ingress.metadata.namespace != view.ingress.metadata.namespace:
        return None, f"the path / belongs to namespace {root.view.ingress.metadata.namespace!r}"
    return root.backend, ""


def _says(view: View) -> bool:
    return view.settings.value(ann.SSL_PASSTHROUGH).origin.kind is OriginKind.ANNOTATION


class Passthroughs:
    """The hosts whose TLS is passed through, with the endpoints that they have now."""

    def __init__(self) -> None:
        self.published: dict[str, Passthrough] = {}
        self._backends: dict[str, str] = {}
        self._hosts: defaultdict[str, set[str]] = defaultdict(set)

    def update(
        self,
        wanted: Mapping[str, BackendName | None],
        changed: Iterable[str],
        endpoints_of: Callable[[str], tuple[Endpoint, ...]],
    ) -> dict[str, Passthrough | None]:
        """Take over hosts that were translated anew and backends that changed; what is different now, None for gone."""
        dirty = {host for backend in changed for host in self._hosts.get(backend, ())} | set(wanted)
        for host, backend in wanted.items():
            if (former := self._backends.pop(host, None)) is not None:
                self._hosts[former].discard(host)
            if backend is not None:
                self._backends[host] = str(backend)
                self._hosts[str(backend)].add(host)
        delta: dict[str, Passthrough | None] = {}
        for host in dirty:
            name = self._backends.get(host)
            value = Passthrough(host, name, endpoints_of(name)) if name is not None else None
            if value == self.published.get(host):
                continue
            delta[host] = value
            if value is None:
                del self.published[host]
            else:
                self.published[host] = value
        return delta
