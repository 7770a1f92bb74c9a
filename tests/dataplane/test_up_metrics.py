"""Metrics of `tidegate up`, under the retired controller's names."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from dataplane import Server, self_signed, until
from up import Manifest, Up, ingress, running, service, tls_secret

PREFIX = "nginx_ingress_controller_"
CONSTANT = {"controller_namespace", "controller_class", "controller_pod"}
REQUEST = CONSTANT | {"host", "method", "path", "namespace", "ingress", "service", "canary", "status"}


def start(port: int) -> list[Manifest]:
    canary = {"canary": "true", "canary_by_header": "X-Try"}
    return [
        tls_secret("shop-tls", self_signed("shop.test")),
        ingress("shop", "shop.test", tls="shop-tls", ssl_redirect="false"),
        ingress("limited", "limited.test", limit_rps="50"),
        ingress("orphan", "orphan.test", backend="nowhere"),
        ingress("empty", "empty.test", backend="empty"),
        *service("empty"),
        ingress("main", "main.test", server_alias="also.test"),
        ingress("trial", "main.test", backend="trial", **canary),
        *service("trial", port),
    ]


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[Up, Server]]:
    with running(manifests=start, workers=1) as found:
        yield found


@pytest.fixture
def up(site: tuple[Up, Server]) -> Up:
    return site[0]


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


def test_requests_to_an_alias_and_to_a_canary_are_counted_under_their_names(up: Up) -> None:
    for host in ("main.test", "also.test"):
        for tried in ("always", "never"):
            for _ in range(2):
                assert up.get(host, headers={"X-Try": tried})[0] == 200

    def counted() -> dict[tuple[str, str], float]:
        rows = [row for row in named(up.samples(), "requests") if row[0]["ingress"] == "main"]
        return {(labels["host"], labels["canary"]): value for labels, value in rows if labels["method"] == "GET"}

    expected = {(host, canary): 2 for host in ("main.test", "also.test") for canary in ("", "default-trial-80")}
    until(lambda: counted() == expected)


def test_a_method_that_a_client_invents_counts_as_other(up: Up) -> None:
    for tried in ("always", "never"):
        for host in ("main.test", "also.test"):
            assert up.get(host, method="INVENTED", headers={"X-Try": tried})[0] == 200

    def counted() -> dict[str, float]:
        found: dict[str, float] = {}
        for row, value in named(up.samples(), "requests"):
            if row["ingress"] == "main" and row["method"] != "GET":
                found[row["method"]] = found.get(row["method"], 0) + value
        return found

    until(lambda: counted() == {"other": 4})


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
