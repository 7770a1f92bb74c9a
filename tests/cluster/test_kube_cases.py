"""The black-box cases against `tidegate run` and a real API server: one test for each case.

The same cases as for `tidegate up`, and those that need a cluster. Backends live in a network namespace, because an API
server takes no endpoint on a loopback address.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import test_conformance as suite
import yaml
from apiserver import ApiServer, until
from claims import claim
from judging import CASES, Found, judge, lay_out, read_result
from running import PATIENCE, Run, ingress_class, namespace
from test_webhook import configuration
from up import free_ports

HERE = Path(__file__).parent
NAMESPACE = "ingress-nginx"
STATUS = "192.0.2.99"
AREAS = ("status", "admission")
JOBS = 4
EXPECTED_FAILURES: dict[str, str] = {
    **suite.EXPECTED_FAILURES,
    **(yaml.safe_load((HERE / "expected_failures.yaml").read_text()) or {}),
}


def cases() -> list[str]:
    own = [f"{area}/{path.stem}" for area in AREAS for path in sorted((CASES / area).glob("*.yaml"))]
    shared = suite.GROUPS["main"].cases()
    return [*shared, *(name for name in own if name not in shared)]


def free_subnet() -> str:
    """A /24 that no other runner has, nor one that was killed and left its network namespace."""
    left = (path.name.rpartition("-")[2] for path in Path("/run/netns").glob("bb10-214-*"))
    return f"10.214.{claim('subnet', sorted(set(range(1, 250)) - set(map(int, left))))}"


class KubeRun(Run):
    """The operator as the cases want it."""

    def __init__(self, cluster: ApiServer, subnet: str, webhook: int) -> None:
        super().__init__(
            cluster,
            *("--configmap", f"{NAMESPACE}/ingress-nginx-controller"),
            *("--tcp-services-configmap", f"{NAMESPACE}/tcp-services"),
            *("--udp-services-configmap", f"{NAMESPACE}/udp-services"),
            *("--publish-status-address", STATUS),
            *("--resolver", f"{subnet}.20:{suite.DNS_PORT}"),
            *("--validating-webhook", f"127.0.0.1:{webhook}", "--validating-webhook-service", "localhost"),
            *("--validating-webhook-secret", f"{NAMESPACE}/webhook"),
            *("--validating-webhook-configuration", "tidegate-cases"),
        )
        self.http, self.https, self.admin = suite.free_ports()
        self.env = {"POD_NAME": "controller", "POD_NAMESPACE": NAMESPACE}


def prepare(cluster: ApiServer, webhook: int) -> None:
    """What a cluster has before the controller comes: its namespace, class, pod, ConfigMaps and webhook."""
    hook = configuration(webhook)
    hook["metadata"]["name"] = "tidegate-cases"
    hook["webhooks"][0]["namespaceSelector"] = {"matchLabels": {"blackbox-admission": "true"}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "controller", "namespace": NAMESPACE},
        "spec": {"containers": [{"name": "operator", "image": "tidegate"}]},
    }
    maps = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}}
        for name in ("ingress-nginx-controller", "tcp-services", "udp-services")
    ]
    cluster.apply(namespace(NAMESPACE), ingress_class(), *maps, hook)
    cluster.apply(pod)


def run_cases(wanted: list[str]) -> Found:
    suite.RESULTS.mkdir(parents=True, exist_ok=True)
    result, output = suite.RESULTS / "kube.json", suite.RESULTS / "kube-runner.log"
    result.unlink(missing_ok=True)
    folder = lay_out(wanted, Path(tempfile.mkdtemp(prefix="tg-")))
    subnet, webhook = free_subnet(), free_ports(1)[0]
    cluster = ApiServer()
    try:
        prepare(cluster.start(), webhook)
        with KubeRun(cluster, subnet, webhook) as run:
            run.start()
            until(lambda: _trusted(cluster), PATIENCE, "the webhook's configuration has no authority")
            with output.open("w") as stream:
                subprocess.run(
                    _command(run, cluster, subnet, webhook, folder, result),
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    timeout=suite.RUNNER_SECONDS,
                    check=False,
                )
            shutil.copy(run.log, suite.RESULTS / "kube-controller.log")
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["ip", "netns", "del", f"bb{subnet.replace('.', '-')}"], capture_output=True)
    return read_result(result, output)


def _trusted(cluster: ApiServer) -> bool:
    hooks = cluster.get("validatingwebhookconfiguration", "tidegate-cases")["webhooks"]
    return bool(hooks[0]["clientConfig"].get("caBundle"))


def _command(run: Run, cluster: ApiServer, subnet: str, webhook: int, folder: Path, result: Path) -> list[str]:
    addresses = {"http": run.http, "https": run.https, "metrics": run.admin, "healthz": run.admin, "webhook": webhook}
    words = [sys.executable, str(suite.HERE / "run.py"), "--target", f"kube:{cluster.kubeconfig}"]
    words += [word for name, port in addresses.items() for word in (f"--{name}", f"127.0.0.1:{port}")]
    words += ["--configmap", f"{NAMESPACE}/ingress-nginx-controller", "--ingress-class", "nginx"]
    words += ["--tcp-configmap", f"{NAMESPACE}/tcp-services", "--udp-configmap", f"{NAMESPACE}/udp-services"]
    words += ["--publish-status-address", STATUS, "--backend-net", f"{subnet}.0/24", "--dns-port", str(suite.DNS_PORT)]
    words += ["--access-log", str(run.run / "logs" / "access.log"), "--lack", "log-dir"]
    words += ["--hopeless", ",".join(EXPECTED_FAILURES)]
    return [*words, "--cases", str(folder), "--jobs", str(JOBS), "--json", str(result)]


@pytest.fixture(scope="module")
def outcome(request: pytest.FixtureRequest) -> Found:
    selected = [
        item.callspec.params["case"]
        for item in request.session.items
        if getattr(item, "originalname", "") == "test_kube"
    ]
    return run_cases(selected)


@pytest.mark.parametrize("case", cases())
def test_kube(case: str, outcome: Found) -> None:
    judge(case, outcome, EXPECTED_FAILURES)
