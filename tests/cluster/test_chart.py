"""The chart: what its templates make of the values is taken by a real API server; what cannot work is refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chart as maker
import pytest
import yaml
from apiserver import ApiServer, Manifest, program

PROJECT = Path(__file__).parents[2]
CHART = PROJECT / "charts" / "tidegate"
NAMESPACE = "chart-test"
VERSION = "1.34.4"

VALUES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "daemonset on the node's network": {
        "controller": {
            "kind": "DaemonSet",
            "hostNetwork": True,
            "containerPort": {"http": 8080, "https": 8443},
            "reportNodeInternalIp": True,
            "publishService": {"enabled": False},
            "service": {"enabled": False},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}},
            "tolerations": [{"operator": "Exists"}],
        }
    },
    "host ports": {"controller": {"hostPort": {"enabled": True}}, "tcp": {"9000": "shop/db:9000"}},
    "http/3 beside a udp service": {
        "controller": {
            "http3": {"enabled": True},
            "networkPolicy": {"enabled": True},
            "containerPort": {"http": 8080, "https": 8443},
            "service": {"ports": {"http": 80, "https": 4443}, "nodePorts": {"http3": 30443}},
        },
        "udp": {"53": "kube-system/kube-dns:53"},
    },
    "geoip databases from a volume": {
        "controller": {
            "config": {"use-geoip2": "true"},
            "extraArgs": {"geoip-dir": "/geoip"},
            "extraVolumes": [{"name": "geoip", "persistentVolumeClaim": {"claimName": "geoip", "readOnly": True}}],
            "extraVolumeMounts": [{"name": "geoip", "mountPath": "/geoip", "readOnly": True}],
        }
    },
    "many replicas": {
        "controller": {
            "replicaCount": 3,
            "maxUnavailable": "50%",
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "minReadySeconds": 5,
            "progressDeadlineSeconds": 120,
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
            ],
            "affinity": {"nodeAffinity": {}},
            "priorityClassName": "system-cluster-critical",
        }
    },
    "autoscaling": {
        "controller": {
            "autoscaling": {
                "enabled": True,
                "minReplicas": 2,
                "targetMemoryUtilizationPercentage": 80,
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
                "annotations": {"a": "b"},
            }
        }
    },
    "services": {
        "portNamePrefix": "p",
        "tcp": {"9000": "shop/db:9000", "22": "shop/git:22:PROXY"},
        "udp": {"53": "kube-system/dns:53"},
        "controller": {
            "service": {
                "type": "LoadBalancer",
                "annotations": {"cloud": "{{ .Release.Name }}"},
                "labels": {"l": "m"},
                "externalTrafficPolicy": "Local",
                "sessionAffinity": "ClientIP",
                "allocateLoadBalancerNodePorts": False,
                "loadBalancerSourceRanges": ["10.0.0.0/8"],
                "loadBalancerClass": "example.com/lb",
                "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack",
                "trafficDistribution": "PreferClose",
                "targetPorts": {"http": "http", "https": "http"},
                "internal": {
                    "enabled": True,
                    "type": "NodePort",
                    "annotations": {"in": "side"},
                    "nodePorts": {"http": 30080, "tcp": {"9000": 30900}},
                },
            },
            "metrics": {"enabled": True, "service": {"labels": {"x": "y"}, "annotations": {"a": "b"}}},
        },
    },
    "one namespace, with roles of the whole cluster": {
        "controller": {"scope": {"enabled": True, "namespace": NAMESPACE}}
    },
    "one namespace, with its own roles alone": {
        "rbac": {"scope": True},
        "controller": {"scope": {"enabled": True}, "ingressClassResource": {"enabled": False}},
    },
    "namespaces by label": {"controller": {"scope": {"namespaceSelector": "team=shop"}}},
    "settings": {
        "dhParam": "ZGg=",
        "controller": {
            "config": {"use-gzip": True, "keep-alive": 75, "ssl-protocols": "TLSv1.3"},
            "configAnnotations": {"a": "b"},
            "addHeaders": {"X-Frame-Options": "DENY"},
            "proxySetHeaders": {"X-Region": "north"},
            "allowSnippetAnnotations": True,
            "enableAnnotationValidations": False,
            "electionID": "other",
            "electionTTL": "15s",
            "healthCheckPath": "/health",
            "healthCheckHost": "0.0.0.0",
            "ingressClassByName": True,
            "watchIngressWithoutClass": True,
            "extraArgs": {"v": 2, "disable-catch-all": "", "update-status": "false", "shutdown-grace-period": 3},
        },
    },
    "extras": {
        "commonLabels": {"team": "edge"},
        "imagePullSecrets": [{"name": "registry"}],
        "serviceAccount": {"annotations": {"a": "b"}},
        "controller": {
            "image": {"registry": "registry.example.com", "tag": "1", "digest": "sha256:" + "0" * 64},
            "labels": {"d": "e"},
            "annotations": {"f": "g"},
            "podLabels": {"h": "i"},
            "podAnnotations": {"j": "k"},
            "podSecurityContext": {"fsGroup": 82},
            "containerSecurityContext": {"seccompProfile": {"type": "Unconfined"}},
            "sysctls": {"net.core.somaxconn": 4096},
            "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
            "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["a.test"]}],
            "extraEnvs": [{"name": "TZ", "value": "UTC"}],
            "extraVolumes": [{"name": "geo", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "geo", "mountPath": "/geo"}],
            "extraContainers": [{"name": "more", "image": "more:1"}],
            "extraInitContainers": [{"name": "first", "image": "first:1"}],
            "networkPolicy": {"enabled": True},
            "ingressClassResource": {
                "default": True,
                "aliases": ["web"],
                "annotations": {"a": "b"},
                "parameters": {"apiGroup": "example.com", "kind": "P", "name": "n"},
            },
        },
    },
    "monitoring": {
        "controller": {
            "metrics": {
                "enabled": True,
                "serviceMonitor": {
                    "enabled": True,
                    "additionalLabels": {"release": "prometheus"},
                    "relabelings": [{"action": "labeldrop", "regex": "x"}],
                },
                "prometheusRule": {"enabled": True, "rules": [{"alert": "Down", "expr": "up == 0"}]},
            }
        }
    },
    "no webhook": {"controller": {"admissionWebhooks": {"enabled": False}}},
    "a webhook with a given certificate": {
        "controller": {
            "admissionWebhooks": {
                "existingSecret": "given",
                "caBundle": "Y2E=",
                "failurePolicy": "Fail",
                "objectSelector": {"matchLabels": {"a": "b"}},
                "namespaceSelector": {"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]},
            }
        }
    },
    "a webhook with cert-manager": {"controller": {"admissionWebhooks": {"certManager": {"enabled": True}}}},
    "a default backend": {
        "defaultBackend": {
            "enabled": True,
            "image": {"repository": "pages", "tag": "1"},
            "extraArgs": {"quiet": ""},
            "extraEnvs": [{"name": "A", "value": "b"}],
        }
    },
    "no leader, other names": {
        "nameOverride": "edge",
        "fullnameOverride": "the-edge",
        "controller": {"disableLeaderElection": True, "name": "front"},
        "crds": {"keep": False},
    },
}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a value that nobody knows": ({"controller": {"chroot": True}}, "chroot"),
    "a low port on the node's network": ({"controller": {"hostNetwork": True}}, "containerPort.http above 1023"),
    "roles of one namespace for the whole cluster": ({"rbac": {"scope": True}}, "controller.scope.enabled"),
    "a kind that cannot be": ({"controller": {"kind": "StatefulSet"}}, "kind"),
    "a monitor of nothing": (
        {"controller": {"metrics": {"serviceMonitor": {"enabled": True}}}},
        "controller.metrics.enabled",
    ),
    "a default backend without an image": ({"defaultBackend": {"enabled": True}}, "image.repository"),
}


def helm(*words: str, values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    command = [program("helm"), *words, "--kube-version", VERSION, "--namespace", NAMESPACE, "--values", "-"]
    return subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, timeout=60)


def rendered(values: dict[str, Any]) -> list[Manifest]:
    found = helm("template", "tidegate", str(CHART), values=values)
    assert found.returncode == 0, found.stderr
    return [one for one in yaml.safe_load_all(found.stdout) if one]


def foreign(group: str, kind: str, version: str) -> Manifest:
    """A definition of somebody else's kind that takes anything."""
    plural = f"{kind.lower()}s"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }


@pytest.fixture(scope="module")
def server(cluster: ApiServer) -> Iterator[ApiServer]:
    cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        foreign("monitoring.coreos.com", "ServiceMonitor", "v1"),
        foreign("monitoring.coreos.com", "PrometheusRule", "v1"),
        foreign("cert-manager.io", "Certificate", "v1"),
        foreign("cert-manager.io", "Issuer", "v1"),
    )
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    return cluster


@pytest.mark.parametrize("name", VALUES)
def test_a_real_api_server_takes_what_the_templates_make_of_the_values(server: ApiServer, name: str) -> None:
    manifests = rendered(VALUES[name])
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    said = server.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=listed)
    assert said.count("(server dry run)") == len(manifests)


def test_a_real_api_server_takes_the_manifests_that_need_no_helm(server: ApiServer) -> None:
    done = subprocess.run([PROJECT / "scripts" / "manifests.sh"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    manifests = [one for one in yaml.safe_load_all(done.stdout) if one]
    namespaces = [one for one in manifests if one["kind"] == "Namespace"]
    server.apply(*namespaces)  # what goes into it is looked at as if it were there
    said = server.kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=done.stdout
    )
    assert said.count("(server dry run)") == len(manifests)
    assert "helm.sh" not in done.stdout


@pytest.mark.parametrize("name", VALUES)
def test_each_value_set_passes_lint(name: str) -> None:
    found = helm("lint", "--strict", str(CHART), values=VALUES[name])
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("name", WRONG)
def test_values_that_cannot_work_are_refused_with_the_reason(name: str) -> None:
    values, words = WRONG[name]
    found = helm("template", "tidegate", str(CHART), values=values)
    assert found.returncode != 0
    assert words in found.stderr, found.stderr


def pod_of(values: dict[str, Any]) -> Manifest:
    found = next(one for one in rendered(values) if one["kind"] in ("Deployment", "DaemonSet"))
    return dict(found["spec"]["template"]["spec"])


def container(pod: Manifest, name: str) -> Manifest:
    return dict(next(one for one in pod["containers"] if one["name"] == name))


def test_the_container_that_faces_the_network_has_no_token() -> None:
    pod = pod_of({})
    mounts = {one["name"]: {mount["name"] for mount in one["volumeMounts"]} for one in pod["containers"]}
    assert pod["automountServiceAccountToken"] is False
    assert "token" in mounts["operator"]
    assert mounts["nginx"] == {"run", "tmp"}


def test_no_container_is_root_has_a_capability_or_may_write_its_image() -> None:
    pod = pod_of({})
    users = set()
    for one in pod["containers"]:
        security = one["securityContext"]
        users.add(security["runAsUser"])
        assert security["runAsNonRoot"] is True
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert len(users) == len(pod["containers"])
    assert pod["securityContext"]["sysctls"] == [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]


def test_a_pod_on_the_nodes_network_asks_for_no_sysctl() -> None:
    assert "sysctls" not in pod_of(VALUES["daemonset on the node's network"])["securityContext"]


def test_the_admin_port_and_the_probes_are_never_part_of_the_traffic_service() -> None:
    services = {one["metadata"]["name"]: one for one in rendered(VALUES["services"]) if one["kind"] == "Service"}
    for name in ("tidegate-controller", "tidegate-controller-internal"):
        targets = {port["targetPort"] for port in services[name]["spec"]["ports"]}
        assert targets == {"http", "p9000-tcp", "p22-tcp", "p53-udp"}


def test_http3_is_a_udp_port_of_pod_service_and_network_policy_and_clients_are_told_the_services() -> None:
    values = VALUES["http/3 beside a udp service"]
    pod, kinds = pod_of(values), {one["kind"]: one for one in rendered(values)}
    ports = {port["name"]: (port["containerPort"], port["protocol"]) for port in container(pod, "nginx")["ports"]}
    assert (ports["https"], ports["http3"]) == ((8443, "TCP"), (8443, "UDP"))
    assert {"--enable-http3", "--http3-advertised-port=4443"} <= set(container(pod, "operator")["args"])
    services = [one for one in rendered(values) if one["metadata"]["name"] == "tidegate-controller"]
    (port,) = [
        port for one in services if one["kind"] == "Service" for port in one["spec"]["ports"] if port["name"] == "http3"
    ]
    assert port == {"name": "http3", "port": 4443, "targetPort": "http3", "protocol": "UDP", "nodePort": 30443}
    allowed = kinds["NetworkPolicy"]["spec"]["ingress"][0]["ports"]
    assert {"port": 8443, "protocol": "UDP"} in allowed


def test_without_http3_there_is_no_udp_port() -> None:
    assert "UDP" not in json.dumps([one for one in rendered({}) if one["kind"] in ("Service", "Deployment")])


def test_mounted_databases_are_in_both_containers() -> None:
    pod = pod_of(VALUES["geoip databases from a volume"])
    for one in pod["containers"]:
        assert {"name": "geoip", "mountPath": "/geoip", "readOnly": True} in one["volumeMounts"]


def test_namespaced_roles_ask_for_nothing_of_the_cluster() -> None:
    kinds = {one["kind"] for one in rendered(VALUES["one namespace, with its own roles alone"])}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding", "ValidatingWebhookConfiguration"}


def test_the_grace_period_of_the_retired_charts_flag_counts() -> None:
    assert "--shutdown-grace-period=3" in container(pod_of(VALUES["settings"]), "nginx")["args"]
    assert "--shutdown-grace-period=10" in container(pod_of({}), "nginx")["args"]


def test_what_is_made_from_the_values_and_the_definitions_is_in_step() -> None:
    differing = [str(path) for path, text in maker.made().items() if path.read_text() != text]
    assert not differing, "run scripts/chart.py"
