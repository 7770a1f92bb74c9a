"""A cluster with the operator and its webhook, in which tools do what they do; see driven.py."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import driven
from apiserver import ApiServer, Manifest, until
from dataplane import Reply, Request, Server, echo
from dnsserver import Dns
from network import Network
from running import NAMESPACE, PATIENCE, Run, ingress_class, namespace
from test_webhook import configuration
from up import free_ports, ingress

STATUS = "192.0.2.7,lb.example.net"


class Cluster:
    """Objects go to the API server, in one request each, as a tool sends them."""

    in_cluster = True

    def __init__(self, run: Run, network: Network, stack: ExitStack) -> None:
        self.up, self.api, self.network, self.stack = run, run.cluster, network, stack

    def put(self, *manifests: Manifest) -> None:
        for one in manifests:
            self.api.kubectl("apply", "-f", "-", stdin=driven.as_json(one))

    def remove(self, *manifests: Manifest) -> None:
        for one in manifests:
            self.api.delete(one["kind"].lower(), one["metadata"]["name"], driven.NAMESPACE)

    def read(self, manifest: Manifest) -> Manifest:
        found = self.api.get(manifest["kind"].lower(), manifest["metadata"]["name"], driven.NAMESPACE)
        found["metadata"].get("annotations", {}).pop("kubectl.kubernetes.io/last-applied-configuration", None)
        return found

    def server(self, name: str, handler: Callable[[Request], Reply | None] = echo) -> Server:
        return self.stack.enter_context(Server(name, handler, listener=self.network.listener()))


@contextmanager
def toolworld(cluster: ApiServer, name: str) -> Iterator[Cluster]:
    """`name` is that of the webhook's configuration, its Secret and the Lease."""
    with ExitStack() as stack:
        network = Network()
        stack.callback(network.close)
        dns = stack.enter_context(Dns([f"{network.base}.1"]))
        port = free_ports(1)[0]
        hook = configuration(port)
        hook["metadata"]["name"] = name
        hook["webhooks"][0] |= {"namespaceSelector": {"matchLabels": {"tools": "true"}}, "failurePolicy": "Fail"}
        cluster.apply(namespace(NAMESPACE), namespace(driven.NAMESPACE, tools="true"), ingress_class(), hook)
        stack.callback(cluster.kubectl, "delete", "validatingwebhookconfiguration", name)
        flags = ["--validating-webhook", f"127.0.0.1:{port}", "--validating-webhook-service", "localhost"]
        flags += ["--validating-webhook-secret", f"{NAMESPACE}/{name}", "--validating-webhook-configuration", name]
        flags += ["--publish-status-address", STATUS, "--election-id", name, "--http-address", ""]
        run = stack.enter_context(Run(cluster, *flags, "--resolver", f"127.0.0.1:{dns.port}"))
        run.start()
        numbers = itertools.count()  # what was let in before the webhook is asked is not reviewed again
        until(lambda: "limit-rps" in _refused(cluster, next(numbers)), PATIENCE, "the webhook is not asked")
        yield Cluster(run, network, stack)


def _refused(cluster: ApiServer, number: int) -> str:
    name = f"probe{number}"
    return cluster.try_to_apply(ingress(name, f"{name}.test", namespace=driven.NAMESPACE, limit_rps="many"))
