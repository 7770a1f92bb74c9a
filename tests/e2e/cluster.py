"""What the e2e tests share: kubectl and helm, manifests of a shop, requests from outside the cluster."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dataplane import until
from steadyload import Load
from up import PREFIX, Manifest

PROJECT = Path(__file__).parents[2]
CHART = PROJECT / "charts" / "tidegate"
NAMESPACE = "tidegate-system"
SHOP = "shop"
HOST = "shop.test"
IMAGE = os.environ["E2E_IMAGE"]
NODE = os.environ["E2E_NODE"]
ADDRESS = os.environ["E2E_ADDRESS"]
PATIENCE = 120.0
ENDING = 330.0  # a pod may take the whole of its grace period for connections that are never idle
RELEASE = "tidegate"
CONTROLLER = "tidegate-controller"


def run(*words: str, stdin: str = "", check: bool = True, limit: float = 600) -> str:
    """What a command prints; with its complaints where it may fail."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=limit)
    assert done.returncode == 0 or not check, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout if check else done.stdout + done.stderr


def kubectl(*words: str, stdin: str = "", check: bool = True) -> str:
    return run("kubectl", *words, stdin=stdin, check=check)


def apply(*manifests: Manifest, check: bool = True) -> str:
    return kubectl(
        "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}), check=check
    )


def get(kind: str, name: str, namespace: str = NAMESPACE) -> Manifest:
    return dict(json.loads(kubectl("-n", namespace, "get", kind, name, "-o", "json")))


def helm(verb: str, **values: Any) -> str:
    """Installs or upgrades the release, and waits until its pods are ready."""
    repository, _, tag = IMAGE.rpartition(":")
    controller: dict[str, Any] = {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
        "service": {"type": "NodePort"},
        **values,
    }
    words = ["helm", verb, RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace", "--wait"]
    words += ["--timeout", "300s", "--values", "-"]
    return run(
        *(word for word in words if verb == "install" or word != "--create-namespace"),
        stdin=json.dumps({"controller": controller}),
    )


class Outside:
    """The node's port, as a client outside the cluster sees it."""

    address = ADDRESS

    def __init__(self) -> None:
        ports = get("service", CONTROLLER)["spec"]["ports"]
        self.http, self.https = (
            next(int(port["nodePort"]) for port in ports if port["name"] == name) for name in ("http", "https")
        )

    def ask(self, host: str = HOST, path: str = "/") -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.address, self.http, timeout=10)
        try:
            connection.request("GET", path, headers={"Host": host, "Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except OSError as error:
            return 0, repr(error)
        finally:
            connection.close()

    def serves(self, host: str = HOST, status: int = 200) -> None:
        until(lambda: self.ask(host)[0] == status, PATIENCE, f"{host}: {self.ask(host)}")


def load(outside: Outside) -> Load:
    return Load(outside, HOST, most=1_000_000)


def pods(selector: str = "app.kubernetes.io/component=controller", namespace: str = NAMESPACE) -> list[Manifest]:
    """Those that are not on their way out."""
    found = json.loads(kubectl("-n", namespace, "get", "pods", "-l", selector, "-o", "json"))["items"]
    return [one for one in found if "deletionTimestamp" not in one["metadata"]]


def is_ready(pod: Manifest) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


def restarts(pod: Manifest) -> dict[str, int]:
    return {one["name"]: one["restartCount"] for one in pod["status"]["containerStatuses"]}


def alone(count: int) -> None:
    """Wait until there are so many pods of the release, and none on its way out."""
    selector = ("-l", "app.kubernetes.io/component=controller", "-o", "name")
    until(lambda: len(kubectl("-n", NAMESPACE, "get", "pods", *selector).split()) == count, ENDING, "old pods end")


def ready_pods(count: int) -> list[Manifest]:
    def enough() -> list[Manifest]:
        found = [one for one in pods() if is_ready(one)]
        return found if len(found) == count else []

    return list(until(enough, PATIENCE, f"{count} ready pods"))


def inside(pod: Manifest, container: str, script: str) -> str:
    """What a shell says in a container."""
    return kubectl("-n", NAMESPACE, "exec", pod["metadata"]["name"], "-c", container, "--", "sh", "-c", script)


LISTENING = """
/opt/tidegate/bin/python - <<'END'
import contextlib, glob, os
held, ports = set(), set()
for path in glob.glob("/proc/[0-9]*/fd/*"):
    with contextlib.suppress(OSError):
        held.add(os.readlink(path))
for table in glob.glob("/proc/net/tcp*"):
    for words in map(str.split, open(table)):
        if words[3] == "0A" and f"socket:[{words[9]}]" in held:
            ports.add(int(words[1].rpartition(":")[2], 16))
print(*sorted(ports))
END
"""


def listening(pod: Manifest, container: str) -> set[int]:
    """The TCP ports at which the processes of a container listen: those of a pod share a network, but no processes."""
    return {int(port) for port in inside(pod, container, LISTENING).split()}


def admin(pod: Manifest, path: str) -> Any:
    """What a pod's admin port answers, asked inside the pod."""
    program = (
        f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:10254{path}', timeout=60).read().decode())"
    )
    return json.loads(inside(pod, "operator", f'/opt/tidegate/bin/python -c "{program}"'))


def said() -> str:
    """What happened lately: the pods' messages without their access logs, and the events of the shop."""
    lines = []
    for pod in json.loads(kubectl("-n", NAMESPACE, "get", "pods", "-o", "json"))["items"]:
        name = pod["metadata"]["name"]
        for container in ("operator", "nginx"):
            text = kubectl("-n", NAMESPACE, "logs", name, "-c", container, "--tail=300", check=False)
            lines += [f"== {name} {container}", *[line for line in text.splitlines() if "HTTP/1.1" not in line][-60:]]
    lines += ["== events", kubectl("-n", SHOP, "get", "events", "--sort-by=.lastTimestamp", check=False)[-6000:]]
    return "\n".join(lines)


def eventually(what: Callable[[], Any], why: str | Callable[[], str] = "") -> Any:
    try:
        return until(what, PATIENCE, "" if callable(why) else why)
    except AssertionError as error:
        raise AssertionError(f"{error} {why()}" if callable(why) else str(error)) from None


# -- manifests ---------------------------------------------------------------------------------------------------------


def workload(name: str, container: Manifest, files: Manifest, replicas: int, config: str, **pod: Any) -> list[Manifest]:
    """A Deployment of `container`, whose one volume holds `files` (the ConfigMap `config`), and a Service of its port
    8080. `pod`: more of the pod's spec.
    """
    meta, labels = {"name": name, "namespace": SHOP}, {"app": name}
    volume = container["volumeMounts"][0]["name"]
    common = {
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "ports": [{"containerPort": 8080}],
        # generous, for the machine may be busy: a backend that flaps would be a failure of nobody's
        "readinessProbe": {
            "httpGet": {"path": "/", "port": 8080},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
            "failureThreshold": 10,
        },
    }
    spec = {
        **pod,
        "containers": [common | container],
        "volumes": [{"name": volume, "configMap": {"name": config}}],
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": config, "namespace": SHOP},
            "data": files,
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {
                "replicas": replicas,
                "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
        },
    ]


def backend(name: str = "echo", replicas: int = 2) -> list[Manifest]:
    """A Deployment of backend.py, which comes from a ConfigMap, and its Service."""
    container = {
        "name": "echo",
        "command": ["/opt/tidegate/bin/python", "/code/backend.py"],
        "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "volumeMounts": [{"name": "code", "mountPath": "/code"}],
    }
    files = {"backend.py": (Path(__file__).parent / "backend.py").read_text()}
    return workload(name, container, files, replicas, "code")


def ingress(name: str, host: str, **annotations: str) -> Manifest:
    rule = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "echo", "port": {"number": 80}}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": name,
            "namespace": SHOP,
            "annotations": {PREFIX + key.replace("_", "-"): value for key, value in annotations.items()},
        },
        "spec": {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": [rule]}}]},
    }


def objects() -> set[str]:
    """Everything in the cluster but for what comes and goes by itself, as `kind/namespace/name`."""
    kinds = kubectl("api-resources", "--verbs=list", "-o", "name").split()
    skip = {"events", "events.events.k8s.io", "componentstatuses"}
    found = set()
    for kind in kinds:
        if kind in skip:
            continue
        items = json.loads(kubectl("get", kind, "-A", "-o", "json"))["items"]
        found |= {f"{kind}/{one['metadata'].get('namespace', '')}/{one['metadata']['name']}" for one in items}
    return found
