"""EndpointPool manifests: what is taken, what is refused, and that the CustomResourceDefinition says the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tidegate.resources import pools
from tidegate.resources.decode import Decoded, decode
from tidegate.resources.model import EndpointPool, HealthCheck, PoolEndpoint
from tidegate.resources.pools import parse_duration, parse_endpoints

CRD = yaml.safe_load((Path(__file__).parents[3] / "crds" / "endpointpools.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
SPEC = SCHEMA["spec"]["properties"]
CHECK = SPEC["healthCheck"]["properties"]


def read(**spec: Any) -> Decoded:
    full = {"serviceName": "db", "endpoints": [{"address": "192.0.2.1"}], **spec}
    return decode(
        {
            "apiVersion": "tidegate.dev/v1alpha1",
            "kind": "EndpointPool",
            "metadata": {"name": "db", "namespace": "shop"},
            "spec": {key: value for key, value in full.items() if value is not ...},
        },
        created=7,
        uid="u",
        place="a.yaml:1",
    )


def field(decoded: Decoded) -> str:
    assert decoded.resource is None
    (finding,) = decoded.findings
    return finding.field


def test_a_whole_pool_is_read() -> None:
    check = {
        "type": "HTTP",
        "path": "/healthz",
        "port": 8080,
        "interval": "5s",
        "timeout": "1s",
        "healthyThreshold": 2,
        "unhealthyThreshold": 3,
    }
    found = read(endpoints=[{"address": "192.0.2.10"}, {"hostname": "db.example.com"}], healthCheck=check)
    pool = found.resource
    assert isinstance(pool, EndpointPool)
    assert (found.findings, pool.service) == ((), "db")
    assert pool.endpoints == (PoolEndpoint(address="192.0.2.10"), PoolEndpoint(hostname="db.example.com"))
    assert pool.health_check == HealthCheck("HTTP", "/healthz", port=8080)
    assert pool.status is None


def test_absent_fields_have_the_defaults_of_the_definition() -> None:
    pool = read(healthCheck={"type": "TCP"}).resource
    assert isinstance(pool, EndpointPool)
    assert pool.health_check == HealthCheck(
        "TCP",
        interval=parse_duration(CHECK["interval"]["default"]),
        timeout=parse_duration(CHECK["timeout"]["default"]),
        healthy_threshold=CHECK["healthyThreshold"]["default"],
        unhealthy_threshold=CHECK["unhealthyThreshold"]["default"],
    )


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"serviceName": ...}, "spec.serviceName"),
    ({"serviceName": "Db"}, "spec.serviceName"),
    ({"endpoints": ...}, "spec.endpoints"),
    ({"endpoints": [{}]}, "spec.endpoints[0]"),
    ({"endpoints": [{"address": "192.0.2.1", "hostname": "db.example.com"}]}, "spec.endpoints[0]"),
    ({"endpoints": [{"address": "192.0.2.256"}]}, "spec.endpoints[0].address"),
    ({"endpoints": [{"address": "192.0.2.0/24"}]}, "spec.endpoints[0].address"),
    ({"endpoints": [{"address": "fe80::1%eth0"}]}, "spec.endpoints[0].address"),
    ({"endpoints": [{"address": "unix:/run/x.sock"}]}, "spec.endpoints[0].address"),
    ({"endpoints": [{"hostname": "DB.example.com"}]}, "spec.endpoints[0].hostname"),
    ({"endpoints": [{"hostname": "192.0.2.1"}]}, "spec.endpoints[0].hostname"),
    ({"endpoints": [{"hostname": "2130706433"}]}, "spec.endpoints[0].hostname"),
    ({"endpoints": [{"hostname": "0x7f.1"}]}, "spec.endpoints[0].hostname"),
    ({"endpoints": [{"hostname": "a..b"}]}, "spec.endpoints[0].hostname"),
    ({"endpoints": [{"hostname": "db.example.com:80"}]}, "spec.endpoints[0].hostname"),
    ({"healthCheck": {}}, "spec.healthCheck.type"),
    ({"healthCheck": {"type": "http"}}, "spec.healthCheck.type"),
    ({"healthCheck": {"type": "HTTP", "path": "healthz"}}, "spec.healthCheck.path"),
    ({"healthCheck": {"type": "HTTP", "path": "/a b"}}, "spec.healthCheck.path"),
    ({"healthCheck": {"type": "HTTP", "path": "/a\r\nX: y"}}, "spec.healthCheck.path"),
    ({"healthCheck": {"type": "HTTP", "host": "a\r\nX: y"}}, "spec.healthCheck.host"),
    ({"healthCheck": {"type": "TCP", "path": "/"}}, "spec.healthCheck.path"),
    ({"healthCheck": {"type": "GRPC", "host": "a.test"}}, "spec.healthCheck.host"),
    ({"healthCheck": {"type": "HTTP", "service": "a.B"}}, "spec.healthCheck.service"),
    ({"healthCheck": {"type": "TCP", "port": 0}}, "spec.healthCheck.port"),
    ({"healthCheck": {"type": "TCP", "interval": "soon"}}, "spec.healthCheck.interval"),
    ({"healthCheck": {"type": "TCP", "interval": "500ms"}}, "spec.healthCheck.interval"),
    ({"healthCheck": {"type": "TCP", "interval": "2h"}}, "spec.healthCheck.interval"),
    ({"healthCheck": {"type": "TCP", "timeout": "6s"}}, "spec.healthCheck.timeout"),
    ({"healthCheck": {"type": "TCP", "timeout": "0s"}}, "spec.healthCheck.timeout"),
    ({"healthCheck": {"type": "TCP", "healthyThreshold": 0}}, "spec.healthCheck.healthyThreshold"),
    ({"healthCheck": {"type": "TCP", "unhealthyThreshold": 101}}, "spec.healthCheck.unhealthyThreshold"),
    ({"healthCheck": {"type": "TCP", "interval": 5}}, "spec.healthCheck.interval"),
]


@pytest.mark.parametrize(("spec", "where"), REFUSED)
def test_what_is_wrong_is_named_by_its_field(spec: dict[str, Any], where: str) -> None:
    assert field(read(**spec)) == where


def test_a_version_that_does_not_exist_is_a_mistake() -> None:
    manifest = {"apiVersion": "tidegate.dev/v1", "kind": "EndpointPool", "metadata": {"name": "a"}}
    (finding,) = decode(manifest, created=0, uid="", place="").findings
    assert (finding.field, "allowed for EndpointPool: tidegate.dev/v1alpha1" in finding.message) == ("apiVersion", True)


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5), ("500ms", 0.5), ("1m30s", 90), ("1h", 3600), ("1.5s", 1.5), ("0s", 0)]
)
def test_durations_are_those_of_go(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)
    assert re.fullmatch(CHECK["interval"]["pattern"], text)


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "5 s", "5S", "1d", "٥s", "1e3s", "5s\n"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(text)
    assert not re.search(CHECK["interval"]["pattern"].replace("$", r"\Z"), text)


def test_the_one_line_form() -> None:
    assert parse_endpoints("192.0.2.10,db.example.com , 2001:db8::1") == (
        PoolEndpoint(address="192.0.2.10"),
        PoolEndpoint(hostname="db.example.com"),
        PoolEndpoint(address="2001:db8::1"),
    )


@pytest.mark.parametrize("text", ["", ",", "192.0.2.1,", "192.0.2.1:80", "http://db", "DB", "[2001:db8::1]", "a b"])
def test_a_one_line_form_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: addresses and host names"):
        parse_endpoints(text)


def test_the_definition_has_the_patterns_and_limits_of_the_program() -> None:
    def text_of(pattern: re.Pattern[str]) -> str:
        return "^" + pattern.pattern.replace("(?:", "(").replace(r"\d", "[0-9]") + "$"

    item = SPEC["endpoints"]["items"]["properties"]
    assert item["hostname"]["pattern"] == text_of(pools._HOSTNAME)
    assert CHECK["host"]["pattern"] == text_of(pools._HOST)
    assert CHECK["interval"]["pattern"] == CHECK["timeout"]["pattern"] == text_of(pools._DURATION)
    assert tuple(CHECK["type"]["enum"]) == pools.CHECK_TYPES
    assert SPEC["endpoints"]["maxItems"] == pools.MOST_ENDPOINTS


def test_every_field_of_the_definition_is_described() -> None:
    def walk(schema: dict[str, Any], path: str) -> None:
        if path:
            assert schema.get("description"), path
        for name, inner in schema.get("properties", {}).items():
            walk(inner, f"{path}.{name}")
        for name, inner in schema.get("items", {}).get("properties", {}).items():
            walk(inner, f"{path}[].{name}")

    walk(SCHEMA["spec"], "spec")
    walk(SCHEMA["status"], "status")
