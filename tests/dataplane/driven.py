"""What tools that drive ingress controllers meet: manifests go in, requests are answered, objects may be read back.

`World` is one of two adapters, a folder or a cluster; a sequence of `toolsequences` is the same on both.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography import x509
from dataplane import Reply, Request, Server, echo, trusting_context, until
from up import Manifest, Up

PATIENCE = 40.0
NAMESPACE = "tools"


class World(Protocol):
    """Where a tool puts its objects. `place` is the address that NGINX and the backends have."""

    up: Up
    in_cluster: bool

    def put(self, *manifests: Manifest) -> None:
        """Create or change, in this order."""

    def remove(self, *manifests: Manifest) -> None:
        """Delete, in this order."""

    def read(self, manifest: Manifest) -> Manifest:
        """The object as it is there now."""

    def server(self, name: str, handler: Callable[[Request], Reply | None] = echo) -> Server:
        """A backend that lives as long as the world."""


@dataclass(frozen=True)
class Got:
    """An answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    @property
    def backend(self) -> str:
        return str(json.loads(self.body)["backend"]) if self.status == 200 else str(self.status)


def ask(
    world: World, host: str, path: str = "/", *, tls: bool = False, method: str = "GET", body: str = "", **headers: str
) -> Got:
    """One request; `x_user="a"` becomes the header `X-User: a`."""
    port = world.up.https if tls else world.up.http
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        if tls:
            raw = socket.create_connection(("127.0.0.1", port), 20)
            connection.sock = trusting_context().wrap_socket(raw, server_hostname=host)
        rows = {key.replace("_", "-"): value for key, value in headers.items()}
        connection.request(method, path, body or None, {"Host": host, "Connection": "close", **rows})
        answer = connection.getresponse()
        return Got(answer.status, tuple(answer.getheaders()), answer.read().decode(errors="replace"))
    finally:
        connection.close()


def eventually(what: Callable[[], Any], why: str = "") -> Any:
    return until(what, PATIENCE, why)


def seconds_until(what: Callable[[], Any]) -> float:
    """How long it took: a figure, not a verdict."""
    started = time.monotonic()
    eventually(what)
    return time.monotonic() - started


def serial_shown(world: World, host: str) -> int:
    """The serial number of the certificate that clients see."""
    with (
        socket.create_connection(("127.0.0.1", world.up.https), 20) as raw,
        trusting_context().wrap_socket(raw, server_hostname=host) as sock,
    ):
        found = sock.getpeercert(binary_form=True)
    assert found is not None
    return x509.load_pem_x509_certificate(ssl.DER_cert_to_PEM_cert(found).encode()).serial_number


def share(world: World, host: str, backend: str, count: int = 200, **headers: str) -> float:
    """The part of so many requests that one backend answers."""
    return sum(ask(world, host, **headers).backend == backend for _ in range(count)) / count


# -- manifests ---------------------------------------------------------------------------------------------------------


def meta(name: str, owner: Manifest | None = None, **more: Any) -> Manifest:
    found: Manifest = {"name": name, "namespace": NAMESPACE, **more}
    if owner is not None:
        found["ownerReferences"] = [owner]
    return found


def owner(kind: str, version: str, name: str) -> Manifest:
    """A controller reference, as tools leave one on what they make."""
    uid = "8f14e45f-ceea-467f-a8c1-2f3b1d0c9a11"
    return {
        "apiVersion": version,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def service(name: str, port: int = 80, **spec: Any) -> Manifest:
    ports = [{"name": "http", "port": port, "targetPort": spec.pop("target", port)}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta(name), "spec": {"ports": ports, **spec}}


def endpoints(name: str, *servers: Server) -> Manifest:
    """The slice that Kubernetes keeps for a Service with a selector; all servers have to have one port."""
    found = [{"addresses": [one.endpoint.address], "conditions": {"ready": True}} for one in servers]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta(f"{name}-slice", labels={"kubernetes.io/service-name": name}),
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": servers[0].port if servers else 80, "protocol": "TCP"}],
        "endpoints": found,
    }


def path(service_name: str, text: str = "/", kind: str = "Prefix", port: int = 80) -> Manifest:
    return {
        "path": text,
        "pathType": kind,
        "backend": {"service": {"name": service_name, "port": {"number": port}}},
    }


def ingress(name: str, host: str, *paths: Manifest, tls: str = "", **annotations: str) -> Manifest:
    """An Ingress of the class `nginx`; `auth_type="basic"` becomes the annotation `…/auth-type`."""
    rows = {f"nginx.ingress.kubernetes.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    spec: Manifest = {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": list(paths)}}]}
    if tls:
        spec["tls"] = [{"hosts": [host], "secretName": tls}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": meta(name, annotations=rows),
        "spec": spec,
    }


def secret(name: str, kind: str = "Opaque", **data: str) -> Manifest:
    rows = {key.replace("_", "."): base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": meta(name), "data": rows}


def as_json(manifest: Manifest) -> str:
    return json.dumps(manifest)
