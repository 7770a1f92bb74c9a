"""Limits that the replicas of a controller share, counted by the endpoints of its Service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from apiserver import ApiServer, Manifest, until
from network import Network
from running import NAMESPACE, PATIENCE, Run, backend, ingress_class, namespace, slices
from up import ingress

CLASS, CONTROLLER = "replicas", "tidegate.dev/replicas"
HOST = "replicas.test"
ASKED = 30


def settings(**data: str) -> Manifest:
    meta = {"name": "replicas", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def controllers(*ready: bool) -> list[Manifest]:
    """The Service of the controller, with a pod for each."""
    found = slices("replicas", namespace=NAMESPACE)
    found.append(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "replicas-1",
                "namespace": NAMESPACE,
                "labels": {"kubernetes.io/service-name": "replicas"},
            },
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
            "endpoints": [
                {"addresses": [f"192.0.2.{number}"], "conditions": {"ready": one}}
                for number, one in enumerate(ready, 1)
            ],
        }
    )
    return found


@pytest.fixture(scope="module")
def both(cluster: ApiServer, network: Network) -> Iterator[tuple[Run, Run]]:
    """Two replicas; the second one serves a single namespace, which is not its own."""
    limited = ingress("replicas", HOST, backend="replicas-app", limit_rpm="20", limit_burst_multiplier="1")
    limited["spec"]["ingressClassName"] = CLASS
    cluster.apply(namespace(NAMESPACE), ingress_class(CLASS, CONTROLLER), settings(), controllers(True, True))
    cluster.apply(slices("replicas-app", backend(network, "replicas-app")), limited)
    flags = ("--ingress-class", CLASS, "--controller-class", CONTROLLER, "--election-id", CLASS)
    flags += ("--configmap", f"{NAMESPACE}/replicas", "--publish-service", f"{NAMESPACE}/replicas")
    with Run(cluster, *flags) as one, Run(cluster, *flags, "--watch-namespace", "default", pod="tidegate-1") as other:
        one.start()
        other.start()
        yield one, other


def is_limited_to(run: Run, rate: int) -> None:
    """Wait until this share of the limit is in force."""
    written = run.run / "conf" / "nginx.conf"
    until(lambda: f" rate={rate}r/m;" in written.read_text(), PATIENCE, run.said)
    run.wait(run.status()["revision"]["wanted"])


def let_through(run: Run) -> int:
    """Of a burst; a request more may come when the test itself is slow."""
    answers = [run.get(HOST)[0] for _ in range(ASKED)]
    assert set(answers) <= {200, 503}
    return answers.count(200)


def test_each_replica_lets_through_its_share_and_more_when_another_one_goes(
    both: tuple[Run, Run], cluster: ApiServer
) -> None:
    for run in both:
        is_limited_to(run, 20)
    cluster.apply(settings(**{"limit-divide-by-replicas": "true"}))
    for run in both:
        is_limited_to(run, 10)
        assert let_through(run) in (11, 12, 13)
    cluster.apply(controllers(True, False))
    for run in both:
        is_limited_to(run, 20)
        assert let_through(run) in (21, 22, 23, 24)
    cluster.apply(controllers(True, True, True, True))
    for run in both:
        is_limited_to(run, 5)
        assert let_through(run) in (6, 7)
