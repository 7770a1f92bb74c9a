"""GeoIP2 databases: which variables each of them fills. The names are those of the retired controller."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from tidegate.render.quoting import VARIABLE

FAMILY: Final = "geoip2_"
_VENDORS: Final = ("GeoIP2-", "GeoLite2-")  # the better one first
_COUNTRY: Final = {"code": "country iso_code", "name": "country names en", "geoname_id": "country geoname_id"}
_CONTINENT: Final = {"code": "continent code", "name": "continent names en", "geoname_id": "continent geoname_id"}
_EDITIONS: Final[dict[str, dict[str, str]]] = {
    "Country": {
        **{f"country_{name}": path for name, path in _COUNTRY.items()},
        **{f"continent_{name}": path for name, path in _CONTINENT.items()},
    },
    "City": {
        **{f"city_country_{name}": path for name, path in _COUNTRY.items()},
        "city_continent_code": _CONTINENT["code"],
        "city_continent_name": _CONTINENT["name"],
        "city": "city names en",
        "city_geoname_id": "city geoname_id",
        "postal_code": "postal code",
        "dma_code": "location metro_code",
        "latitude": "location latitude",
        "longitude": "location longitude",
        "time_zone": "location time_zone",
        "region_code": "subdivisions 0 iso_code",
        "region_name": "subdivisions 0 names en",
        "region_geoname_id": "subdivisions 0 geoname_id",
        "subregion_code": "subdivisions 1 iso_code",
        "subregion_name": "subdivisions 1 names en",
        "subregion_geoname_id": "subdivisions 1 geoname_id",
    },
    "ASN": {"asn": "autonomous_system_number", "org": "autonomous_system_organization"},
    "ISP": {"isp": "isp", "isp_org": "organization", "asn": "autonomous_system_number"},
    "Anonymous-IP": {
        "is_anon": "is_anonymous",
        "is_anonymous": "default=0 is_anonymous",
        "is_anonymous_vpn": "default=0 is_anonymous_vpn",
        "is_hosting_provider": "default=0 is_hosting_provider",
        "is_public_proxy": "default=0 is_public_proxy",
        "is_tor_exit_node": "default=0 is_tor_exit_node",
    },
    "Connection-Type": {"connection_type": "connection_type"},
}
FILES: Final = tuple(f"{vendor}{edition}.mmdb" for edition in _EDITIONS for vendor in _VENDORS)
"""The databases that are made use of; of two for the same edition the first."""

ALL: Final = tuple(dict.fromkeys(FAMILY + name for names in _EDITIONS.values() for name in names))


@dataclass(frozen=True)
class Database:
    """A file, and its variables: name and what NGINX's module is told about it."""

    file: str
    variables: tuple[tuple[str, str], ...]


def databases_of(files: Iterable[str]) -> list[Database]:
    """What is read from each of these files; no variable comes from two."""
    by_name = {PurePath(file).name: file for file in files}
    found: list[Database] = []
    taken: set[str] = set()
    for edition, names in _EDITIONS.items():
        file = next((by_name[name] for vendor in _VENDORS if (name := f"{vendor}{edition}.mmdb") in by_name), None)
        if file is not None:
            rows = tuple((FAMILY + name, path) for name, path in names.items() if name not in taken)
            taken |= names.keys()
            found.append(Database(file, rows))
    return found


def variables_in(texts: Iterable[str]) -> set[str]:
    """The variables of this family that some texts use."""
    names = {found[0].strip("${}").lower() for text in texts for found in VARIABLE.finditer(text)}
    return {name for name in names if name.startswith(FAMILY)}
