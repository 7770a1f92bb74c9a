"""The admin port of `tidegate up`: shapes of the contract."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from dataplane import Server, self_signed, until
from up import Up, ingress, running, service, tidegate, tls_secret


def start(_: int) -> list[dict[str, Any]]:
    return [
        tls_secret("shop-tls", self_signed("shop.test")),
        ingress("shop", "shop.test", tls="shop-tls", ssl_redirect="false", proxy_read_timeout="7"),
        ingress("limited", "limited.test", limit_rps="50"),
        ingress("degraded", "degraded.test", proxy_read_timeout="soon"),
        ingress("rejected", "rejected.test", "/etc/passwd"),
        ingress("orphan", "orphan.test", backend="nowhere"),
        ingress("empty", "empty.test", backend="empty"),
        *service("empty"),
    ]


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[Up, Server]]:
    with running(manifests=start, workers=1) as found:
        yield found


@pytest.fixture
def up(site: tuple[Up, Server]) -> Up:
    return site[0]


def error(up: Up, path: str) -> tuple[int, str]:
    status, body = up.ask_admin(path)
    return status, json.loads(body)["error"]


def test_health_and_readiness(up: Up) -> None:
    assert up.ask_admin("/healthz")[0] == 200
    assert up.ask_admin("/readyz")[0] == 200
    assert up.ask_admin("/no-such-path")[0] == 404


def test_a_person_who_looks_in_finds_every_path(up: Up) -> None:
    status, body = up.ask_admin("/")
    paths = re.findall(r'href="([^"]+)"', body.decode())
    assert (status, {"/metrics", "/healthz", "/api/v1/routes", "/api/v1/status"} <= {*paths}) == (200, True)
    assert {up.ask_admin(path)[0] for path in paths if not path.endswith(("explain", "check_endpoint"))} == {200}


def test_ingresses_say_what_became_of_them(up: Up) -> None:
    rows = {row["name"]: row for row in up.api("ingresses")}
    assert {name: row["state"] for name, row in rows.items()} == {
        "shop": "applied",
        "limited": "applied",
        "degraded": "degraded",
        "rejected": "rejected",
        "orphan": "applied",  # what is missing is said of the Service
        "empty": "applied",
    }
    keys = {"namespace", "name", "uid", "generation", "servedGeneration", "state", "findings", "hosts", "revision"}
    assert all(row.keys() == keys for row in rows.values())
    shop = rows["shop"]
    assert (shop["namespace"], shop["generation"], shop["servedGeneration"]) == ("default", 1, 1)
    assert (shop["hosts"], shop["findings"], shop["revision"] >= 1) == (["shop.test"], [], True)
    assert rows["rejected"]["servedGeneration"] == 0
    found = rows["degraded"]["findings"][0]
    assert found.keys() == {"severity", "reason", "field", "message"}
    assert "proxy-read-timeout" in found["field"]


def test_the_served_generation_follows_when_a_change_is_in_force(up: Up) -> None:
    up.apply("grows", ingress("grows", "grows.test"))
    up.apply("grows", ingress("grows", "grows.test", "/x"))
    assert [up.ingress("grows")[key] for key in ("generation", "servedGeneration")] == [2, 2]
    up.delete("grows")
    up.apply("grows", ingress("grows", "grows.test"))
    row = up.ingress("grows")
    assert row["generation"] == row["servedGeneration"]


def test_routes(up: Up) -> None:
    rows = up.api("routes?host=limited.test")
    assert [row["host"] for row in rows] == ["limited.test"]
    assert rows[0].keys() == {"host", "path", "match", "backend", "policy", "ingress"}
    assert (rows[0]["match"], rows[0]["backend"], rows[0]["ingress"]) == (
        "prefix",
        "default/echo:80",
        "default/limited",
    )
    assert rows[0]["policy"] != "default"
    assert {"shop.test", "limited.test"} <= {row["host"] for row in up.api("routes")}
    assert up.api("routes?host=nobody.test") == []


def test_backends(up: Up, site: tuple[Up, Server]) -> None:
    row = next(row for row in up.api("backends") if row["name"] == "default/echo:80")
    endpoint = {
        "address": "127.0.0.1",
        "port": site[1].port,
        "ready": True,
        "healthy": True,
        "ejected": False,
        "weight": 1,
        "node": "",
        "zone": "",
        "targetRef": None,
    }
    assert row == {"name": "default/echo:80", "algorithm": "round_robin", "endpoints": [endpoint]}


def test_backends_name_node_zone_and_target_of_each_endpoint(up: Up) -> None:
    located = service("located", 9)
    target = {"kind": "Pod", "namespace": "default", "name": "located-0"}
    located[1]["endpoints"][0].update(nodeName="node-a", zone="zone-1", targetRef=target)
    meta = {"name": "older", "namespace": "default"}
    subset = {
        "addresses": [{"ip": "10.9.0.1", "nodeName": "node-b", "targetRef": {"kind": "Pod", "name": "older-0"}}],
        "ports": [{"name": "http", "port": 8080}],
    }
    older = [*service("older"), {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": [subset]}]
    users = [ingress("located", "located.test", backend="located"), ingress("older", "older.test", backend="older")]
    up.apply("located", located, older, users)
    rows = {row["name"]: row["endpoints"] for row in up.api("backends")}
    (one,), (other,) = rows["default/located:80"], rows["default/older:80"]
    assert (one["node"], one["zone"], one["targetRef"]) == ("node-a", "zone-1", target)
    assert (other["node"], other["zone"], other["targetRef"]) == (
        "node-b",
        "",
        {"kind": "Pod", "namespace": "", "name": "older-0"},
    )


def test_certificates_without_a_key(up: Up) -> None:
    status, body = up.ask_admin("/api/v1/certificates")
    rows = {row["host"]: row for row in json.loads(body)}
    assert status == 200
    assert b"PRIVATE" not in body
    assert b"BEGIN" not in body
    shop = rows["shop.test"]
    assert (shop["secret"], shop["names"], shop["issuer"]) == ("default/shop-tls", ["shop.test"], "shop.test")
    assert shop["notAfter"] > time.time()
    assert len(shop["fingerprint"]) == 64
    assert rows["_"]["secret"] == ""


def test_no_path_tells_a_key(up: Up) -> None:
    paths = (
        "ingresses",
        "routes",
        "backends",
        "policies",
        "findings",
        "changes",
        "status",
        "explain?url=https://shop.test/",
    )
    assert not any(b"PRIVATE" in up.ask_admin(f"/api/v1/{path}")[1] for path in paths)
    assert b"PRIVATE" not in up.ask_admin("/metrics")[1]


def test_policies(up: Up) -> None:
    policy = up.api("routes?host=limited.test")[0]["policy"]
    row = next(row for row in up.api("policies") if row["digest"] == policy)
    assert row.keys() == {"digest", "directives", "routes"}
    assert row["routes"] == 1
    assert row["directives"]["rates"] == [{"rate": 50, "unit": "s", "burst": 250}]


def test_explain(up: Up) -> None:
    found = up.api("explain?url=https://shop.test/x")
    assert (found["host"], found["path"], found["ingress"]) == ("shop.test", "/", "default/shop")
    assert found["endpoints"]
    origin = next(row for row in found["settings"] if row["name"].endswith("proxy-read-timeout"))
    assert origin["value"] == "7"
    assert "default/shop" in origin["origin"]
    assert error(up, "/api/v1/explain")[0] == 400
    assert error(up, "/api/v1/explain?url=http://[")[0] == 400
    asked = tidegate("explain", "http://shop.test/x", "--admin", f"http://127.0.0.1:{up.admin}", "--output", "json")
    assert (asked.returncode, json.loads(asked.stdout)["ingress"]) == (0, "default/shop")


def test_status(up: Up) -> None:
    found = up.status()
    assert {"version", "revision", "reloads", "leader", "counts", "memory"} <= found.keys()
    assert found["revision"]["wanted"] == found["revision"]["running"] >= 1
    assert found["memory"]["capacity"] > found["memory"]["free"] > 0
    assert found["counts"]["ingresses"] >= 6


def test_waiting_for_a_revision(up: Up) -> None:
    running_now = up.status()["revision"]["running"]
    assert up.wait(running_now)["revision"]["running"] >= running_now
    status, body = up.ask_admin(f"/api/v1/status?wait={running_now + 1000}&timeout=0.2")
    assert (status, json.loads(body)["revision"]["running"]) == (504, running_now)
    for query in ("wait=soon", f"wait={running_now}&timeout=soon"):
        assert error(up, f"/api/v1/status?{query}")[0] == 400


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("service=echo", ("default", True, 1, 1)),
        ("service=echo&namespace=default&port=80", ("default", True, 1, 1)),
        ("service=echo&port=http", ("default", True, 1, 1)),
        ("service=echo&port=81", ("default", True, 0, 0)),
        ("service=empty", ("default", True, 0, 0)),
        ("service=echo&namespace=other", ("other", False, 0, 0)),
        ("service=half", ("default", True, 1, 2)),
        ("service=old", ("default", True, 1, 2)),
    ],
)
def test_check_endpoint(up: Up, query: str, answer: tuple[str, bool, int, int]) -> None:
    half = service("half", 1, 2)
    half[2]["endpoints"][0].update(addresses=["127.0.0.2"], conditions={"ready": False})
    meta = {"name": "old", "namespace": "default"}
    subset = {
        "addresses": [{"ip": "10.0.0.1"}],
        "notReadyAddresses": [{"ip": "10.0.0.2"}],
        "ports": [{"name": "http", "port": 8080}],
    }
    old = [*service("old"), {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": [subset]}]
    if "half" in query or "old" in query:
        up.write("more-services", half, old)
        until(lambda: json.loads(up.ask_admin(f"/check_endpoint?{query}")[1])["total"])
    status, body = up.ask_admin(f"/check_endpoint?{query}")
    namespace, exists, ready, total = answer
    name = query.partition("=")[2].partition("&")[0]
    assert (status, json.loads(body)) == (
        200,
        {"service": name, "namespace": namespace, "exists": exists, "ready": ready, "total": total},
    )


def test_check_endpoint_needs_a_service(up: Up) -> None:
    assert error(up, "/check_endpoint")[0] == 400
    assert error(up, "/check_endpoint?namespace=default")[0] == 400


def test_events_are_kept_in_memory(up: Up) -> None:
    def told(name: str) -> dict[str, dict[str, Any]]:
        return {row["reason"]: row for row in up.api("events") if (row["kind"], row["name"]) == ("Ingress", name)}

    until(lambda: "Degraded" in told("degraded") and "Rejected" in told("rejected"))
    row = told("degraded")["Degraded"]
    keys = {"kind", "namespace", "name", "type", "reason", "message", "count", "firstTimestamp", "lastTimestamp"}
    assert (row.keys(), row["type"], row["namespace"], row["count"]) == (keys, "Warning", "default", 1)
    up.apply("told", ingress("told", "told.test"))
    until(lambda: {"Sync", "Applied"} <= told("told").keys())
    assert told("told")["Applied"]["message"] == "generation 1 is in force"
    up.apply("told", ingress("told", "told.test", "/x", proxy_read_timeout="soon"))
    until(lambda: "Degraded" in told("told") and told("told")["Sync"]["count"] == 2)
