"""The GeoIP2 databases that somebody has mounted."""

from __future__ import annotations

from pathlib import Path

from tidegate.render.geo import FILES

STANDARD_FOLDER = "/etc/ingress-controller/geoip"


def find_databases(folder: str) -> tuple[str, ...]:
    """Paths of those that are known by name, in no particular order; none if the folder is not there."""
    return tuple(str(Path(folder) / name) for name in FILES if (Path(folder) / name).is_file())
