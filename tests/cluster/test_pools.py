"""EndpointPools against a real API server: what kubectl says of them, and what the operator makes of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from apiserver import PROJECT, ApiServer, Manifest, program, until
from dataplane import Server
from network import Network
from running import NAMESPACE, PATIENCE, Run, backend, ingress_class, namespace
from up import ingress

CRD = yaml.safe_load((PROJECT / "crds" / "endpointpools.yaml").read_text())


@pytest.fixture(scope="module")
def a(network: Network) -> Server:
    return backend(network, "a")


@pytest.fixture(scope="module")
def crd(cluster: ApiServer) -> None:
    cluster.apply(namespace(NAMESPACE), ingress_class(), CRD)
    cluster.kubectl("wait", "--for=condition=Established", "crd/endpointpools.tidegate.dev", "--timeout=30s")


@pytest.fixture(scope="module")
def run(cluster: ApiServer, crd: None) -> Iterator[Run]:
    with Run(cluster) as one:
        yield one.start()


def service(name: str, port: int, **more: Any) -> Manifest:
    meta = {"name": name, "namespace": "default", **more.pop("metadata", {})}
    spec = {"ports": [{"name": "http", "port": 80, "targetPort": port}], **more}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def pool(name: str, *endpoints: dict[str, str], **spec: Any) -> Manifest:
    return {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "EndpointPool",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"serviceName": name, "endpoints": list(endpoints), **spec},
    }


def at(server: Server) -> dict[str, str]:
    return {"address": server.endpoint.address}


def conditions(cluster: ApiServer, name: str) -> dict[str, tuple[str, str]]:
    status = cluster.get("endpointpool", name).get("status", {})
    return {item["type"]: (item["status"], item["reason"]) for item in status.get("conditions", [])}


def becomes(cluster: ApiServer, name: str, kind: str, wanted: tuple[str, str]) -> None:
    until(lambda: conditions(cluster, name).get(kind) == wanted, PATIENCE, lambda: cluster.get("endpointpool", name))


def slices_of(cluster: ApiServer, name: str) -> list[Manifest]:
    listed = cluster.kubectl("get", "endpointslices", "-l", f"kubernetes.io/service-name={name}", "-o", "json")
    return list(json.loads(listed)["items"])


def endpoints_of(cluster: ApiServer, name: str) -> Manifest | None:
    found = cluster.kubectl("get", "endpoints", name, "-o", "json", "--ignore-not-found")
    return json.loads(found) if found else None


def nothing_left(cluster: ApiServer, name: str) -> bool:
    return not slices_of(cluster, name) and endpoints_of(cluster, name) is None


def test_a_pool_is_served_and_deleting_it_removes_slices_and_endpoints(run: Run, cluster: ApiServer, a: Server) -> None:
    cluster.apply(service("life", a.port), pool("life", at(a)), ingress("life", "life-pool.test", backend="life"))
    run.served_by("life-pool.test", "a")
    becomes(cluster, "life", "Ready", ("True", "EndpointsReady"))
    (piece,) = slices_of(cluster, "life")
    labels = piece["metadata"]["labels"]
    assert labels["endpointslice.kubernetes.io/managed-by"] == "tidegate.dev"
    assert [item["conditions"]["ready"] for item in piece["endpoints"]] == [True]
    (owner,) = piece["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("EndpointPool", "life")
    fields = cluster.get("endpointslice", piece["metadata"]["name"])["metadata"]["managedFields"]
    assert {item["manager"] for item in fields} == {"tidegate-endpoints"}
    legacy = until(lambda: endpoints_of(cluster, "life"), PATIENCE)
    assert legacy["metadata"]["labels"]["endpointslice.kubernetes.io/skip-mirror"] == "true"
    assert legacy["subsets"][0]["addresses"] == [{"ip": a.endpoint.address}]
    status = cluster.get("endpointpool", "life")["status"]
    assert (status["observedGeneration"], status["readyEndpoints"], status["totalEndpoints"]) == (1, 1, 1)
    cluster.delete("endpointpool", "life")
    until(lambda: nothing_left(cluster, "life"), PATIENCE)
    run.serves("life-pool.test", 503)


def test_a_large_pool_of_both_families_becomes_slices_of_a_thousand_and_a_legacy_object(
    run: Run, cluster: ApiServer
) -> None:
    many = [f"198.18.{number // 250}.{number % 250 + 1}" for number in range(1050)] + ["2001:db8::1", "2001:db8::2"]
    families: dict[str, Any] = {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack"}
    cluster.apply(
        service("large", 8080, clusterIP="None", **families), pool("large", *({"address": one} for one in many))
    )
    until(lambda: _spread(cluster) == {("IPv4", 1000), ("IPv4", 50), ("IPv6", 2)}, PATIENCE, lambda: _spread(cluster))
    legacy = until(lambda: endpoints_of(cluster, "large"), PATIENCE)
    assert legacy["metadata"]["labels"]["endpointslice.kubernetes.io/skip-mirror"] == "true"
    assert legacy["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"] == "truncated"
    (subset,) = legacy["subsets"]
    assert len({item["ip"] for item in subset["addresses"]} & set(many)) == len(subset["addresses"]) == 1000
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    until(lambda: _counts(cluster, "large") == (1052, 1052), PATIENCE, lambda: _counts(cluster, "large"))
    cluster.delete("endpointpool", "large")
    until(lambda: nothing_left(cluster, "large"), PATIENCE)


def _counts(cluster: ApiServer, name: str) -> tuple[int, int]:
    status = cluster.get("endpointpool", name).get("status", {})
    return status.get("readyEndpoints"), status.get("totalEndpoints")


def _spread(cluster: ApiServer) -> set[tuple[str, int]]:
    """Family and size of each slice; all have the pool's port."""
    found = slices_of(cluster, "large")
    assert all([port["port"] for port in piece["ports"]] == [8080] for piece in found)
    return {(piece["addressType"], len(piece["endpoints"])) for piece in found}


def events(cluster: ApiServer, name: str) -> set[tuple[str, str]]:
    """Kind and reason of what was said about the objects of a name."""
    rows = [row for row in cluster.items("events", "default") if row["involvedObject"]["name"] == name]
    return {(row["involvedObject"]["kind"], row["reason"]) for row in rows}


def test_what_is_wrong_with_an_annotation_is_told_by_an_event(run: Run, cluster: ApiServer) -> None:
    cluster.apply(service("told", 80, metadata={"annotations": {"tidegate.dev/endpoints": "127.0.0.1"}}))
    until(lambda: ("Service", "AddressRefused") in events(cluster, "told"), PATIENCE)


def test_the_one_line_form_leaves_the_service_as_it_is(run: Run, cluster: ApiServer, a: Server) -> None:
    annotated = service("line", a.port, metadata={"annotations": {"tidegate.dev/endpoints": a.endpoint.address}})
    cluster.apply(annotated, ingress("line", "line-pool.test", backend="line"))
    run.served_by("line-pool.test", "a")
    found = cluster.get("service", "line")["metadata"]
    assert {item["manager"] for item in found["managedFields"]} == {"kubectl"}
    assert "finalizers" not in found
    cluster.kubectl("annotate", "service", "line", "tidegate.dev/endpoints-")
    until(lambda: nothing_left(cluster, "line"), PATIENCE)


def test_health_checks_move_the_conditions_of_endpoints(run: Run, cluster: ApiServer, network: Network) -> None:
    server = backend(network, "checked")
    check = {"type": "TCP", "interval": "1s", "unhealthyThreshold": 1}
    cluster.apply(service("checked", server.port), pool("checked", at(server), healthCheck=check))
    becomes(cluster, "checked", "Ready", ("True", "EndpointsReady"))
    address = server.endpoint.address
    server.close()
    becomes(cluster, "checked", "Ready", ("False", "NoReadyEndpoints"))
    until(lambda: slices_of(cluster, "checked")[0]["endpoints"][0]["conditions"]["ready"] is False, PATIENCE)
    (piece,) = slices_of(cluster, "checked")
    assert len(piece["endpoints"]) == 1

    def not_ready() -> object:
        legacy = endpoints_of(cluster, "checked")
        return legacy and legacy["subsets"][0].get("notReadyAddresses")

    until(lambda: not_ready() == [{"ip": address}], PATIENCE, not_ready)


def test_what_is_not_ours_is_never_touched(run: Run, cluster: ApiServer, a: Server) -> None:
    theirs: list[Manifest] = [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "foreign-tidegate-ipv4-1", "namespace": "default"},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["192.0.2.200"]}],
        },
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": "foreign", "namespace": "default"},
            "subsets": [{"addresses": [{"ip": "192.0.2.201"}], "ports": [{"port": 80}]}],
        },
    ]
    cluster.apply(theirs)
    before = [cluster.get("endpointslice", "foreign-tidegate-ipv4-1"), cluster.get("endpoints", "foreign")]
    cluster.apply(service("foreign", a.port), pool("foreign", at(a)))
    becomes(cluster, "foreign", "Ready", ("True", "EndpointsReady"))
    assert [item["metadata"]["name"] for item in slices_of(cluster, "foreign")] == ["foreign-tidegate-ipv4-2"]
    until(lambda: "NotOwned" in {item["reason"] for item in run.api("findings")}, PATIENCE)
    cluster.delete("endpointpool", "foreign")
    until(lambda: not slices_of(cluster, "foreign"), PATIENCE)
    assert before == [cluster.get("endpointslice", "foreign-tidegate-ipv4-1"), cluster.get("endpoints", "foreign")]


def test_a_slice_of_ours_that_somebody_deletes_or_changes_is_mended(run: Run, cluster: ApiServer, a: Server) -> None:
    cluster.apply(service("mended", a.port), pool("mended", at(a)))
    until(lambda: slices_of(cluster, "mended"), PATIENCE)
    (piece,) = slices_of(cluster, "mended")
    name = piece["metadata"]["name"]
    cluster.delete("endpointslice", name)
    until(lambda: slices_of(cluster, "mended"), PATIENCE)
    cluster.kubectl("patch", "endpointslice", name, "--type=merge", "-p", '{"endpoints":[]}')
    until(lambda: slices_of(cluster, "mended")[0]["endpoints"], PATIENCE)


@pytest.mark.parametrize(
    ("name", "address", "why"),
    [
        ("loop", "127.0.0.1", "loopback"),
        ("meta", "169.254.169.254", "link-local"),
        ("range", "10.0.77.77", "range of Services"),
    ],
)
def test_addresses_that_lend_somebody_elses_place_are_refused(
    run: Run, cluster: ApiServer, name: str, address: str, why: str
) -> None:
    cluster.apply(service(name, 80), pool(name, {"address": address}))
    becomes(cluster, name, "Accepted", ("False", "AddressRefused"))
    message = cluster.get("endpointpool", name)["status"]["conditions"][0]["message"]
    assert why in message
    assert nothing_left(cluster, name)


def test_endpoints_without_a_service_are_told_but_not_those_of_a_leader(cluster: ApiServer, crd: None) -> None:
    """Nobody mirrors them into slices, so they are never seen otherwise."""
    subsets = [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}]
    named = ("misnamed", "elected", "named")
    objects = [
        {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name, "namespace": "strays"}, "subsets": subsets}
        for name in named
    ]
    objects[1]["metadata"] |= {"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}}  # type: ignore[operator]
    owner = service("named", 80, metadata={"namespace": "strays"})
    cluster.apply(namespace("strays"), owner, *objects)
    with Run(cluster, "--watch-namespace", "strays", "--election-id", "strays", pod="tidegate-9") as one:
        one.start()
        until(lambda: _strays(one) == [["Endpoints", "strays", "misnamed"]], PATIENCE, lambda: one.api("findings"))


def _strays(run: Run) -> list[list[str]]:
    return [row["object"] for row in run.api("findings") if row["reason"] == "EndpointsWithoutService"]


def test_a_service_with_a_selector_is_refused(run: Run, cluster: ApiServer) -> None:
    cluster.apply(service("chosen", 80, selector={"app": "chosen"}), pool("chosen", {"address": "192.0.2.1"}))
    becomes(cluster, "chosen", "Accepted", ("False", "ServiceHasSelector"))
    until(lambda: ("EndpointPool", "ServiceHasSelector") in events(cluster, "chosen"), PATIENCE)
    assert nothing_left(cluster, "chosen")


def test_a_restarted_operator_takes_over_and_sweeps_up(cluster: ApiServer, crd: None, a: Server) -> None:
    """What was deleted while nobody ran goes; what stays is not written again."""
    with Run(cluster, "--election-id", "pools", pod="tidegate-9") as first:
        first.start()
        cluster.apply(service("stays", a.port), pool("stays", at(a)), service("goes", a.port), pool("goes", at(a)))
        for name in ("stays", "goes"):
            becomes(cluster, name, "Ready", ("True", "EndpointsReady"))
        first.stop()
    before = slices_of(cluster, "stays")
    cluster.delete("endpointpool", "goes")
    with Run(cluster, "--election-id", "pools", pod="tidegate-9") as second:
        second.start()
        until(lambda: nothing_left(cluster, "goes"), PATIENCE)
        assert slices_of(cluster, "stays") == before


def granted(user: str) -> list[Manifest]:
    """The roles of the chart, given to a user that the API server knows by a certificate."""
    words = [
        "template",
        "t",
        str(PROJECT / "charts" / "tidegate"),
        "--namespace",
        NAMESPACE,
        "--kube-version",
        "1.34.4",
    ]
    done = subprocess.run([program("helm"), *words], capture_output=True, text=True, check=True)
    found = [item for item in yaml.safe_load_all(done.stdout) if item and "Role" in item["kind"]]
    for item in found:
        if item["kind"].endswith("Binding"):
            item["subjects"] = [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}]
    return found


def test_the_roles_of_the_chart_are_enough(cluster: ApiServer, crd: None, a: Server) -> None:
    user = "pool-keeper"
    cluster.apply(granted(user))
    with Run(cluster, "--election-id", "t-tidegate-leader", pod="tidegate-8") as run:
        run.kubeconfig = cluster.kubeconfig_of(user)
        run.start()
        check = {"type": "TCP", "interval": "1s"}
        cluster.apply(service("roles", a.port), pool("roles", at(a), healthCheck=check))
        becomes(cluster, "roles", "Ready", ("True", "EndpointsReady"))
        cluster.delete("endpointpool", "roles")
        until(lambda: nothing_left(cluster, "roles"), PATIENCE)
        run.stop()
    pools = ("endpoint", "servicecidrs")
    assert [line for line in cluster.forbidden(user) if any(word in line for word in pools)] == []


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"endpoints": [{}]}, "either an address or a hostname"),
    ({"endpoints": [{"address": "192.0.2.1", "hostname": "db.example.com"}]}, "either an address or a hostname"),
    ({"endpoints": [{"address": "192.0.2.256"}]}, "spec.endpoints[0].address"),
    ({"endpoints": [{"address": "unix:/run/x.sock"}]}, "spec.endpoints[0].address"),
    ({"endpoints": [{"hostname": "192.0.2.1"}]}, "spec.endpoints[0].hostname"),
    ({"endpoints": [{"hostname": "DB.example.com"}]}, "spec.endpoints[0].hostname"),
    ({"healthCheck": {"type": "http"}}, "spec.healthCheck.type"),
    ({"healthCheck": {"type": "TCP", "path": "/"}}, "path and host are for HTTP and HTTPS"),
    ({"healthCheck": {"type": "HTTP", "service": "a.B"}}, "service is for GRPC"),
    ({"healthCheck": {"type": "TCP", "interval": "500ms"}}, "interval is from 1s to 1h"),
    ({"healthCheck": {"type": "TCP", "interval": "soon"}}, "spec.healthCheck.interval"),
    ({"healthCheck": {"type": "TCP", "timeout": "6s"}}, "timeout is at least 10ms and at most the interval"),
    ({"healthCheck": {"type": "TCP", "healthyThreshold": 0}}, "spec.healthCheck.healthyThreshold"),
]


@pytest.mark.parametrize(("spec", "words"), REFUSED)
def test_the_api_server_refuses_what_the_definition_does_not_allow(
    cluster: ApiServer, crd: None, spec: dict[str, Any], words: str
) -> None:
    manifest = pool("refused", {"address": "192.0.2.1"})
    manifest["spec"] |= spec
    said = cluster.try_to_apply(manifest)
    assert words in said
    assert "created" not in said


def test_the_api_server_takes_a_whole_pool_and_fills_in_the_defaults(cluster: ApiServer, crd: None) -> None:
    endpoints = [{"address": "192.0.2.1"}, {"address": "2001:db8::1"}, {"hostname": "db.example.com"}]
    cluster.apply(pool("whole", *endpoints, healthCheck={"type": "HTTP", "path": "/healthz", "host": "db.example.com"}))
    check = cluster.get("endpointpool", "whole")["spec"]["healthCheck"]
    assert (check["interval"], check["timeout"], check["healthyThreshold"], check["unhealthyThreshold"]) == (
        "5s",
        "1s",
        2,
        3,
    )
    cluster.delete("endpointpool", "whole")


def test_kubectl_explains_and_lists_pools(run: Run, cluster: ApiServer, a: Server) -> None:
    cluster.apply(service("shown", a.port), pool("shown", at(a), healthCheck={"type": "TCP"}))
    becomes(cluster, "shown", "Ready", ("True", "EndpointsReady"))
    explained = cluster.kubectl("explain", "endpointpool.spec")
    assert "a Service in the same namespace" in " ".join(explained.split())
    header, row = cluster.kubectl("get", "epool", "shown", "-o", "wide").splitlines()
    assert header.split() == ["NAME", "SERVICE", "ACCEPTED", "READY", "TOTAL", "CHECK", "REASON", "AGE"]
    assert row.split()[:6] == ["shown", "shown", "True", "1", "1", "TCP"]
