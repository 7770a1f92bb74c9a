"""GeoIP2 variables from databases that somebody has mounted."""

from __future__ import annotations

import http.client
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from dataplane import until
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from up import Manifest, Up, configmap, ingress, running

FORMAT = (
    "$geoip2_city_country_code|$geoip2_city|$geoip2_region_code|$geoip2_latitude|$geoip2_asn|$geoip2_org|$geoip2_isp"
)


def database(file: Path, kind: str, networks: dict[str, dict[str, Any]]) -> None:
    """Writes a small database. Numbers have the types that MaxMind's have."""
    writer = MMDBWriter(
        ip_version=6, ipv4_compatible=True, database_type=kind, languages=["en"], description="a test's"
    )
    for network, data in networks.items():
        writer.insert_network(IPSet([network]), data)
    writer.to_db_file(str(file))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tgg", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def up(folder: Path) -> Iterator[Up]:
    city = {
        "country": {"iso_code": "FI"},
        "city": {"names": {"en": "Oulu"}},
        "subdivisions": [{"iso_code": "14"}],
        "location": {"latitude": 65.01236},
    }
    database(folder / "GeoLite2-City.mmdb", "GeoLite2-City", {"127.0.0.0/9": city})
    network = {"autonomous_system_number": 64500, "autonomous_system_organization": "Example"}
    database(folder / "GeoLite2-ASN.mmdb", "GeoLite2-ASN", {"127.0.0.0/8": network})
    flags = ("--configmap", "default/settings", "--geoip-dir", str(folder))
    with running(*flags, manifests=lambda _: [ingress("main", "main.test"), headers()]) as (one, _):
        yield one


def headers() -> Manifest:
    meta = {"name": "headers", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"X-Where": FORMAT}}


def where(up: Up, source: str = "127.0.0.1") -> str | None:
    connection = http.client.HTTPConnection("127.0.0.1", up.http, timeout=20, source_address=(source, 0))
    with closing(connection):
        connection.request("GET", "/", headers={"Host": "main.test", "Connection": "close"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        return answer.getheader("X-Where")


def test_variables_tell_where_a_client_is_and_are_empty_without_a_database(up: Up) -> None:
    up.apply("settings", configmap(add_headers="default/headers"))
    assert where(up) == "||||||"
    up.apply("settings", configmap(add_headers="default/headers", use_geoip2="true", geoip2_autoreload_in_minutes="5"))
    assert where(up) == "FI|Oulu|14|65.01236|64500|Example|"
    assert where(up, "127.200.0.1") == "||||64500|Example|"
    assert "auto_reload 5m;" in up.configuration()
    assert up.api("findings") == []


def test_the_variables_are_there_for_the_access_log(up: Up) -> None:
    up.apply("settings", configmap(use_geoip2="true", log_format_upstream="geo $geoip2_city_country_code $request_uri"))
    assert up.get("main.test", "/logged")[0] == 200
    file = up.run / "logs" / "access.log"
    until(lambda: "geo FI /logged" in (file.read_text() if file.exists() else ""))


def test_a_database_that_cannot_be_read_leaves_the_settings_before_in_force(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="tgg", dir="/tmp") as name:
        (Path(name) / "GeoIP2-Country.mmdb").write_bytes(b"nothing of the kind")
        flags = ("--configmap", "default/settings", "--geoip-dir", name)
        with running(*flags, manifests=lambda _: [ingress("main", "main.test")]) as (up, _):
            up.apply("settings", configmap(use_geoip2="true"))
            until(lambda: any(row["reason"] == "Rejected" for row in up.api("findings")))
            up.apply("more", ingress("more", "more.test", limit_rps="7"))
            assert up.backend_of("more.test") == "echo"


def test_without_a_database_there_is_a_finding_and_nothing_else_changes() -> None:
    flags = ("--configmap", "default/settings", "--geoip-dir", "/no/such/folder")
    with running(*flags, manifests=lambda _: [ingress("main", "main.test"), headers()]) as (up, _):
        up.apply("settings", configmap(add_headers="default/headers", use_geoip2="true"))
        assert where(up) == "||||||"
        (row,) = up.api("findings")
        assert (row["field"], row["reason"]) == ("data[use-geoip2]", "NotFound")
        assert "/no/such/folder" in row["message"]
