"""The corpus of hostile manifests, sent to a real API server: refused with the program's words, or harmless."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostile
import pytest
import yaml
from apiserver import ApiServer, Manifest, until
from network import Network
from running import NAMESPACE, PATIENCE, Run, backend, ingress_class, namespace, slices
from test_webhook import configuration
from up import free_ports, ingress

PLACES = {
    "Ingress": "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
    "Service": "/api/v1/namespaces/{}/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
}
HOOK = "tidegate-hostile"


class Client:
    """Creates objects as an administrator; what the API server says is the result, not an error."""

    def __init__(self, cluster: ApiServer) -> None:
        certificate, key = cluster.authority.issue("hostile", user="hostile", group="system:masters")
        context = ssl.create_default_context(cafile=str(cluster.folder / "ca.crt"))
        context.load_cert_chain(certificate, key)
        self._connection = http.client.HTTPSConnection("127.0.0.1", cluster.port, context=context, timeout=60)

    def create(self, item: Manifest) -> tuple[int, str]:
        """HTTP status and message."""
        path = PLACES[item["kind"]].format(item["metadata"].get("namespace", "default"))
        self._connection.request("POST", path, json.dumps(item, default=str), {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        return answer.status, str(json.loads(answer.read()).get("message", ""))


def objects(file: Path) -> list[Manifest]:
    """What an API server could be sent of a file: nothing, where it is no YAML or not about objects it knows."""
    text = file.read_bytes()
    if re.search(rb"[:\[-] ?\*\w", text):  # aliases, with which a file of a few lines grows beyond all bounds
        return []
    try:
        documents = list(yaml.safe_load_all(text))
        json.dumps(documents, default=str)
    except (yaml.YAMLError, ValueError, RecursionError):
        return []
    found = [
        item
        for item in documents
        if isinstance(item, dict)
        and str(item.get("kind")) in PLACES
        and isinstance(item.get("metadata"), dict)
        and isinstance(item["metadata"].get("name"), str)
        and isinstance(item["metadata"].get("namespace", ""), str)
    ]
    for item in found:
        if item["kind"] == "Ingress" and isinstance(item.get("spec"), dict):
            item["spec"].setdefault("ingressClassName", "nginx")  # the folder's default class
    return found


def live() -> list[Path]:
    return [file for file in hostile.files() if hostile.expected(file).live]


@pytest.fixture(scope="module")
def run(cluster: ApiServer, network: Network) -> Iterator[Run]:
    port = free_ports(1)[0]
    hook: Any = configuration(port)
    hook["metadata"]["name"] = HOOK
    hook["webhooks"][0]["namespaceSelector"] = {"matchLabels": {"hostile-checked": "true"}}
    flags = ["--validating-webhook", f"127.0.0.1:{port}", "--validating-webhook-service", "localhost"]
    flags += ["--validating-webhook-secret", f"{NAMESPACE}/hostile-webhook", "--election-id", "hostile-leader"]
    flags += ["--validating-webhook-configuration", HOOK, "--configmap", "hostile/config"]
    cluster.apply(namespace(NAMESPACE), ingress_class(), hook, namespace("innocent"))
    cluster.apply(slices("echo", backend(network, "innocent"), namespace="innocent"))
    cluster.apply(ingress("innocent", "innocent.test", namespace="innocent"))
    try:
        with Run(cluster, *flags) as one:
            one.start()
            until(lambda: _trusted(cluster), PATIENCE)
            yield one
    finally:
        cluster.kubectl("delete", "validatingwebhookconfiguration", HOOK)


def _trusted(cluster: ApiServer) -> bool:
    hooks = cluster.get("validatingwebhookconfiguration", HOOK)["webhooks"]
    return bool(hooks[0]["clientConfig"].get("caBundle"))


def send(cluster: ApiServer, *, checked: bool) -> dict[str, list[tuple[Manifest, int, str]]]:
    """Create the objects of each file in namespaces of their own; what the API server said of each, by file."""
    client, said = Client(cluster), {}
    labels = {"hostile-checked": "true"} if checked else {}
    spaces = {str(item["metadata"].get("namespace", "default")) for file in live() for item in objects(file)}
    made = set()
    for space in sorted(spaces - {"default", "kube-system", "innocent"}):
        if "created" in cluster.kubectl("apply", "-f", "-", stdin=json.dumps(namespace(space, **labels)), check=False):
            made.add(space)
    for file in live():
        said[file.stem] = [(item, *client.create(item)) for item in objects(file)]
    return said


def test_hostile_objects_are_refused_with_the_same_words_or_told_and_harm_nobody(run: Run, cluster: ApiServer) -> None:
    """With the webhook: what it refuses, it refuses with the words of `tidegate check`."""
    said = send(cluster, checked=True)
    denied = 0
    wrong = []
    for file in live():
        wanted = hostile.expected(file)
        for item, status, message in said[file.stem]:
            assert status < 500, (file.stem, status, message)
            label = f"{item['kind']} {item['metadata'].get('namespace', 'default')}/{item['metadata']['name']}"
            if "denied the request" not in message:
                continue
            denied += 1
            if label.startswith(wanted.object) and wanted.severity == "error" and wanted.says not in message:
                wrong.append((file.stem, wanted.says, message))
    assert wrong == []
    assert denied > 20
    run.serves("innocent.test")
    _harmless(run, said)


def test_without_the_webhook_they_are_quarantined(run: Run, cluster: ApiServer) -> None:
    cluster.kubectl("delete", "ingress", "--all", "-n", "hostile")
    cluster.kubectl("label", "namespace", "hostile", "hostile-checked-")
    said = send(cluster, checked=False)
    accepted = [
        item for rows in said.values() for item, status, _ in rows if status == 201 and item["kind"] == "Ingress"
    ]
    assert len(accepted) > 40
    run.serves("innocent.test")
    _harmless(run, said)
    states = {(row["namespace"], row["name"]): row["state"] for row in run.api("ingresses")}
    for file in live():
        wanted = hostile.expected(file)
        for item, status, _ in said[file.stem]:
            key = (item["metadata"].get("namespace", "default"), item["metadata"]["name"])
            if status == 201 and wanted.object == f"Ingress {key[0]}/{key[1]}" and wanted.severity == "error":
                assert states.get(key) != "applied", (file.stem, states.get(key))


def _harmless(run: Run, said: dict[str, list[tuple[Manifest, int, str]]]) -> None:
    """NGINX runs what it was told last, an innocent host is served, no guarded route is open."""
    until(lambda: run.status()["revision"]["running"] == run.status()["revision"]["wanted"], PATIENCE, run.said)
    assert run.get("innocent.test")[0] == 200
    for file in live():
        if not any(status == 201 for _, status, _ in said[file.stem]):
            continue
        for host, path in hostile.expected(file).guarded:
            assert run.get(host, path)[0] != 200, (file.stem, host, path)
