"""The operator follows a real API server, driven by kubectl."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from apiserver import ApiServer, Manifest, until
from dataplane import Server
from network import Network
from running import NAMESPACE, PATIENCE, Run, backend, ingress_class, namespace, slices
from up import ingress

ADDRESS = "192.0.2.7"


@pytest.fixture(scope="module")
def a(network: Network) -> Server:
    return backend(network, "a")


@pytest.fixture(scope="module")
def b(network: Network) -> Server:
    return backend(network, "b")


@pytest.fixture(scope="module")
def run(cluster: ApiServer, a: Server) -> Iterator[Run]:
    """One operator for all tests of this module; each test has host names of its own."""
    settings: Manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": NAMESPACE},
        "data": {},
    }
    cluster.apply(namespace(NAMESPACE), ingress_class(), ingress_class("other", "example.com/other"), settings)
    cluster.apply(slices("echo", a))
    flags = ("--publish-status-address", ADDRESS, "--configmap", f"{NAMESPACE}/settings")
    with Run(cluster, *flags) as one:
        yield one.start()


def addresses(cluster: ApiServer, name: str) -> Any:
    return cluster.get("ingress", name)["status"]["loadBalancer"].get("ingress")


def events(cluster: ApiServer, name: str, kind: str = "Ingress") -> list[tuple[str, str, int]]:
    """Reason, message and count of what was said about an object."""
    rows = [row for row in cluster.items("events") if row["involvedObject"]["name"] == name]
    return [(row["reason"], row["message"], row["count"]) for row in rows if row["involvedObject"]["kind"] == kind]


def test_an_ingress_is_served_changed_and_gone(run: Run, cluster: ApiServer) -> None:
    reloads = run.status()["reloads"]
    cluster.apply(ingress("life", "life.test"))
    run.serves("life.test")
    cluster.apply(ingress("life", "life.test", path="/moved"))
    run.serves("life.test", 404)
    run.serves("life.test", 200, "/moved")
    cluster.delete("ingress", "life")
    run.serves("life.test", 404, "/moved")
    assert run.status()["reloads"] == reloads


def test_endpoints_are_followed_without_a_reload(run: Run, cluster: ApiServer, a: Server, b: Server) -> None:
    reloads = run.status()["reloads"]
    cluster.apply(slices("moving", a), ingress("moving", "moving.test", backend="moving"))
    run.served_by("moving.test", "a")
    cluster.apply(slices("moving", b))
    cluster.delete("endpointslice", "moving-a")
    run.served_by("moving.test", "b")
    cluster.delete("endpointslice", "moving-b")
    run.serves("moving.test", 503)
    assert run.status()["reloads"] == reloads


def test_a_secret_that_is_referred_to_is_there_before_its_ingress_goes_live(run: Run, cluster: ApiServer) -> None:
    """Of Secrets only those that something refers to are kept; none is missed when a reference is made."""
    cluster.apply(_secret("users", auth="user:{PLAIN}secret\n"), _secret("nobodys", auth="x:y\n"))
    seen: set[int] = set()

    def closed() -> bool:
        seen.add(run.get("guarded.test")[0])
        return 401 in seen

    cluster.apply(ingress("guarded", "guarded.test", auth_type="basic", auth_secret="users"))
    until(closed, PATIENCE, lambda: seen)
    assert seen <= {401, 404}
    assert run.get("guarded.test", headers={"Authorization": "Basic dXNlcjpzZWNyZXQ="})[0] == 200
    cluster.apply(_secret("users", auth="other:{PLAIN}secret\n"))
    until(lambda: run.get("guarded.test", headers={"Authorization": "Basic b3RoZXI6c2VjcmV0"})[0] == 200, PATIENCE)
    cluster.delete("secret", "users")
    run.serves("guarded.test", 503)


def _secret(name: str, **data: str) -> Manifest:
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}


def test_settings_of_the_configmap_are_followed(run: Run, cluster: ApiServer) -> None:
    cluster.apply(ingress("settings", "settings.test", tls="absent"))
    run.serves("settings.test", 308)
    cluster.kubectl("patch", "configmap", "settings", "-n", NAMESPACE, "-p", '{"data":{"ssl-redirect":"false"}}')
    run.serves("settings.test", 200)
    cluster.kubectl("patch", "configmap", "settings", "-n", NAMESPACE, "-p", '{"data":{"ssl-redirect":null}}')
    run.serves("settings.test", 308)
    until(lambda: ("UPDATE", f"ConfigMap {NAMESPACE}/settings") in _short(cluster, "settings", "ConfigMap"), PATIENCE)


def _short(cluster: ApiServer, name: str, kind: str = "Ingress") -> set[tuple[str, str]]:
    return {(reason, message) for reason, message, _ in events(cluster, name, kind)}


def test_an_ingress_of_another_class_is_nothing_to_us_until_it_becomes_ours(run: Run, cluster: ApiServer) -> None:
    foreign = ingress("foreign", "foreign.test")
    foreign["spec"]["ingressClassName"] = "other"
    cluster.apply(foreign, ingress("ours", "ours.test"))
    run.serves("ours.test")
    run.serves("foreign.test", 404)
    until(lambda: addresses(cluster, "ours") == [{"ip": ADDRESS}], PATIENCE)
    assert addresses(cluster, "foreign") is None
    assert events(cluster, "foreign") == []
    foreign["spec"]["ingressClassName"] = "nginx"
    cluster.apply(foreign)
    run.serves("foreign.test")
    foreign["spec"]["ingressClassName"] = "other"
    cluster.apply(foreign)
    run.serves("foreign.test", 404)


def test_an_ingress_is_served_when_its_class_comes_and_no_longer_when_it_goes(run: Run, cluster: ApiServer) -> None:
    late = ingress("late", "late.test")
    late["spec"]["ingressClassName"] = "late"
    cluster.apply(late, ingress("before-late", "before-late.test"))
    run.serves("before-late.test")
    run.serves("late.test", 404)
    cluster.apply(ingress_class("late"))
    run.serves("late.test")
    cluster.kubectl("delete", "ingressclass", "late")
    run.serves("late.test", 404)


def test_status_is_written_once_and_never_withdrawn_for_a_bad_annotation(run: Run, cluster: ApiServer) -> None:
    cluster.apply(ingress("status", "status.test"))
    until(lambda: addresses(cluster, "status") == [{"ip": ADDRESS}], PATIENCE)
    cluster.apply(ingress("status", "status.test", limit_rps="many"))
    until(lambda: run.ingress("status")["state"] == "rejected", PATIENCE)
    version = cluster.get("ingress", "status")["metadata"]["resourceVersion"]
    cluster.apply(ingress("status-next", "status-next.test"))
    until(lambda: addresses(cluster, "status-next") == [{"ip": ADDRESS}], PATIENCE)
    assert addresses(cluster, "status") == [{"ip": ADDRESS}]
    assert cluster.get("ingress", "status")["metadata"]["resourceVersion"] == version


def test_events_say_what_is_wrong_once(run: Run, cluster: ApiServer) -> None:
    cluster.apply(ingress("told", "told.test", limit_rps="many"))
    until(lambda: any(reason == "Rejected" for reason, _, _ in events(cluster, "told")), PATIENCE)
    cluster.apply(ingress("told-other", "told-other.test"))
    until(lambda: ("Applied", "generation 1 is in force") in _short(cluster, "told-other"), PATIENCE)
    rejected = [row for row in events(cluster, "told") if row[0] == "Rejected"]
    assert len(rejected) == 1
    assert "limit-rps" in rejected[0][1]
    assert "many" in rejected[0][1]
    assert rejected[0][2] == 1
    cluster.apply(ingress("told", "told.test", limit_rps="5"))
    until(lambda: any(reason == "Applied" for reason, _, _ in events(cluster, "told")), PATIENCE)
    assert ("Sync", "Scheduled for sync") in _short(cluster, "told")


def test_a_host_that_another_ingress_has_is_told_to_the_loser(run: Run, cluster: ApiServer) -> None:
    cluster.apply(ingress("first", "conflict.test"))
    run.serves("conflict.test")
    second = ingress("a-second", "conflict.test")
    until(lambda: run.ingress("first")["servedGeneration"] == 1, PATIENCE)
    cluster.apply(second)
    until(
        lambda: {"Conflict"} & {reason for reason, _, _ in events(cluster, "a-second")} or _same_second(cluster),
        PATIENCE,
    )


def _same_second(cluster: ApiServer) -> bool:
    """Created in one second, the larger name counts as older: then it is the other one that loses."""
    return bool({"Conflict"} & {reason for reason, _, _ in events(cluster, "first")})


def test_nothing_but_status_is_written_to_what_belongs_to_users(run: Run, cluster: ApiServer, a: Server) -> None:
    """kopf's ordinary handlers would leave annotations and finalizers behind."""
    mine = ingress("untouched", "untouched.test", backend="untouched", auth_type="basic", auth_secret="untouched")
    asking = ingress("asking", "asking.test", auth_url="http://192.0.2.1/", auth_proxy_set_headers="default/untouched")
    meta = {"name": "untouched", "namespace": "default"}
    headers: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"X-A": "b"}}
    cluster.apply(slices("untouched", a), _secret("untouched", auth="u:{PLAIN}p"), headers, mine, asking)
    run.serves("untouched.test", 401)
    for name in ("untouched", "asking"):
        until(lambda name=name: addresses(cluster, name) == [{"ip": ADDRESS}], PATIENCE)
    until(lambda: run.ingress("asking")["servedGeneration"] == 1, PATIENCE)
    for kind in ("ingress", "service", "secret", "configmap"):
        meta = cluster.get(kind, "untouched")["metadata"]
        assert meta.get("annotations", {}) == (mine["metadata"]["annotations"] if kind == "ingress" else {})
        assert "finalizers" not in meta
        managers = {(row["manager"], row.get("subresource", "")) for row in meta["managedFields"]}
        assert {row for row in managers if row[1] != "status"} == {("kubectl", "")}


def test_objects_that_are_gone_before_they_are_worked_on_leave_nothing_behind(run: Run, cluster: ApiServer) -> None:
    """Their status and Events cannot be written any more: that is nobody's fault."""
    names = [f"brief{number}" for number in range(30)]
    cluster.apply(*(ingress(name, f"{name}.test", limit_rps="many") for name in names[:15]))
    cluster.apply(*(ingress(name, f"{name}.test") for name in names[15:]))
    cluster.kubectl("delete", "ingress", *names, "--wait=false")
    cluster.apply(ingress("lasting", "lasting.test"))
    run.serves("lasting.test")
    until(lambda: addresses(cluster, "lasting") == [{"ip": ADDRESS}], PATIENCE)
    until(lambda: not {row["name"] for row in run.api("ingresses")} & set(names), PATIENCE)
    assert run.get("brief20.test")[0] == 404
    assert b"Traceback" not in run.log.read_bytes(), run.said()


def test_a_secret_that_nothing_refers_to_is_not_fetched(run: Run, cluster: ApiServer) -> None:
    """And Helm's are not even sent."""
    cluster.apply(_secret("idle", auth="x:y\n"), _secret("used", auth="x:{PLAIN}y\n"))
    cluster.apply(ingress("using", "using.test", auth_type="basic", auth_secret="used"))
    run.serves("using.test", 401)
    asked = [entry for entry in cluster.asked("admin") if entry.get("objectRef", {}).get("resource") == "secrets"]
    single = {(entry["objectRef"].get("namespace"), entry["objectRef"].get("name")) for entry in asked}
    assert ("default", "used") in single
    assert ("default", "idle") not in single
    many = [unquote(entry["requestURI"]) for entry in asked if entry["verb"] in ("list", "watch")]
    assert many
    assert all("type!=helm.sh/release.v1" in line for line in many), many


def test_what_the_admin_port_says_agrees_with_the_cluster(run: Run, cluster: ApiServer) -> None:
    cluster.apply(ingress("seen", "seen.test"))
    run.serves("seen.test")
    row = run.ingress("seen")
    assert row["uid"] == cluster.get("ingress", "seen")["metadata"]["uid"]
    assert row["state"] == "applied"
    assert run.status()["leader"] is True
    assert run.ask_admin("/check_endpoint?service=echo")[0] == 200


def test_no_listener_has_an_ipv6_address_where_the_configmap_says_so(run: Run, cluster: ApiServer) -> None:
    other: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "four", "namespace": NAMESPACE}}
    cluster.apply({**other, "data": {"disable-ipv6": "false"}})
    with Run(cluster, "--http-address", "", "--configmap", f"{NAMESPACE}/four", pod="tidegate-1") as one:
        one.start()
        listeners = [f"listen {address}:{one.http} " for address in ("0.0.0.0", "[::]")]
        until(lambda: all(text in one.configuration().replace('"', "") for text in listeners), PATIENCE)
        cluster.apply({**other, "data": {"disable-ipv6": "true"}})
        until(lambda: "listen [::]" not in one.configuration().replace('"', ""), PATIENCE)
        assert listeners[0] in one.configuration().replace('"', "")


def test_kopf_is_given_an_empty_list_before_each_watch(run: Run, cluster: ApiServer) -> None:
    """A long one would keep changes waiting for as long as kopf takes to go through it."""
    asked = [unquote(entry["requestURI"]) for entry in cluster.asked("admin")]
    for kind in ("ingresses", "services", "secrets"):
        lists = [line for line in asked if f"/{kind}?" in line and "limit=" in line]
        assert any("metadata.name=." in line for line in lists), lists
