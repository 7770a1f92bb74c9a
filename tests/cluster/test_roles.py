"""The operator with the flags and the roles that the chart gives it: it works, and asks for nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from apiserver import ApiServer, Manifest, program, until
from network import Network
from running import PATIENCE, Run, backend, ingress_class, namespace, slices
from up import free_ports, ingress

CHART = Path(__file__).parents[2] / "charts" / "tidegate"
DEFINITIONS = Path(__file__).parents[2] / "crds"
PLACES = ("--http-port=", "--https-port=", "--healthz-port=", "--run-dir=", "--agent=", "--validating-webhook=")
CLASS = "roles"
VALUES: dict[str, dict[str, Any]] = {
    "cluster": {"controller": {}},
    "scoped": {"controller": {"scope": {"enabled": True, "namespace": "roles-scoped-apps"}}},
    "namespaced": {
        "rbac": {"scope": True},
        "controller": {"scope": {"enabled": True, "namespace": "roles-namespaced-apps"}},
    },
    "labels": {"controller": {"scope": {"namespaceSelector": "served=labels"}}},
    "nodes": {"controller": {"publishService": {"enabled": False}}},
}


def chart(name: str) -> list[Manifest]:
    """What the chart makes of a set of values, in a namespace of its own."""
    values = json.loads(json.dumps(VALUES[name]))
    values["controller"] |= {
        "service": {"type": "ClusterIP"},
        "ingressClass": CLASS,
        "ingressClassResource": {"enabled": False, "controllerValue": "tidegate.dev/roles"},
        # no review is ever sent: the Service leads nowhere here
        "admissionWebhooks": {"namespaceSelector": {"matchLabels": {"reviewed": "never"}}},
    }
    values["crds"] = {"enabled": False}
    command = [program("helm"), "template", f"roles-{name}", str(CHART), "--kube-version", "1.34.4"]
    command += ["--namespace", f"roles-{name}", "--values", "-"]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def flags(manifests: list[Manifest], here: str) -> list[str]:
    """The operator's flags but for its places, which are this machine's."""
    deployment = next(one for one in manifests if one["kind"] == "Deployment")
    operator = deployment["spec"]["template"]["spec"]["containers"][0]
    found = [flag.replace("$(POD_NAMESPACE)", here) for flag in operator["args"] if not flag.startswith(PLACES)]
    if len(found) + len(PLACES) == len(operator["args"]):
        found.append(f"--validating-webhook=127.0.0.1:{free_ports(1)[0]}")
    return found


@contextmanager
def installed(cluster: ApiServer, name: str) -> Iterator[tuple[Run, str]]:
    """An operator as the chart would run it, and the user that it is."""
    here = f"roles-{name}"
    manifests = chart(name)
    user = f"system:serviceaccount:{here}:{here}-tidegate"
    pod: Manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "tidegate-0", "namespace": here, "labels": {"app.kubernetes.io/component": "controller"}},
        "spec": {"containers": [{"name": "operator", "image": "none"}], "nodeName": "roles-node"},
    }
    node: Manifest = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "roles-node"}}
    cluster.apply(*(yaml.safe_load(path.read_text()) for path in sorted(DEFINITIONS.glob("*.yaml"))))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    cluster.apply(namespace(here), namespace(f"{here}-apps", served=name))
    cluster.apply(ingress_class(CLASS, "tidegate.dev/roles"), node)
    cluster.apply(pod, *(one for one in manifests if one["kind"] != "Deployment"))
    addresses = {"addresses": [{"type": "ExternalIP", "address": "192.0.2.77"}]}
    _set_status(cluster, "node", "roles-node", here, addresses)
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    _set_status(cluster, "pod", "tidegate-0", here, ready)
    with Run(cluster, *flags(manifests, here)) as run:
        run.kubeconfig = cluster.kubeconfig_of(user)
        run.env["POD_NAMESPACE"] = here
        yield run, user


def _set_status(cluster: ApiServer, kind: str, name: str, namespace: str, status: Manifest) -> None:
    """What a kubelet would say."""
    patch = json.dumps({"status": status})
    cluster.kubectl("patch", kind, name, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)


def _is_filled(cluster: ApiServer, name: str) -> bool:
    """Whether the webhook's Secret is there, with a certificate."""
    return any(one.get("data") for one in cluster.items("secrets", f"roles-{name}"))


@pytest.mark.parametrize("name", VALUES)
def test_the_charts_roles_are_enough_and_nothing_more_is_asked_for(
    cluster: ApiServer, network: Network, name: str
) -> None:
    apps = f"roles-{name}-apps"
    host = f"{name}.roles.test"
    with installed(cluster, name) as (run, user):
        run.start()
        one = ingress("shop", host, namespace=apps)
        if name == "namespaced":  # IngressClasses are the whole cluster's: the annotation is what is left
            one["spec"].pop("ingressClassName")
            one["metadata"]["annotations"]["kubernetes.io/ingress.class"] = CLASS
        else:
            one["spec"]["ingressClassName"] = CLASS
        cluster.apply(slices("echo", backend(network, f"roles-{name}"), namespace=apps), one)
        run.serves(host)
        until(lambda: cluster.get("ingress", "shop", apps)["status"].get("loadBalancer"), PATIENCE, run.said)
        until(
            lambda: any(row["reason"] == "Applied" for row in cluster.items("events", apps)), PATIENCE, "no Event came"
        )
        if name != "namespaced":  # without roles of the whole cluster there is no webhook
            until(lambda: _is_filled(cluster, name), PATIENCE, run.said)
        secrets = cluster.items("secrets", f"roles-{name}")
        assert bool(secrets) is (name != "namespaced")
        for one in secrets:
            until(lambda: _is_filled(cluster, name), PATIENCE, run.said)
            cluster.delete("secret", one["metadata"]["name"], f"roles-{name}")
            until(lambda: _is_filled(cluster, name), PATIENCE, run.said)
        clusters = ("/ingressclasses", "/servicecidrs") if name == "namespaced" else ()
        forbidden = [line for line in cluster.forbidden(user) if not any(kind in line for kind in clusters)]
        assert forbidden == []
