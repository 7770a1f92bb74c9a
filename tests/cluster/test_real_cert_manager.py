"""cert-manager itself and an ACME server, Pebble: HTTP-01 through NGINX, from an Ingress to the certificate that
clients see, and its renewal.

There are no nodes. In a kubelet's place the test runs the solver's own program, with the arguments of the pod that
cert-manager makes, in a network namespace, and says in an EndpointSlice where it is.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from apiserver import ApiServer, Manifest
from cryptography import x509
from dnsserver import Dns
from driven import NAMESPACE, ask, endpoints, meta
from realtools import Wait, define_kinds, program, running
from toolsequences import guarded
from toolworld import Cluster, toolworld
from up import free_ports

SOLVER = "acme.cert-manager.io/http01-solver"
SOLVER_PORT = 8089
IN_PLACE = {"acme.cert-manager.io/http01-edit-in-place": "true"}
BALANCER = """
defaults
  mode tcp
  timeout connect 10s
  timeout client 60s
  timeout server 60s
listen http
  bind {address}:80
  server tidegate {nginx}
"""


@dataclass(frozen=True)
class Acme:
    """`roots` trusts the certificates that the ACME server gives; `wait` sees to it that cert-manager runs, too."""

    roots: ssl.SSLContext
    wait: Wait


@pytest.fixture(scope="module")
def world(cluster: ApiServer) -> Iterator[Cluster]:
    with toolworld(cluster, "tidegate-cert-manager") as one:
        yield one


@pytest.fixture(scope="module")
def acme(world: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    """What a host's name leads to is a load balancer, whose port 80 leads to NGINX: as it is on the internet."""
    folder = tmp_path_factory.mktemp("acme")
    define_kinds(world, "cert-manager")
    balancer = folder / "haproxy.cfg"
    address = free_address(world)
    balancer.write_text(BALANCER.format(address=address, nginx=f"{world.network.base}.1:{world.up.http}"))
    with Dns([address]) as dns, running(folder, *inside(world), "haproxy", "-db", "-f", str(balancer)):
        directory, manage, metrics = free_ports(3)
        certificate, key = world.api.authority.issue("pebble", user="pebble", addresses=("127.0.0.1",))
        settings = {
            "listenAddress": f"127.0.0.1:{directory}",
            "managementListenAddress": f"127.0.0.1:{manage}",
            "certificate": str(certificate),
            "privateKey": str(key),
            "httpPort": 80,
            "tlsPort": 443,
            "retryAfter": {"authz": 1, "order": 1},
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
        pebble = [program("pebble"), "-config", str(folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{dns.port}"]
        # each order is asked to prove itself, at once, and no request is refused to see what a client makes of it
        manner = {"PEBBLE_AUTHZREUSE": "0", "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        words = [program("cert-manager"), "--kubeconfig", str(world.api.kubeconfig), "--leader-elect=false"]
        words += ["--namespace", NAMESPACE, "--acme-http01-solver-nameservers", f"127.0.0.1:{dns.port}"]
        words += ["--dns01-check-retry-period", "1s", "--metrics-listen-address", f"127.0.0.1:{metrics}"]
        with running(folder, *pebble, **manner) as started, running(folder, *words) as wait:
            roots = started(lambda: _roots(world, f"https://127.0.0.1:{manage}/roots/0"))
            world.put(issuer(world, f"https://127.0.0.1:{directory}/dir"))
            wait(lambda: condition(world, "issuer", "letsencrypt", "Ready"))
            yield Acme(roots, wait)


def inside(world: Cluster) -> list[str]:
    """What comes before a program that runs in the network namespace."""
    return ["ip", "netns", "exec", world.network.name]


def free_address(world: Cluster) -> str:
    place = world.network.listener()
    try:
        return str(place.getsockname()[0])
    finally:
        place.close()


def _roots(world: Cluster, url: str) -> ssl.SSLContext | None:
    known = ssl.create_default_context(cafile=str(world.api.folder / "ca.crt"))
    try:
        with urllib.request.urlopen(url, timeout=10, context=known) as answer:
            pem = answer.read().decode()
    except OSError:
        return None
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.load_verify_locations(cadata=pem)
    return found


def issuer(world: Cluster, url: str) -> Manifest:
    authority = base64.b64encode((world.api.folder / "ca.crt").read_bytes()).decode()
    server = {"server": url, "caBundle": authority, "privateKeySecretRef": {"name": "acme-account"}}
    solvers = [{"http01": {"ingress": {"class": "nginx"}}}]
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Issuer",
        "metadata": meta("letsencrypt"),
        "spec": {"acme": {**server, "solvers": solvers}},
    }


def condition(world: Cluster, kind: str, name: str, which: str) -> bool:
    """Whether it is there and true."""
    words = ("-n", NAMESPACE, "get", kind, name, "--ignore-not-found", "-o", "json")
    found = json.loads(world.api.kubectl(*words) or "{}").get("status", {}).get("conditions", [])
    return any((one["type"], one["status"]) == (which, "True") for one in found)


def of_the_solver(world: Cluster, kind: str) -> list[Manifest]:
    words = ("-n", NAMESPACE, "get", kind, "-l", f"{SOLVER}=true", "-o", "json")
    return list(json.loads(world.api.kubectl(*words))["items"])


@contextmanager
def kubelet(world: Cluster, folder: Path, wait: Wait) -> Iterator[None]:
    """Runs the one pod of a solver, while its challenge lasts."""
    (pod,) = wait(lambda: of_the_solver(world, "pods"))
    (service,) = wait(lambda: of_the_solver(world, "services"))
    arguments = pod["spec"]["containers"][0]["args"]
    found = endpoints(service["metadata"]["name"])
    found["ports"][0]["port"] = SOLVER_PORT
    found["endpoints"] = [{"addresses": [free_address(world)], "conditions": {"ready": True}}]
    with running(folder, *inside(world), program("acmesolver"), *arguments):
        world.put(found)
        yield
    world.remove(found)


def renew(world: Cluster, name: str) -> None:
    """What `cmctl renew` does."""
    certificate = world.api.get("certificate", name, NAMESPACE)
    asked = {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "asked for"}
    patch: Manifest = {
        "metadata": {"resourceVersion": certificate["metadata"]["resourceVersion"]},
        "status": {"conditions": [*certificate["status"]["conditions"], asked]},
    }
    words = ("-n", NAMESPACE, "patch", "certificate", name, "--subresource=status", "--type=merge", "-p")
    world.api.kubectl(*words, json.dumps(patch))


def serial_in(world: Cluster, secret: str) -> int:
    words = ("-n", NAMESPACE, "get", "secret", secret, "--ignore-not-found", "-o", "json")
    found: dict[str, Any] = json.loads(world.api.kubectl(*words) or "{}").get("data", {})
    return x509.load_pem_x509_certificate(base64.b64decode(found["tls.crt"])).serial_number if found else 0


def serial_trusted(world: Cluster, host: str, roots: ssl.SSLContext) -> int:
    """Of the certificate that a client sees and takes for good; 0 if it would not."""
    try:
        with (
            socket.create_connection(("127.0.0.1", world.up.https), 20) as raw,
            roots.wrap_socket(raw, server_hostname=host) as sock,
        ):
            found = sock.getpeercert()
    except ssl.SSLCertVerificationError:
        return 0
    assert found is not None
    return int(str(found["serialNumber"]), 16)


@pytest.mark.parametrize("in_place", [False, True], ids=["an Ingress of its own", "a path of the application's"])
def test_cert_manager_itself_gets_a_certificate_and_renews_it(
    world: Cluster, acme: Acme, tmp_path: Path, in_place: bool
) -> None:
    name = "edited" if in_place else "beside"
    host, wait, secret = f"{name}.test", acme.wait, f"{name}-tls"
    wants = {"cert-manager.io/issuer": "letsencrypt"}
    if in_place:
        app = guarded(world, host, "/", wants=wants | IN_PLACE)
    else:
        app = guarded(world, host, wants=wants, use_regex="true", rewrite_target="/$1")

    def comes(last: int) -> int:
        """Another certificate than the last one, after a challenge; until then there may be one that nobody trusts."""
        with kubelet(world, tmp_path, wait):
            wait(lambda: serial_trusted(world, host, acme.roots) not in (0, last))
            wait(lambda: condition(world, "certificate", secret, "Ready"))
            wait(lambda: not any(of_the_solver(world, kind) for kind in ("pods", "services", "ingresses")))
        found = serial_trusted(world, host, acme.roots)
        assert found == serial_in(world, secret)
        wait(lambda: paths_of(world.read(app)) == paths_of(app))
        assert ask(world, host).status == 308
        assert ask(world, host, tls=True).status == 401
        assert ask(world, host, tls=True, authorization="Basic dXNlcjpzZWNyZXQ=").backend == name
        return found

    wait(lambda: ask(world, host).status == 308)
    issued = comes(0)
    wait(lambda: not condition(world, "certificate", secret, "Issuing"))
    renew(world, secret)
    comes(issued)


def paths_of(app: Manifest) -> list[str]:
    return [one["path"] for rule in app["spec"]["rules"] for one in rule["http"]["paths"]]
