"""The API server goes away, forgets what it watched, comes back; leaders die. Traffic notices nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from apiserver import ApiServer, until
from dataplane import Server
from network import Network
from running import NAMESPACE, PATIENCE, Run, backend, ingress_class, namespace, slices
from steadyload import Load
from up import ingress

TTL = "4s"


@pytest.fixture(scope="module")
def echo(network: Network) -> Server:
    return backend(network, "steady")


@pytest.fixture
def fragile(echo: Server) -> Iterator[ApiServer]:
    """An API server of its own, to be stopped."""
    server = ApiServer()
    try:
        server.start()
        server.apply(namespace(NAMESPACE), ingress_class(), slices("echo", echo), ingress("steady", "steady.test"))
        yield server
    finally:
        server.close()


def test_what_happens_while_the_api_server_is_away_is_seen_when_it_is_back(fragile: ApiServer) -> None:
    """An object that was deleted unnoticed goes, one that came is served, and no request fails meanwhile."""
    fragile.apply(ingress("doomed", "doomed.test"))
    with Run(fragile) as run:
        run.start()
        run.serves("doomed.test")
        with Load(run, "steady.test") as load:
            fragile.stop()
            with fragile.stand_in() as other:
                other.delete("ingress", "doomed")
                other.apply(ingress("newcomer", "newcomer.test"))
                other.compact()
            assert run.get("doomed.test")[0] == 200
            assert run.ask_admin("/readyz")[0] == 200
            fragile.start()
            run.serves("newcomer.test")
            run.serves("doomed.test", 404)
        assert load.failures == []
        assert load.good > 0


def test_an_operator_that_starts_without_an_api_server_waits_for_it(fragile: ApiServer) -> None:
    fragile.stop()
    with Run(fragile, "--disable-leader-election") as run:
        run.spawn()
        until(lambda: b"waiting for the API server" in run.log.read_bytes(), PATIENCE, run.said)
        assert run.ask_admin("/readyz") == (503, b"not yet")
        assert run.ask_admin("/livez")[0] == 200
        fragile.start()
        run.wait_ready()
        run.serves("steady.test")


def test_an_operator_that_is_killed_leaves_nginx_serving_and_the_next_one_takes_over(fragile: ApiServer) -> None:
    with Run(fragile) as run:
        run.start()
        run.serves("steady.test")
        master = run.master()
        with Load(run, "steady.test") as load:
            run.kill()
            fragile.apply(ingress("meanwhile", "meanwhile.test"))
            run.spawn()
            run.wait_ready()
            run.serves("meanwhile.test")
        assert load.failures == []
        assert run.master() == master


def test_when_the_leader_is_killed_another_one_writes_status(fragile: ApiServer) -> None:
    flags = ("--election-ttl", TTL, "--publish-status-address", "192.0.2.7")
    with (
        Run(fragile, *flags, pod="tidegate-0") as first,
        Run(fragile, *flags, pod="tidegate-1") as second,
        Run(fragile, *flags, pod="tidegate-2") as third,
    ):
        replicas = {"tidegate-0": first, "tidegate-1": second, "tidegate-2": third}
        for one in replicas.values():
            one.start()
        leader = until(lambda: agreed(fragile, replicas), PATIENCE, lambda: _leaders(replicas))
        until(lambda: _address(fragile, "steady") == "192.0.2.7", PATIENCE)
        killed = replicas.pop(leader)
        killed.kill()
        fragile.apply(ingress("after", "after.test"))
        for one in replicas.values():
            one.serves("after.test")
        until(lambda: _address(fragile, "after") == "192.0.2.7", PATIENCE)
        assert until(lambda: agreed(fragile, replicas), PATIENCE, lambda: _leaders(replicas)) in replicas


def test_a_leader_that_stops_gives_the_lease_back_at_once(fragile: ApiServer) -> None:
    with Run(fragile, "--election-ttl", "60s") as run:
        run.start()
        until(lambda: holder(fragile) == "tidegate-0", PATIENCE)
        assert run.stop() == 0
        assert holder(fragile) == ""


def test_a_leader_that_was_frozen_does_not_go_on_leading(fragile: ApiServer) -> None:
    """Its lease ran out while it did not run: what it did as a leader is not done by two."""
    with (
        Run(fragile, "--election-ttl", TTL, pod="tidegate-0") as first,
        Run(fragile, "--election-ttl", TTL, pod="tidegate-1") as second,
    ):
        first.start()
        until(lambda: holder(fragile) == "tidegate-0", PATIENCE)
        second.start()
        assert first.process is not None
        os.kill(first.process.pid, signal.SIGSTOP)
        try:
            until(lambda: holder(fragile) == "tidegate-1", PATIENCE)
        finally:
            os.kill(first.process.pid, signal.SIGCONT)
        until(lambda: first.status()["leader"] is False, PATIENCE)
        until(lambda: second.status()["leader"] is True, PATIENCE)


def test_the_last_one_takes_the_address_back(fragile: ApiServer) -> None:
    with Run(fragile, "--publish-status-address", "192.0.2.7") as run:
        run.start()
        until(lambda: _address(fragile, "steady") == "192.0.2.7", PATIENCE)
        assert run.stop() == 0
        assert _address(fragile, "steady") == ""


def test_addresses_are_kept_while_there_is_another_replica(fragile: ApiServer) -> None:
    labels = {"app.kubernetes.io/name": "tidegate"}
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": {**labels, "pod-template-hash": name}},
            "spec": {"containers": [{"name": "operator", "image": "none"}]},
        }
        for name in ("tidegate-0", "tidegate-1")
    ]
    fragile.apply(pods)
    try:
        with Run(fragile, "--publish-status-address", "192.0.2.7") as run:
            run.start()
            until(lambda: _address(fragile, "steady") == "192.0.2.7", PATIENCE)
            assert run.stop() == 0
            assert _address(fragile, "steady") == "192.0.2.7"
    finally:
        fragile.kubectl("-n", NAMESPACE, "delete", "pods", "--all", "--force", "--grace-period=0")


def test_addresses_are_kept_where_that_is_asked_for(fragile: ApiServer) -> None:
    flags = ("--publish-status-address", "192.0.2.7", "--update-status-on-shutdown=false")
    with Run(fragile, *flags) as run:
        run.start()
        until(lambda: _address(fragile, "steady") == "192.0.2.7", PATIENCE)
        assert run.stop() == 0
        assert _address(fragile, "steady") == "192.0.2.7"


def test_status_is_left_alone_where_that_is_asked_for(fragile: ApiServer) -> None:
    with Run(fragile, "--publish-status-address", "192.0.2.7", "--update-status=false") as run:
        run.start()
        until(lambda: holder(fragile) == "tidegate-0", PATIENCE)
        for name in ("one", "another"):  # an Event of the leader's: by then it would have written status, too
            fragile.apply(ingress(name, f"{name}.test"))
            until(lambda name=name: _told(fragile, name), PATIENCE)
        assert _address(fragile, "steady") == _address(fragile, "one") == ""


def _told(cluster: ApiServer, name: str) -> bool:
    return any(row["involvedObject"]["name"] == name for row in cluster.items("events"))


def holder(cluster: ApiServer) -> str:
    said = cluster.kubectl(
        "get",
        "lease",
        "ingress-controller-leader",
        "-n",
        NAMESPACE,
        "-o",
        "jsonpath={.spec.holderIdentity}",
        check=False,
    )
    return "" if "NotFound" in said else said


def agreed(cluster: ApiServer, replicas: dict[str, Run]) -> str:
    """Who has the lease, if this one and no other takes itself for the leader."""
    found = holder(cluster)
    return found if _leaders(replicas) == {found} else ""


def _leaders(replicas: dict[str, Run]) -> set[str]:
    return {name for name, one in replicas.items() if one.status()["leader"]}


def _address(cluster: ApiServer, name: str) -> str:
    found = cluster.get("ingress", name)["status"]["loadBalancer"].get("ingress") or [{}]
    return str(found[0].get("ip", ""))
