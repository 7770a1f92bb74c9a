"""The admin port of `tidegate up`: shapes of the contract, and metrics under the retired controller's names."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from dataplane import KeyPair, Server, self_signed, until
from up import Up, ingress, running, service, tidegate

PREFIX = "nginx_ingress_controller_"
CONSTANT = {"controller_namespace", "controller_class", "controller_pod"}
REQUEST = CONSTANT | {"host", "method", "path", "namespace", "ingress", "service", "canary", "status"}


def secret(name: str, pair: KeyPair) -> dict[str, Any]:
    data = {"tls.crt": pair.chain, "tls.key": pair.key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": "default"},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def start(_: int) -> list[dict[str, Any]]:
    return [
        secret("shop-tls", self_signed("shop.test")),
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


# -- metrics -----------------------------------------------------------------------------------------------------------

Sample = tuple[str, dict[str, str], float]


def named(samples: list[Sample], name: str) -> list[tuple[dict[str, str], float]]:
    return [(labels, value) for found, labels, value in samples if found == PREFIX + name]


def requests_of(up: Up, ingress_name: str) -> float:
    return sum(value for labels, value in named(up.samples(), "requests") if labels["ingress"] == ingress_name)


def test_requests_are_counted_under_the_old_names_and_labels(up: Up) -> None:
    for _ in range(3):
        assert up.get("limited.test", "/some/where")[0] == 200
    until(lambda: requests_of(up, "limited") >= 3)
    samples = up.samples()
    labels, value = next(row for row in named(samples, "requests") if row[0]["ingress"] == "limited")
    assert labels.keys() == REQUEST
    assert value >= 3
    expected = {
        "host": "limited.test",
        "method": "GET",
        "path": "/",
        "namespace": "default",
        "ingress": "limited",
        "service": "echo",
        "canary": "",
        "status": "200",
        "controller_class": "k8s.io/ingress-nginx",
    }
    assert expected.items() <= labels.items()
    times = {"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"}
    lengths = {*map(str, range(10, 101, 10)), "+Inf"}
    sizes = {"10", "100", "1000", "10000", "100000", "1e+06", "1e+07", "+Inf"}
    histograms = {
        "request_duration_seconds": times,
        "response_duration_seconds": times,
        "header_duration_seconds": times,
        "connect_duration_seconds": times,
        "request_size": lengths,
        "response_size": lengths,
        "bytes_sent": sizes,
    }
    for name, bounds in histograms.items():
        buckets = [row for row in named(samples, f"{name}_bucket") if row[0]["ingress"] == "limited"]
        assert {row[0]["le"] for row in buckets} == bounds, name
        assert buckets[0][0].keys() == REQUEST | {"le"}
        for suffix in ("sum", "count"):
            assert [row for row in named(samples, f"{name}_{suffix}") if row[0]["ingress"] == "limited"], name


def test_nginx_and_controller_are_measured_under_the_old_names(up: Up) -> None:
    # master and worker, once those of former configurations have ended
    until(lambda: [value for _, value in named(up.samples(), "nginx_process_num_procs")] == [2])
    samples = up.samples()
    states = {labels["state"] for labels, _ in named(samples, "nginx_process_connections")}
    assert states == {"active", "reading", "writing", "waiting"}
    totals = {labels["state"] for labels, _ in named(samples, "nginx_process_connections_total")}
    assert totals == {"accepted", "handled"}
    single = {
        name: named(samples, name)[0]
        for name in (
            "nginx_process_requests_total",
            "nginx_process_num_procs",
            "nginx_process_cpu_seconds_total",
            "nginx_process_read_bytes_total",
            "nginx_process_write_bytes_total",
            "nginx_process_resident_memory_bytes",
            "nginx_process_virtual_memory_bytes",
            "nginx_process_oldest_start_time_seconds",
            "config_hash",
            "config_last_reload_successful",
            "config_last_reload_successful_timestamp_seconds",
            "success",
            "errors",
        )
    }
    assert all(labels.keys() == CONSTANT for labels, _ in single.values())
    assert single["nginx_process_resident_memory_bytes"][1] > 2**20
    assert abs(single["nginx_process_oldest_start_time_seconds"][1] - time.time()) < 3600
    assert single["config_last_reload_successful"][1] == 1
    assert single["config_hash"][1] != 0
    assert abs(single["config_last_reload_successful_timestamp_seconds"][1] - time.time()) < 3600
    labels, value = named(samples, "build_info")[0]
    assert (labels.keys(), value) == (CONSTANT | {"release", "build", "repository"}, 1)
    assert any(name == "process_resident_memory_bytes" for name, _, _ in samples)  # of the control plane


def test_certificates_are_measured_under_the_old_names(up: Up) -> None:
    samples = up.samples()
    names = {"namespace", "class", "host", "secret_name", "identifier"}
    expiry = {labels["host"]: (labels, value) for labels, value in named(samples, "ssl_expire_time_seconds")}
    assert expiry.keys() == {"_", "shop.test"}
    labels, value = expiry["shop.test"]
    assert labels.keys() == names
    assert (labels["namespace"], labels["class"], labels["secret_name"]) == (
        "default",
        "k8s.io/ingress-nginx",
        "shop-tls",
    )
    assert value > time.time()
    info = {labels["host"]: labels for labels, _ in named(samples, "ssl_certificate_info")}
    facts = {"issuer_organization", "issuer_common_name", "serial_number", "public_key_algorithm"}
    assert info["shop.test"].keys() == names | facts
    assert info["shop.test"]["identifier"] == "-" + info["shop.test"]["serial_number"]
    assert (info["shop.test"]["issuer_common_name"], info["shop.test"]["public_key_algorithm"]) == (
        "shop.test",
        "ECDSA",
    )
    assert expiry["_"][0]["secret_name"] == ""
    assert (info["_"]["issuer_organization"], info["_"]["public_key_algorithm"]) == ("Acme Co", "RSA")


def test_ingresses_whose_service_or_endpoints_are_missing_are_orphans(up: Up) -> None:
    rows = named(up.samples(), "orphan_ingress")
    found = {(labels["ingress"], labels["type"]): value for labels, value in rows}
    assert found == {("orphan", "no-service"): 1, ("empty", "no-endpoint"): 1}
    assert rows[0][0].keys() == CONSTANT | {"namespace", "ingress", "type"}


def test_a_histogram_tells_how_late_the_event_loop_is(up: Up) -> None:
    found = [
        (labels["le"], value) for name, labels, value in up.samples() if name == "tidegate_loop_lag_seconds_bucket"
    ]
    assert [bound for bound, _ in found][-1] == "+Inf"
    counts = [value for _, value in found]
    assert counts == sorted(counts)
    assert counts[-1] > 0


def test_own_metrics_tell_what_is_wanted_and_what_runs(up: Up) -> None:
    found = {name: value for name, labels, value in up.samples() if name.startswith("tidegate_") and not labels}
    assert found["tidegate_revision_running"] >= 1
    assert found["tidegate_data_capacity_bytes"] > found["tidegate_data_free_bytes"] > 0


def test_a_limit_zone_tells_how_full_it_is(up: Up) -> None:
    assert up.get("limited.test")[0] == 200
    samples = up.samples()
    rows = {name: value for name, labels, value in samples if "tidegate_rate_50s" in labels.get("zone", "")}
    assert 0 < rows["tidegate_limit_zone_free_bytes"] < rows["tidegate_limit_zone_bytes"]


def test_series_of_a_deleted_ingress_vanish_and_stay_away(up: Up) -> None:
    up.apply("gone", ingress("gone", "gone.test"), ingress("stays", "stays.test"))
    assert up.get("gone.test")[0] == 200
    until(lambda: requests_of(up, "gone"))
    for _ in range(5):
        assert up.get("gone.test")[0] == 200  # these are handed over after the Ingress is gone
    up.apply("gone", ingress("stays", "stays.test"))
    assert up.get("stays.test")[0] == 200
    until(lambda: requests_of(up, "stays"))  # so what was counted before has arrived, too
    assert requests_of(up, "gone") == 0


def test_the_number_of_series_is_bounded() -> None:
    flags = ("--metrics-max-series", "4")
    hosts = [f"h{number}.test" for number in range(10)]
    with running(*flags, manifests=lambda port: [ingress(name[:-5], name) for name in hosts], workers=1) as (up, _):
        for name in hosts:
            assert up.get(name)[0] == 200
        until(lambda: sum(value for _, value in named(up.samples(), "requests")) == len(hosts))
        rows = named(up.samples(), "requests")
        assert len(rows) <= 5
        overflow = [value for labels, value in rows if labels["host"] == "overflow"]
        assert len(overflow) == 1
        assert overflow[0] >= len(hosts) - 4
        merged = next(value for name, _, value in up.samples() if name == "tidegate_metrics_overflow_total")
        assert merged >= 1
