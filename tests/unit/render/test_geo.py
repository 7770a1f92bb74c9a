"""Which GeoIP2 database fills which variables."""

from __future__ import annotations

from tidegate.render.geo import ALL, FILES, databases_of, variables_in


def test_the_better_of_two_databases_for_the_same_edition_is_read() -> None:
    (found,) = databases_of(["/a/GeoLite2-City.mmdb", "/b/GeoIP2-City.mmdb", "/a/Others.mmdb"])
    assert found.file == "/b/GeoIP2-City.mmdb"


def test_no_variable_comes_from_two_databases() -> None:
    names = [name for database in databases_of(f"/geo/{name}" for name in FILES) for name, _ in database.variables]
    assert len(names) == len(set(names)) == len(ALL)
    assert set(names) == set(ALL)


def test_the_variables_that_a_text_uses() -> None:
    assert variables_in(["$GEOIP2_Asn ${geoip2_city}x", "$host $geoip"]) == {"geoip2_asn", "geoip2_city"}
