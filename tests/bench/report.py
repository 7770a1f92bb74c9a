"""Figures, and how they are written down."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[2] / "bench-results"


@dataclass(frozen=True)
class Figure:
    """One row. `target` says in words what `met` was judged by; a comparison without a target has neither."""

    name: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    target: str = ""
    met: bool | None = None


def against(
    name: str, value: float, unit: str, peer: str, peer_value: float | None, *, most_ratio: float | None = None
) -> Figure:
    """A value beside its peer's; with a bound on their ratio, or as a mere comparison."""
    ratio = value / peer_value if peer_value else None
    target, met = "", None
    if most_ratio is not None:
        target = f"≤ {most_ratio:g} × {peer}"
        met = ratio is not None and ratio <= most_ratio
    return Figure(name, value, unit, peer, peer_value, ratio, target, met)


def at_least(name: str, value: float, unit: str, peer: str, peer_value: float | None, *, least_ratio: float) -> Figure:
    """A value, the greater the better, beside its peer's, with a bound on their ratio."""
    ratio = value / peer_value if peer_value else None
    met = ratio is not None and ratio >= least_ratio
    return Figure(name, round(value, 2), unit, peer, peer_value, ratio, f"≥ {least_ratio:g} × {peer}", met)


def bounded(name: str, value: float, unit: str, most: float, peer: str = "", peer_value: float | None = None) -> Figure:
    """A value with a bound of its own."""
    ratio = value / peer_value if peer_value else None
    return Figure(name, value, unit, peer, peer_value, ratio, f"≤ {most:g} {unit}", value <= most)


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]


def machine() -> dict[str, str]:
    """Where this was measured."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown",
    )
    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False).stderr.strip()
    haproxy = subprocess.run(["haproxy", "-v"], capture_output=True, text=True, check=False).stdout.split("\n")[0]
    cores = sum(line.startswith("processor") for line in Path("/proc/cpuinfo").read_text().splitlines())
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "processor": f"{cores} × {model}",
        "kernel": platform.release(),
        "nginx": nginx.removeprefix("nginx version: "),
        "haproxy": haproxy.split(" - ")[0],
        "python": platform.python_version(),
    }


def save(group: str, figures: list[Figure], notes: list[str]) -> None:
    RESULTS.mkdir(exist_ok=True)
    value = {"figures": [asdict(figure) for figure in figures], "notes": notes, "machine": machine()}
    (RESULTS / f"{group}.json").write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def row(figure: Figure) -> str:
    met = {True: "yes", False: "**no**", None: ""}[figure.met]
    peer = f"{_number(figure.peer_value)} ({figure.peer})" if figure.peer_value is not None else figure.peer
    ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else ""
    return f"| {figure.name} | {_number(figure.value)} {figure.unit} | {peer} | {ratio} | {figure.target} | {met} |"


def table(groups: Iterable[str]) -> str:
    """The results of these groups that there are, as Markdown."""
    lines = ["| figure | Tidegate | peer | ratio | target | met |", "|---|---|---|---|---|---|"]
    notes, where = [], {}
    for group in groups:
        path = RESULTS / f"{group}.json"
        if not path.exists():
            continue
        value = json.loads(path.read_text())
        lines += [row(Figure(**figure)) for figure in value["figures"]]
        notes += [f"* {group}: {note}" for note in value["notes"]]
        where = value["machine"]
    head = ", ".join(f"{key} {text}" for key, text in where.items())
    return "\n".join([f"Measured: {head}", "", *lines, "", *notes]) + "\n"
