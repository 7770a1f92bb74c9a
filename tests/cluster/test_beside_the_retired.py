"""The chart in a cluster where ingress-nginx is installed: each works with its own objects, and the class is shared."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest
import yaml
from apiserver import PROJECT, ApiServer, Manifest, program, until
from network import Network
from running import PATIENCE, Run, backend, ingress_class, slices
from up import free_ports, ingress

CHART = PROJECT / "charts" / "tidegate"
THEIRS, OURS = "ingress-nginx", "tidegate"
Objects = dict[tuple[str, str, str], str]


def retired() -> list[Manifest]:
    """What the chart of ingress-nginx leaves in a cluster and another controller could step on; as Helm marks it."""
    namespace, name = {"namespace": THEIRS}, f"{THEIRS}-controller"
    labels = {
        "app.kubernetes.io/name": THEIRS,
        "app.kubernetes.io/instance": THEIRS,
        "app.kubernetes.io/component": "controller",
        "app.kubernetes.io/managed-by": "Helm",
    }
    notes = {"meta.helm.sh/release-name": THEIRS, "meta.helm.sh/release-namespace": THEIRS}
    target = {"namespace": THEIRS, "name": f"{name}-admission", "path": "/networking/v1/ingresses"}
    asked = {"operations": ["CREATE", "UPDATE"], "resources": ["ingresses"]}
    hook = {
        "name": "validate.nginx.ingress.kubernetes.io",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Ignore",  # its own default is Fail: nobody answers here
        "timeoutSeconds": 1,
        "matchPolicy": "Equivalent",
        "clientConfig": {"service": target},
        "rules": [{"apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], **asked}],
    }
    container = {"name": "controller", "image": "controller:v1.15.0"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    ports = [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "https", "port": 443, "targetPort": "https"}]
    leader = {"holderIdentity": f"{name}-1", "leaseDurationSeconds": 30, "renewTime": "2026-01-01T00:00:00.000000Z"}
    admission = f"{THEIRS}-admission"
    subjects = [{"kind": "ServiceAccount", "name": THEIRS, **namespace}]
    api = "rbac.authorization.k8s.io"
    found: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": THEIRS}},
        ingress_class(),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": THEIRS, **namespace}},
        {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": THEIRS},
            "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}],
        },
        {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": THEIRS},
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": THEIRS},
            "subjects": subjects,
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **namespace}, "data": {"keep-alive": "9"}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, **namespace},
            "spec": {"type": "LoadBalancer", "selector": labels, "ports": ports},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, **namespace},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": f"{THEIRS}-leader", **namespace},
            "spec": leader,
        },
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": admission, **namespace}, "data": {"ca": "eA=="}},
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": admission},
            "webhooks": [hook],
        },
    ]
    for one in found:
        one["metadata"] |= {"labels": labels, "annotations": notes}
    return found


@pytest.fixture
def shared() -> Iterator[ApiServer]:
    """A cluster of its own: what is of the whole cluster has the names that releases have by default."""
    server = ApiServer()
    try:
        yield server.start()
    finally:
        server.close()


def helm(cluster: ApiServer, *words: str, values: Manifest | None = None) -> str:
    command = [program("helm"), "--kubeconfig", str(cluster.kubeconfig), *words]
    given = json.dumps(values or {})
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def versions(cluster: ApiServer, manifests: list[Manifest]) -> Objects:
    """Each object's version: another one when anybody has written it."""
    found: Objects = {}
    for one in manifests:
        meta = one["metadata"]
        read = cluster.get(one["kind"], meta["name"], meta.get("namespace", "default"))
        found[_key(one)] = read["metadata"]["resourceVersion"]
    return found


def _key(one: Manifest) -> tuple[str, str, str]:
    return one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]


@pytest.mark.parametrize("namespace", [THEIRS, "tidegate-system"])
def test_a_release_beside_ingress_nginx_fights_over_nothing(
    shared: ApiServer, network: Network, namespace: str
) -> None:
    theirs = retired()
    shared.apply(theirs)
    shared.apply(slices("echo", backend(network, f"beside-{namespace}")))
    before = versions(shared, theirs)
    where = ("--namespace", namespace)

    helm(shared, "install", OURS, str(CHART), *where, "--create-namespace")
    made = [one for one in yaml.safe_load_all(helm(shared, "get", "manifest", OURS, *where)) if one]
    assert {_key(one) for one in made} & before.keys() == set()
    (hook,) = [one["metadata"]["name"] for one in made if one["kind"] == "ValidatingWebhookConfiguration"]
    (lease,) = [one["metadata"]["name"] for one in made if one["kind"] == "Lease"]

    flags = ["--validating-webhook", f"127.0.0.1:{free_ports(1)[0]}", "--validating-webhook-service", "localhost"]
    flags += ["--validating-webhook-secret", f"{namespace}/{hook}", "--validating-webhook-configuration", hook]
    with Run(shared, *flags, "--election-id", lease, "--publish-status-address", "192.0.2.7") as run:
        run.env["POD_NAMESPACE"] = namespace
        run.start()
        shared.apply(ingress("shop", "shop.test"))
        run.serves("shop.test")
        until(lambda: shared.get("ingress", "shop")["status"]["loadBalancer"], PATIENCE, run.said)
        until(lambda: _is_trusted(shared, hook), PATIENCE, run.said)
        assert versions(shared, theirs) == before

    helm(shared, "upgrade", OURS, str(CHART), *where, "--values", "-", values={"controller": {"replicaCount": 2}})
    assert versions(shared, theirs) == before
    helm(shared, "uninstall", OURS, *where)
    assert versions(shared, theirs) == before


def _is_trusted(cluster: ApiServer, hook: str) -> bool:
    (one,) = cluster.get("validatingwebhookconfiguration", hook)["webhooks"]
    return bool(one["clientConfig"].get("caBundle"))


def test_the_class_is_this_releases_once_ingress_nginx_has_taken_it_away(shared: ApiServer) -> None:
    where = ("--namespace", OURS)
    shared.apply(retired())
    helm(shared, "install", OURS, str(CHART), *where, "--create-namespace")
    assert _release_of_class(shared) == THEIRS
    shared.kubectl("delete", "ingressclass", "nginx")  # as `helm uninstall ingress-nginx` does
    helm(shared, "upgrade", OURS, str(CHART), *where)
    assert _release_of_class(shared) == OURS
    helm(shared, "upgrade", OURS, str(CHART), *where)
    helm(shared, "uninstall", OURS, *where)
    assert _release_of_class(shared) == OURS  # it stays: Ingresses name it


def _release_of_class(cluster: ApiServer) -> str:
    return str(cluster.get("ingressclass", "nginx")["metadata"]["annotations"]["meta.helm.sh/release-name"])
