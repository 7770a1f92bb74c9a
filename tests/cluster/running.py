"""`tidegate run` against a real API server, with a real NGINX."""

from __future__ import annotations

from apiserver import ApiServer, Manifest, until
from dataplane import Server
from network import Network
from up import Up

NAMESPACE = "tidegate"
PATIENCE = 40.0


class Run(Up):
    """The operator on a cluster; what `Up` knows of folders does not apply."""

    def __init__(self, cluster: ApiServer, *flags: str, pod: str = "tidegate-0", workers: int = 2) -> None:
        super().__init__(*flags, workers=workers)
        self.cluster = cluster
        self.kubeconfig = cluster.kubeconfig
        self.env = {"POD_NAME": pod, "POD_NAMESPACE": NAMESPACE}

    def command(self, *more: str) -> list[str]:
        ports = {"--http-port": self.http, "--https-port": self.https, "--healthz-port": self.admin}
        flags = [str(item) for row in ports.items() for item in row]
        flags += ["--http-address", "127.0.0.1", "--healthz-host", "127.0.0.1", "--workers", str(self.workers)]
        flags += ["--kubeconfig", str(self.kubeconfig), "--run-dir", str(self.run)]
        return [*self.before, *self.program, "run", *flags, *self.flags, *more]

    def serves(self, host: str, status: int = 200, path: str = "/") -> None:
        """Wait until a host answers with a status."""
        until(
            lambda: self.get(host, path)[0] == status, PATIENCE, f"{host}{path}: {status}, last {self.get(host, path)}"
        )

    def served_by(self, host: str, backend: str, path: str = "/") -> None:
        until(lambda: self.backend_of(host, path) == backend, PATIENCE, lambda: (host, path, self.get(host, path)))


def slices(name: str, *servers: Server, namespace: str = "default", ready: bool = True) -> list[Manifest]:
    """A Service with port 80, and its endpoints in one slice for each."""
    meta = {"name": name, "namespace": namespace}
    found: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"name": "http", "port": 80}]}}
    ]
    for server in servers:
        found.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"{name}-{server.name}",
                    "namespace": namespace,
                    "labels": {"kubernetes.io/service-name": name},
                },
                "addressType": "IPv4",
                "ports": [{"name": "http", "port": server.port, "protocol": "TCP"}],
                "endpoints": [{"addresses": [server.endpoint.address], "conditions": {"ready": ready}}],
            }
        )
    return found


def namespace(name: str, **labels: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def ingress_class(name: str = "nginx", controller: str = "k8s.io/ingress-nginx") -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": name},
        "spec": {"controller": controller},
    }


def backend(network: Network, name: str) -> Server:
    return Server(name, listener=network.listener())
