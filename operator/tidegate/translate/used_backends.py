"""The backends that something uses: each is translated again when what it read, or who uses it, changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from tidegate.findings import Finding
from tidegate.model import Backend
from tidegate.store import Store
from tidegate.translate.acceptance import Hold, View
from tidegate.translate.backends import (
    BackendName,
    BackendResult,
    ExternalHost,
    Target,
    followed,
    translate_backend,
    translate_external,
)
from tidegate.translate.options import Options
from tidegate.translate.reader import Dependencies, Reader, Unit
from tidegate.translate.tally import Tally


class UsedBackends:
    """`dependencies` and `findings` are the translator's."""

    def __init__(self, dependencies: Dependencies, findings: Tally[Finding]) -> None:
        self._dependencies, self._findings = dependencies, findings
        self.results: dict[str, BackendResult] = {}
        self.names: Tally[str] = Tally()  # host names whose addresses are wanted
        self._users: defaultdict[str, set[str]] = defaultdict(set)
        self._targets: dict[str, Target] = {}

    def claim(self, host: str, former: Iterable[Target], wanted: Iterable[Target]) -> set[str]:
        """A host used the former ones and now uses others; those whose users changed."""
        before = {str(target): target for target in former}
        after = {str(target): target for target in wanted}
        for name in before.keys() - after.keys():
            self._users[name].discard(host)
        for name in after.keys() - before.keys():
            self._users[name].add(host)
            self._targets[name] = after[name]
        return set(before.keys() ^ after.keys())

    def update(
        self,
        store: Store,
        dirty: set[str],
        default: BackendName | None,
        options: Options,
        views_of: Callable[[str], list[View]],
    ) -> dict[str, Backend | None]:
        """Translate backends; what is different now, None for gone. `views_of`: who names one, the oldest first."""
        changed: dict[str, Backend | None] = {}
        if default is not None:
            self._targets[str(default)] = default
        for name in dirty:
            wanted = self._users.get(name) or (default is not None and name == str(default))
            former = self.results.get(name)
            if not wanted:
                self._dependencies.replace(Unit("backend", name), set())
                self._users.pop(name, None)
                self._targets.pop(name, None)
                self._keep(name, None)
                if former is not None:
                    changed[name] = None
                continue
            reader = Reader(store)
            views = [view for view in views_of(name) if view.hold is Hold.NONE]
            settings = views[0].settings if views else None
            target = self._targets[name]
            if isinstance(target, ExternalHost):
                result = translate_external(target, reader, options)
            else:
                cookies = followed([view.settings for view in views if not view.canary])
                result = translate_backend(target, settings, reader, options, cookies)
            self._dependencies.replace(Unit("backend", name), reader.read)
            self._keep(name, result)
            if former is None or former.backend != result.backend:
                changed[name] = result.backend
        return changed

    def _keep(self, name: str, result: BackendResult | None) -> None:
        former = self.results.pop(name, None)
        self.names.replace(former.names if former else (), result.names if result else ())
        self._findings.replace(former.findings if former else (), result.findings if result else ())
        if result is not None:
            self.results[name] = result


def backend_ids(view: View) -> set[str]:
    """The Service ports that an Ingress names: the oldest to name one decides how it is balanced."""
    namespace = view.ingress.metadata.namespace
    found = {
        str(BackendName(namespace, path.backend.service, path.backend.port))
        for rule in view.ingress.rules
        for path in rule.paths or ()
        if path.backend is not None
    }
    if view.ingress.default_backend is not None:
        backend = view.ingress.default_backend
        found.add(str(BackendName(namespace, backend.service, backend.port)))
    return found
