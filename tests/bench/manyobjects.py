"""Thousands of objects in a real API server: an Ingress, a Service and a slice each, and Helm's Secrets.

Needs the folders of the data-plane and cluster tests on the path.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import ssl
import threading
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from apiserver import ApiServer, Manifest
from dataplane import Reply, Server
from network import Network
from running import NAMESPACE, ingress_class, namespace

SPACE = "bench"
WRITERS = 16
SECRET_BYTES = 500_000


class Writer:
    """A plain client of the API server; each thread has a connection of its own."""

    def __init__(self, cluster: ApiServer) -> None:
        self._cluster = cluster
        certificate, key = cluster.authority.issue("bench", user="bench", group="system:masters")
        self._context = ssl.create_default_context(cafile=str(cluster.folder / "ca.crt"))
        self._context.load_cert_chain(certificate, key)
        self._local = threading.local()

    def connect(self) -> http.client.HTTPSConnection:
        place = urlsplit(self._cluster.url)
        return http.client.HTTPSConnection(str(place.hostname), place.port, context=self._context, timeout=60)

    def send(self, method: str, path: str, body: Manifest | None = None, kind: str = "application/json") -> Manifest:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self.connect()
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": kind})
        answer = connection.getresponse()
        found = answer.read()
        assert answer.status < 300, f"{method} {path}: {answer.status} {found[:300]!r}"
        return dict(json.loads(found))

    def all(self, path: str, bodies: Iterator[Manifest]) -> None:
        """Create many objects, some at a time."""
        with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
            for done in pool.map(lambda body: self.send("POST", path, body), bodies):
                assert done


INGRESSES = f"/apis/networking.k8s.io/v1/namespaces/{SPACE}/ingresses"
SERVICES = f"/api/v1/namespaces/{SPACE}/services"
SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{SPACE}/endpointslices"
SECRETS = f"/api/v1/namespaces/{SPACE}/secrets"


def app_name(number: int) -> str:
    return f"app{number:05}"


def host(number: int) -> str:
    return f"h{number:05}.bench.test"


def _meta(number: int, **more: Any) -> Manifest:
    return {"name": app_name(number), "namespace": SPACE, **more}


def service(number: int) -> Manifest:
    spec = {"ports": [{"name": "http", "port": 80, "targetPort": "http"}], "clusterIP": "None"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _meta(number), "spec": spec}


def endpoints(number: int, address: str, port: int) -> Manifest:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": _meta(number, labels={"kubernetes.io/service-name": app_name(number)}),
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
    }


def place(server: Server) -> tuple[str, int]:
    return server.endpoint.address, server.port


def ingress(number: int, name: str = "") -> Manifest:
    paths = [
        {
            "path": path,
            "pathType": "Prefix",
            "backend": {"service": {"name": app_name(number), "port": {"name": "http"}}},
        }
        for path in ("/", "/api", "/login")
    ]
    rule = {"host": name or host(number), "http": {"paths": paths}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": _meta(number),
        "spec": {"ingressClassName": "nginx", "rules": [rule]},
    }


def release(number: int) -> Manifest:
    """A Secret as Helm keeps one for each release."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {"name": f"sh.helm.release.v1.app{number}.v1", "namespace": SPACE},
        "stringData": {"release": uuid.uuid4().hex * (SECRET_BYTES // 32)},
    }


@contextlib.contextmanager
def filled(hosts: int, helm_secrets: int) -> Iterator[tuple[ApiServer, Writer, list[Server]]]:
    """An API server with an Ingress, a Service and a slice for each of `hosts`, and so many of Helm's Secrets."""
    cluster, network = ApiServer(), Network()
    try:
        servers = []
        for name in ("one", "two"):
            listener = network.listener()
            servers.append(Server(name, lambda request, name=name: Reply(200, body=name.encode()), listener=listener))
        cluster.start()
        cluster.apply(namespace(NAMESPACE), namespace(SPACE), ingress_class())
        writer = Writer(cluster)
        numbers = range(1, hosts + 1)
        writer.all(SERVICES, (service(number) for number in numbers))
        writer.all(SLICES, (endpoints(number, *place(servers[0])) for number in numbers))
        writer.all(INGRESSES, (ingress(number) for number in numbers))
        writer.all(SECRETS, (release(number) for number in range(helm_secrets)))
        yield cluster, writer, servers
    finally:
        cluster.close()
        network.close()
