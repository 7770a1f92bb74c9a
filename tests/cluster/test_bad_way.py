"""The way to the API server is bad: the operator gets everything late, but gets it, and traffic notices nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from apiserver import ApiServer, until
from badway import BadWay
from dataplane import Server
from network import Network
from running import NAMESPACE, PATIENCE, Run, backend, ingress_class, namespace, slices
from steadyload import Load
from up import ingress

SPACE = "bad-way"
ADDRESS = "192.0.2.8"


@pytest.fixture(scope="module")
def echo(cluster: ApiServer, network: Network) -> Server:
    server = backend(network, "bad-way")
    cluster.apply(namespace(NAMESPACE), namespace(SPACE), ingress_class(), slices("echo", server, namespace=SPACE))
    cluster.apply(ingress("steady", "steady.bad.test", namespace=SPACE))
    return server


@contextmanager
def operator(cluster: ApiServer, way: BadWay, name: str) -> Iterator[Run]:
    flags = ("--watch-namespace", SPACE, "--publish-status-address", ADDRESS, "--election-id", f"bad-way-{name}")
    with Run(cluster, *flags, "--apiserver-host", way.url) as run:
        yield run


def _has_address(cluster: ApiServer, name: str) -> bool:
    return bool(cluster.get("ingress", name, SPACE)["status"]["loadBalancer"].get("ingress"))


def test_an_api_server_that_throttles_delays_but_loses_nothing(cluster: ApiServer, echo: Server) -> None:
    with BadWay(cluster) as way, operator(cluster, way, "throttled") as run:
        way.throttle = 3
        run.start()
        run.serves("steady.bad.test")
        cluster.apply(ingress("throttled", "throttled.bad.test", namespace=SPACE))
        run.serves("throttled.bad.test")
        until(lambda: _has_address(cluster, "throttled"), PATIENCE, run.said)
        cluster.delete("ingress", "throttled", SPACE)
        run.serves("throttled.bad.test", 404)
        assert way.throttled > 0


def test_a_slow_api_server_holds_up_no_traffic(cluster: ApiServer, echo: Server) -> None:
    with BadWay(cluster) as way, operator(cluster, way, "slow") as run:
        way.delay = 1.0
        run.start()
        with Load(run, "steady.bad.test") as load:
            cluster.apply(ingress("slow", "slow.bad.test", namespace=SPACE))
            run.serves("slow.bad.test")
            until(lambda: _has_address(cluster, "slow"), PATIENCE, run.said)
            assert run.ask_admin("/readyz")[0] == 200
        assert load.failures == []
        cluster.delete("ingress", "slow", SPACE)
        run.serves("slow.bad.test", 404)
        assert way.slow > 0


def test_what_happens_while_connections_are_lost_is_seen_afterwards(cluster: ApiServer, echo: Server) -> None:
    with BadWay(cluster) as way, operator(cluster, way, "lost") as run:
        run.start()
        with Load(run, "steady.bad.test") as load:
            for number in range(4):
                name = f"lost{number}"
                cluster.apply(ingress(name, f"{name}.bad.test", namespace=SPACE))
                way.cut()
                if number:
                    cluster.delete("ingress", f"lost{number - 1}", SPACE)
                way.cut()
                run.serves(f"{name}.bad.test")
                if number:
                    run.serves(f"lost{number - 1}.bad.test", 404)
        assert load.failures == []
        assert run.ask_admin("/readyz")[0] == 200
        assert way.lost > 0
    cluster.delete("ingress", "lost3", SPACE)
