"""Tools that drive ingress controllers, themselves: their real programs, against a real API server, steer real traffic.

There are no nodes, so workloads.py says that pods run. `scripts/tool-programs.sh` builds the programs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import driven
import pytest
from apiserver import ApiServer, Manifest
from driven import ask, endpoints, ingress, meta, path, service, share
from realtools import define_kinds, program, running
from steadyload import Load
from toolworld import Cluster, toolworld
from up import free_ports
from workloads import Workloads, template

PREFIX = "nginx.ingress.kubernetes.io/"


@pytest.fixture(scope="module")
def world(cluster: ApiServer) -> Iterator[Cluster]:
    with toolworld(cluster, "tidegate-real-tools") as one:
        yield one


def weight_of(world: Cluster, name: str) -> str:
    for one in world.api.items("ingresses", driven.NAMESPACE):
        if one["metadata"]["name"] == name:
            rows: dict[str, str] = one["metadata"].get("annotations", {})
            return rows.get(PREFIX + "canary-weight", "")
    return ""


def is_shared(world: Cluster, host: str, backend: str, low: float, high: float) -> bool:
    """Whether a backend's share of the requests is within these bounds."""
    return low <= share(world, host, backend) <= high


def test_argo_rollouts_itself_moves_traffic_step_by_step(world: Cluster, tmp_path: Path) -> None:
    host, name = "argo-rollouts.test", "rollout"
    old, new = world.server("old"), world.server("new")
    define_kinds(world, "rollouts-controller")
    steps: list[Manifest] = [{"setWeight": 25}, {"pause": {}}, {"setWeight": 60}, {"pause": {}}]
    canary = {
        "stableService": f"{name}-stable",
        "canaryService": f"{name}-canary",
        "trafficRouting": {
            "nginx": {
                "stableIngress": name,
                "additionalIngressAnnotations": {"canary-by-header": "X-Canary"},
            }
        },
        "steps": steps,
    }
    rollout: Manifest = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": meta(name),
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": template(name, "old"),
            "strategy": {"canary": canary},
        },
    }
    ports = free_ports(2)
    words = [program("rollouts-controller"), "--kubeconfig", str(world.api.kubeconfig), "--leader-elect=false"]
    words += ["--metricsport", str(ports[0]), "--healthzPort", str(ports[1])]
    words += ["--namespaced", "--namespace", driven.NAMESPACE]
    with Workloads(world.api, old, new), running(tmp_path, *words) as wait:
        world.put(*(service(f"{name}-{kind}", selector={"app": name}) for kind in ("stable", "canary")))
        world.put(ingress(name, host, path(f"{name}-stable")), rollout)
        wait(lambda: ask(world, host).status == 200)
        assert ask(world, host).backend == "old"

        with Load(world.up, host, most=1_000_000) as load:
            rollout["spec"]["template"] = template(name, "new")
            world.put(rollout)
            for weight, low, high in (("25", 0.1, 0.45), ("60", 0.4, 0.8)):
                wait(lambda weight=weight: weight_of(world, f"{name}-{name}-canary") == weight)
                wait(lambda low=low, high=high: is_shared(world, host, "new", low, high))
                wait(lambda: ask(world, host, x_canary="always").backend == "new")
                assert ask(world, host, x_canary="never").backend == "old"
                wait(lambda: world.read(rollout)["status"].get("pauseConditions"))
                _go_on(world, rollout)
            wait(lambda: world.read(rollout)["status"].get("phase") == "Healthy")
            wait(lambda: ask(world, host).backend == "new")
            wait(lambda: is_shared(world, host, "new", 1, 1))
            load.more()
        assert load.failures == []


def _go_on(world: Cluster, rollout: Manifest) -> None:
    """What `kubectl argo rollouts promote` does to one that pauses."""
    patch = json.dumps({"status": {"pauseConditions": None}})
    words = ("-n", driven.NAMESPACE, "patch", "rollout", rollout["metadata"]["name"], "--subresource=status")
    world.api.kubectl(*words, "--type=merge", "-p", patch)


def test_flagger_itself_analyses_and_promotes_a_canary(world: Cluster, tmp_path: Path) -> None:
    host, name = "flagger-itself.test", "podinfo"
    old, new = world.server("old"), world.server("new")
    define_kinds(world, "flagger")
    deployment: Manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta(name),
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template(name, "old")},
    }
    canary: Manifest = {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": meta(name),
        "spec": {
            "provider": "nginx",
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "ingressRef": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": name},
            "service": {"port": 80, "targetPort": "http"},
            "analysis": {"interval": "10s", "threshold": 5, "maxWeight": 50, "stepWeight": 50},
        },
    }
    words = [program("flagger"), "-kubeconfig", str(world.api.kubeconfig), "-mesh-provider", "nginx"]
    words += ["-namespace", driven.NAMESPACE, "-port", str(free_ports(1)[0]), "-control-loop-interval", "1s"]
    words += ["-metrics-server", f"http://127.0.0.1:{free_ports(1)[0]}", "-log-level", "info"]
    with Workloads(world.api, old, new), running(tmp_path, *words) as wait:
        world.put(deployment, ingress(name, host, path(name)), canary)
        wait(lambda: world.read(canary).get("status", {}).get("phase") == "Initialized")
        wait(lambda: ask(world, host).status == 200)
        assert ask(world, host).backend == "old"

        with Load(world.up, host, most=1_000_000) as load:
            deployment["spec"]["template"] = template(name, "new")
            world.put(deployment)
            wait(lambda: weight_of(world, f"{name}-canary") == "50")
            wait(lambda: is_shared(world, host, "new", 0.3, 0.7))
            wait(lambda: world.read(canary)["status"]["phase"] == "Succeeded")
            wait(lambda: is_shared(world, host, "new", 1, 1))
            load.more()
        assert load.failures == []
        assert weight_of(world, f"{name}-canary") == "0"


def test_oauth2_proxy_itself_lets_in_who_has_signed_in(world: Cluster, tmp_path: Path) -> None:
    host, name = "oauth2-proxy.test", "oauth2-proxy"
    users = tmp_path / "htpasswd"
    users.write_text(f"alice:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    place = world.network.listener()
    address, port = place.getsockname()
    place.close()
    words = [program(name), f"--http-address={address}:{port}", "--provider=github", "--client-id=x"]
    words += ["--client-secret=y", "--cookie-secret=0123456789abcdef", "--email-domain=*", "--reverse-proxy=true"]
    words += [f"--htpasswd-file={users}", "--display-htpasswd-form=true", "--set-xauthrequest=true"]
    words += ["--upstream=static://202", "--redirect-url=/oauth2/callback", "--cookie-secure=false"]
    inside = ["ip", "netns", "exec", world.network.name, *words]
    with running(tmp_path, *inside) as wait:
        world.put(service(name, 4180), _slice(name, address, port))
        world.put(service("dashboard"), endpoints("dashboard", world.server("dashboard")))
        world.put(ingress(name, host, path(name, "/oauth2", port=4180)))
        world.put(
            ingress(
                "dashboard",
                host,
                path("dashboard"),
                auth_url=f"http://$host:{world.up.http}/oauth2/auth",
                auth_signin="http://$host/oauth2/start?rd=$escaped_request_uri",
                auth_response_headers="X-Auth-Request-User",
            )
        )
        wait(lambda: ask(world, host, "/account").status == 302)
        assert ask(world, host, "/account").header("Location") == f"http://{host}/oauth2/start?rd=%2Faccount"
        form = "username=alice&password=secret&rd=%2Faccount"
        kind = {"content_type": "application/x-www-form-urlencoded"}
        signed_in = ask(world, host, "/oauth2/sign_in", method="POST", body=form, **kind)
        assert (signed_in.status, signed_in.header("Location")) == (302, "/account")
        cookie = signed_in.header("Set-Cookie").partition(";")[0]
        answer = ask(world, host, "/account", cookie=cookie, x_auth_request_user="mallory")
        assert answer.backend == "dashboard"
        assert re.findall(r'\["X-Auth-Request-User", "([^"]*)"\]', answer.body) == ["alice"]
        assert ask(world, host, "/account", cookie=f"{cookie}x").status == 302


def _slice(name: str, address: str, port: int) -> Manifest:
    found = endpoints(name)
    found["ports"][0]["port"] = port
    found["endpoints"] = [{"addresses": [address], "conditions": {"ready": True}}]
    return found
