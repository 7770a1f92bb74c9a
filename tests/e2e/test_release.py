"""A release in a real cluster: traffic from outside through the node's port, whatever rolls, scales or is killed.

The tests build on each other, in this order: one release lives from the first to the last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml
from cluster import (
    CONTROLLER,
    HOST,
    NAMESPACE,
    NODE,
    PROJECT,
    RELEASE,
    SHOP,
    Outside,
    admin,
    alone,
    apply,
    backend,
    eventually,
    get,
    helm,
    ingress,
    inside,
    is_ready,
    kubectl,
    listening,
    load,
    objects,
    pods,
    ready_pods,
    restarts,
    run,
)
from traffic import nothing_failed, prepare, said_of, traffic

before: set[str] = set()
DEFINITIONS = [yaml.safe_load(path.read_text())["metadata"]["name"] for path in (PROJECT / "crds").glob("*.yaml")]


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    """Two pods of the release, and a shop with two backends."""
    kubectl("create", "namespace", SHOP)
    before.update(objects())
    helm("install", replicaCount=2)
    apply(*backend(), ingress("shop", HOST))
    kubectl("-n", SHOP, "rollout", "status", "deployment/echo", "--timeout=120s")
    yield Outside()


def test_an_ingress_is_served_to_clients_outside_and_gets_its_address_and_an_event(outside: Outside) -> None:
    outside.serves()
    status, body = outside.ask()
    assert (status, json.loads(body)["path"]) == (200, "/")
    assert outside.ask("unknown.test")[0] == 404
    address = get("service", CONTROLLER)["spec"]["clusterIP"]
    eventually(lambda: get("ingress", "shop", SHOP)["status"].get("loadBalancer") == {"ingress": [{"ip": address}]})
    wanted = ("--field-selector", "involvedObject.name=shop,reason=Applied", "-o", "name")
    eventually(lambda: kubectl("-n", SHOP, "get", "events", *wanted))


def test_the_webhook_refuses_what_the_program_would(outside: Outside) -> None:
    conflict = ingress("other", HOST)

    def refused() -> bool:
        words = ("apply", "--dry-run=server", "-f", "-")
        said = kubectl(*words, stdin=json.dumps(conflict), check=False)
        return "denied the request" in said and f"{SHOP}/shop" in said

    eventually(refused, "the webhook names a conflict of host and path")


def test_each_container_listens_at_its_own_ports_and_no_others(outside: Outside) -> None:
    for pod in ready_pods(2):
        eventually(
            lambda pod=pod: listening(pod, "operator") == {10254, 8443},
            lambda pod=pod: f"operator: {listening(pod, 'operator')}",
        )
        eventually(
            lambda pod=pod: listening(pod, "nginx") == {80, 443, 10255},  # the last one is the agent's, for the kubelet
            lambda pod=pod: f"nginx: {listening(pod, 'nginx')}",
        )


def test_changes_are_in_force_on_every_pod(outside: Outside) -> None:
    apply(ingress("more", "more.test", limit_rps="1000"))
    for pod in ready_pods(2):
        eventually(lambda pod=pod: any(one["host"] == "more.test" for one in admin(pod, "/api/v1/routes")))
    outside.serves("more.test")
    kubectl("-n", SHOP, "delete", "ingress", "more")
    outside.serves("more.test", 404)


def test_backends_that_roll_cost_no_request(outside: Outside) -> None:
    with load(outside) as clients:
        kubectl("-n", SHOP, "rollout", "restart", "deployment/echo")
        kubectl("-n", SHOP, "rollout", "status", "deployment/echo", "--timeout=120s")
        eventually(lambda: len(pods("app=echo", SHOP)) == 2)
        clients.more(200)
    assert clients.failures == []


def test_scaling_to_three_pods_and_back_costs_no_request(outside: Outside) -> None:
    with load(outside) as clients:
        kubectl("-n", NAMESPACE, "scale", f"deployment/{CONTROLLER}", "--replicas=3")
        for pod in ready_pods(3):
            assert any(one["host"] == HOST for one in admin(pod, "/api/v1/routes"))
        clients.more(200)
        kubectl("-n", NAMESPACE, "scale", f"deployment/{CONTROLLER}", "--replicas=2")
        ready_pods(2)
        clients.more(200)
    assert clients.failures == []


def test_an_operator_that_is_killed_comes_back_without_its_pod_becoming_unready(outside: Outside) -> None:
    victim = ready_pods(2)[0]
    name = victim["metadata"]["name"]
    with load(outside) as clients:
        inside(victim, "operator", KILL_OPERATOR)
        eventually(lambda: "starting it again" in kubectl("-n", NAMESPACE, "logs", name, "-c", "operator"))
        apply(ingress("after", "after.test"))
        eventually(lambda: _routes(victim, "after.test"))
        clients.more(100)
    assert clients.failures == []
    after = get("pod", name)
    assert (restarts(after), is_ready(after)) == (restarts(victim), True)
    kubectl("-n", SHOP, "delete", "ingress", "after")


KILL_OPERATOR = """
for folder in /proc/[0-9]*; do
    pid=${folder#/proc/}
    case $(tr '\\0' ' ' <$folder/cmdline 2>/dev/null) in
    '/opt/tidegate/bin/python /opt/tidegate/bin/tidegate run '*) kill -9 $pid ;;
    esac
done
"""


def _routes(pod: dict[str, object], host: str) -> bool:
    try:
        return any(one["host"] == host for one in admin(pod, "/api/v1/routes"))
    except AssertionError:
        return False  # it is still away


def test_an_nginx_that_is_killed_comes_back_in_its_container(outside: Outside) -> None:
    victim = ready_pods(2)[0]
    name = victim["metadata"]["name"]
    with load(outside) as clients:
        inside(victim, "nginx", "kill -9 $(cat /run/tidegate/nginx.pid)")
        eventually(lambda: "NGINX is back" in kubectl("-n", NAMESPACE, "logs", name, "-c", "nginx"))
        clients.more(200)
    assert len(clients.failures) <= 4, clients.failures  # those in flight
    assert restarts(get("pod", name)) == restarts(victim)


def test_an_nginx_container_that_dies_serves_the_last_state_again_by_itself(outside: Outside) -> None:
    victim = ready_pods(2)[0]
    name = victim["metadata"]["name"]
    wanted = victim["status"]["containerStatuses"]
    container = next(one["containerID"] for one in wanted if one["name"] == "nginx").partition("//")[2]
    run(
        "docker",
        "exec",
        NODE,
        "sh",
        "-c",
        f"kill -9 $(ctr -n k8s.io tasks list | awk '$1 == \"{container}\" {{print $2}}')",
    )
    eventually(lambda: restarts(get("pod", name))["nginx"] == restarts(victim)["nginx"] + 1)
    assert restarts(get("pod", name))["operator"] == restarts(victim)["operator"]
    ready_pods(2)
    outside.serves()
    apply(ingress("later", "later.test"))
    eventually(lambda: _routes(victim, "later.test"))
    outside.serves("later.test")
    kubectl("-n", SHOP, "delete", "ingress", "later")


@pytest.fixture(scope="module")
def crowd(outside: Outside) -> Outside:
    """The backends of the zero-failure load are there, and every pod knows them."""
    prepare()
    return outside


def test_a_rolling_restart_costs_no_request_of_a_crowd(crowd: Outside, capsys: pytest.CaptureFixture[str]) -> None:
    former = {one["metadata"]["name"] for one in ready_pods(2)}
    with traffic(crowd) as account:
        kubectl("-n", NAMESPACE, "rollout", "restart", f"deployment/{CONTROLLER}")
        kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{CONTROLLER}", "--timeout=300s")
        alone(2)
    _tell(capsys, said_of("rolling restart", account))
    assert nothing_failed(account), said_of("rolling restart", account)
    assert not former & {one["metadata"]["name"] for one in ready_pods(2)}


def test_an_upgrade_costs_no_request_of_a_crowd_while_its_backends_roll_too(
    crowd: Outside, capsys: pytest.CaptureFixture[str]
) -> None:
    former = {one["metadata"]["name"] for one in ready_pods(2)}
    with traffic(crowd) as account:
        kubectl("-n", SHOP, "rollout", "restart", "deployment/crowd")
        helm("upgrade", replicaCount=2, podAnnotations={"upgrade": "1"}, config={"keep-alive": "30"})
        kubectl("-n", SHOP, "rollout", "status", "deployment/crowd", "--timeout=120s")
        alone(2)
    _tell(capsys, said_of("upgrade", account))
    assert nothing_failed(account), said_of("upgrade", account)
    assert not former & {one["metadata"]["name"] for one in ready_pods(2)}


def _tell(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """What was measured is worth knowing when nothing failed, too."""
    with capsys.disabled():
        print(f"\n{text}", flush=True)


def test_a_class_of_somebody_elses_is_used_and_not_fought_over(outside: Outside) -> None:
    """A second release beside the first: it makes all its own but the class and the definitions."""
    other = "tidegate-other"
    values = json.dumps({"controller": {"replicaCount": 0}})
    words = ("--namespace", other, "--create-namespace", "--values", "-")
    run("helm", "install", other, "charts/tidegate", *words, stdin=values)
    owner = get("ingressclass", "nginx")["metadata"]["annotations"]["meta.helm.sh/release-name"]
    assert owner == RELEASE
    run("helm", "uninstall", other, "--namespace", other, "--wait")
    kubectl("delete", "namespace", other)
    assert get("ingressclass", "nginx")["spec"]["controller"] == "k8s.io/ingress-nginx"


def test_uninstalling_leaves_nothing_but_what_is_meant_to_stay(outside: Outside) -> None:
    kubectl("delete", "namespace", SHOP)
    run("helm", "uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout", "120s")
    kubectl("-n", NAMESPACE, "wait", "--for=delete", "pod", "--all", "--timeout=120s")
    every_namespace = {
        f"namespaces//{NAMESPACE}",
        f"configmaps/{NAMESPACE}/kube-root-ca.crt",
        f"serviceaccounts/{NAMESPACE}/default",
    }
    definitions = {f"customresourcedefinitions.apiextensions.k8s.io//{name}" for name in DEFINITIONS}
    served = "apiservices.apiregistration.k8s.io//v1alpha1.tidegate.dev"
    stays = {"ingressclasses.networking.k8s.io//nginx", *definitions, served, *every_namespace}
    eventually(lambda: objects() - before == stays, lambda: f"not as it should be: {(objects() - before) ^ stays}")
