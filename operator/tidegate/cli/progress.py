"""What `tidegate up` shows: what is served, findings, and each change as one line."""

from __future__ import annotations

import logging
import time

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegate.cli.common import STYLES, err
from tidegate.control import ControlPlane
from tidegate.findings import Finding, Severity
from tidegate.model import Route
from tidegate.report.changes import ChangeRecord

ROUTES_SHOWN = 20
FINDINGS_SHOWN = 20


class Progress:
    """Writes to stderr: a table and colour on a terminal, plain lines elsewhere, or messages `as_log`."""

    def __init__(self, http: str, admin: str, console: Console = err, *, as_log: bool = False) -> None:
        self._http, self._admin, self._console = http, admin, console
        self._log: logging.Logger | None = None
        if as_log:
            self._log = logging.getLogger("tidegate.up")
            self._log.setLevel(logging.INFO)
        self.control: ControlPlane | None = None
        self._shown: set[Finding] = set()
        self._started = time.monotonic()

    def line(self, text: str, style: str = "", level: int = logging.INFO) -> None:
        if self._log is not None:
            self._log.log(level, "%s", text)
            return
        self._console.print(f"{time.strftime('%H:%M:%S')} {text}", style=style, markup=False, soft_wrap=True)

    def changed(self, change: ChangeRecord | None) -> None:
        """One line for a change that is in force; None: there may be new findings."""
        if change is None:
            pass
        elif change.what.partition(",")[0] == "start":
            seconds = time.monotonic() - self._started
            self.line(f"serving on {self._http}, admin on {self._admin}, after {seconds:.2f} s", "bold green")
            self._summary()
        else:
            how = "reloaded" if change.reloaded else "pushed"
            self.line(f"revision {change.revision}: {change.what}: {how} in {change.seconds * 1000:.0f} ms")
        self._findings()

    def _summary(self) -> None:
        control = self.control
        if control is None:
            return
        rows = [(name, route) for name, host in sorted(control.translator.hosts.items()) for route in host.routes]
        if self._log is None and self._console.is_terminal:
            self._table(rows[:ROUTES_SHOWN])
        else:
            for name, route in rows[:ROUTES_SHOWN]:
                self.line(f"{name}{route.path} ({route.match.value}): {_target(route)}, {_ingress(route)}")
        if len(rows) > ROUTES_SHOWN:
            self.line(f"and {len(rows) - ROUTES_SHOWN} more routes: {self._admin}/api/v1/routes")

    def _table(self, rows: list[tuple[str, Route]]) -> None:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("host", "path", "match", "backend", "Ingress"):
            table.add_column(column, overflow="fold")
        for name, route in rows:
            table.add_row(*map(Text, (name, route.path, route.match, _target(route), _ingress(route))))
        self._console.print(table)

    def _findings(self) -> None:
        control = self.control
        if control is None:
            return
        current = {*control.source_findings, *control.translator.findings(), *control.own_findings}
        fresh = sorted(item for item in current - self._shown if item.severity is not Severity.INFO)
        for item in fresh[:FINDINGS_SHOWN]:
            place = f" ({item.place})" if item.place else ""
            field = f"{item.field}: " if item.field else ""
            level = logging.ERROR if item.severity is Severity.ERROR else logging.WARNING
            self.line(f"{item.severity}: {item.object}: {field}{item.message}{place}", STYLES[item.severity], level)
        if len(fresh) > FINDINGS_SHOWN:
            self.line(f"and {len(fresh) - FINDINGS_SHOWN} more findings: {self._admin}/api/v1/findings")
        self._shown = current


def _target(route: Route) -> str:
    if route.status:
        return f"answers {route.status}"
    return route.redirect.location if route.redirect else route.backend or "default backend"


def _ingress(route: Route) -> str:
    return f"{route.labels.namespace}/{route.labels.ingress}"
