"""The admission webhook, asked by a real API server on behalf of kubectl."""

from __future__ import annotations

import base64
import itertools
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from apiserver import ApiServer, Manifest, until
from cryptography import x509
from network import Network
from running import NAMESPACE, PATIENCE, Run, backend, ingress_class, namespace, slices
from up import PREFIX, free_ports, ingress

CONFIGURATION = "tidegate-test"


def configuration(port: int) -> Manifest:
    """As the chart's, but reached on this machine; only namespaces labelled for it are asked about."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": CONFIGURATION},
        "webhooks": [
            {
                "name": "validate.nginx.ingress.kubernetes.io",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Ignore",
                "matchPolicy": "Equivalent",
                "clientConfig": {"url": f"https://localhost:{port}/networking/v1/ingresses"},
                "namespaceSelector": {"matchLabels": {"checked": "true"}},
                "rules": [
                    {
                        "apiGroups": ["networking.k8s.io"],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": ["ingresses"],
                    }
                ],
            }
        ],
    }


@pytest.fixture(scope="module")
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def run(cluster: ApiServer, network: Network, port: int) -> Iterator[Run]:
    echo = backend(network, "checked")
    cluster.apply(namespace(NAMESPACE), namespace("checked", checked="true"), ingress_class())
    cluster.apply(slices("echo", echo, namespace="checked"), configuration(port))
    flags = ["--validating-webhook", f"127.0.0.1:{port}", "--validating-webhook-service", "localhost"]
    flags += ["--validating-webhook-secret", f"{NAMESPACE}/webhook"]
    flags += ["--validating-webhook-configuration", CONFIGURATION, "--election-id", "webhook-leader"]
    try:
        with Run(cluster, *flags) as one:
            one.start()
            until(lambda: _authority(cluster), PATIENCE, "no authority in the webhook's configuration")
            is_asked(cluster, "probe")
            yield one
    finally:
        cluster.kubectl("delete", "validatingwebhookconfiguration", CONFIGURATION)


def _authority(cluster: ApiServer) -> str:
    found = cluster.get("validatingwebhookconfiguration", CONFIGURATION)
    return str(found["webhooks"][0]["clientConfig"].get("caBundle", ""))


def is_asked(cluster: ApiServer, name: str) -> None:
    """Wait until the API server asks the webhook. What it lets in before is not reviewed again: each has a new name."""
    numbers = itertools.count()
    until(lambda: "denied the request" in _refused(cluster, f"{name}{next(numbers)}"), PATIENCE, "it is not asked")


def _refused(cluster: ApiServer, name: str, **annotations: str) -> str:
    wrong = annotations or {"limit_rps": "many"}
    return cluster.try_to_apply(ingress(name, f"{name}.test", namespace="checked", **wrong))


def test_kubectl_shows_why_an_ingress_is_refused(run: Run, cluster: ApiServer) -> None:
    said = _refused(cluster, "refused", limit_rps="many")
    assert 'admission webhook "validate.nginx.ingress.kubernetes.io" denied the request' in said
    assert f"metadata.annotations[{PREFIX}limit-rps]: found 'many'" in said


def test_kubectl_shows_warnings_of_an_ingress_that_is_let_in(run: Run, cluster: ApiServer) -> None:
    said = cluster.try_to_apply(
        ingress("warned", "warned.test", namespace="checked", backend="absent", proxy_read_timeout="soon")
    )
    assert "created" in said
    assert "Warning: there is no Service checked/absent" in said
    assert "proxy-read-timeout" in said


def test_a_path_that_is_taken_is_refused_with_the_name_of_its_owner(run: Run, cluster: ApiServer) -> None:
    cluster.apply(ingress("owner", "taken.test", namespace="checked"))
    run.serves("taken.test")
    said = cluster.try_to_apply(ingress("second", "taken.test", namespace="checked"))
    assert 'host "taken.test" and path "/" is already defined in ingress checked/owner' in said
    assert "denied" not in cluster.try_to_apply(ingress("owner", "taken.test", path="/more", namespace="checked"))


def test_what_the_webhook_did_is_counted(run: Run, cluster: ApiServer) -> None:
    _refused(cluster, "counted")
    cluster.apply(ingress("counted-good", "counted.test", namespace="checked"))
    samples = {(name, labels.get("ingress", "")): value for name, labels, value in run.samples()}
    assert samples["nginx_ingress_controller_check_errors", "counted"] >= 1
    assert samples["nginx_ingress_controller_check_success", "counted-good"] >= 1
    assert samples["nginx_ingress_controller_leader_election_status", ""] == 1
    assert samples["nginx_ingress_controller_admission_tested_ingresses", ""] == 1


def test_a_lost_certificate_is_made_anew_and_shown_without_a_restart(run: Run, cluster: ApiServer, port: int) -> None:
    before = _shown(port)
    cluster.kubectl("delete", "secret", "webhook", "-n", NAMESPACE)
    until(lambda: _shown(port) != before, PATIENCE, "the certificate does not change")
    until(lambda: _verifies(cluster, port), PATIENCE, "the API server would not trust the new certificate")
    is_asked(cluster, "after-rotation")


def _shown(port: int) -> int:
    """The serial number of the certificate that the webhook shows."""
    pem = ssl.get_server_certificate(("127.0.0.1", port))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def _verifies(cluster: ApiServer, port: int) -> bool:
    context: Any = ssl.create_default_context(cadata=base64.b64decode(_authority(cluster)).decode())
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as raw,
            context.wrap_socket(raw, server_hostname="localhost"),
        ):
            return True
    except ssl.SSLError:
        return False
