from __future__ import annotations

from typing import Any

import pytest
from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.resources.decode import Decoded, decode
from tidegate.resources.model import Ingress, IngressClass, IngressPath, IngressRule, IngressTLS, ServiceBackend


def read(manifest: Any) -> Decoded:
    return decode(manifest, created=7, uid="u", place="a.yaml:1")


def ingress(spec: Any, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "app", "namespace": "shop", **metadata},
        "spec": spec,
    }


def with_path(**path: Any) -> dict[str, Any]:
    whole = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "app", "port": {"number": 80}}}, **path}
    return ingress({"rules": [{"host": "a.example", "http": {"paths": [whole]}}]})


def only(decoded: Decoded) -> Finding:
    assert decoded.resource is None
    assert len(decoded.findings) == 1, decoded.findings
    (finding,) = decoded.findings
    assert finding.severity is Severity.ERROR
    assert finding.reason == "Invalid"
    return finding


PATH = "spec.rules[0].http.paths[0]"


def test_a_valid_ingress_becomes_a_typed_one() -> None:
    manifest = ingress(
        {
            "ingressClassName": "nginx",
            "defaultBackend": {"service": {"name": "web", "port": {"name": "http"}}},
            "rules": [
                {
                    "host": "*.example.com",
                    "http": {
                        "paths": [
                            {
                                "path": "/x",
                                "pathType": "Exact",
                                "backend": {"service": {"name": "app", "port": {"number": 80}}},
                            },
                            {
                                "pathType": "ImplementationSpecific",
                                "backend": {"resource": {"apiGroup": "x.io", "kind": "Bucket", "name": "b"}},
                            },
                        ]
                    },
                },
                {"host": "b.example.com"},
            ],
            "tls": [{"hosts": ["*.example.com"], "secretName": "cert"}],
        },
        annotations={"nginx.ingress.kubernetes.io/rewrite-target": "/"},
        creationTimestamp="2024-05-01T12:00:00Z",
        uid="own",
    )
    decoded = read(manifest)
    assert decoded.findings == ()
    resource = decoded.resource
    assert isinstance(resource, Ingress)
    assert decoded.key == resource.key == ObjectKey("Ingress", "shop", "app")
    assert resource.metadata.created == 1714564800
    assert resource.metadata.uid == "own"
    assert resource.default_backend == ServiceBackend("web", "http")
    assert resource.rules == (
        IngressRule(
            "*.example.com",
            (
                IngressPath("/x", "Exact", ServiceBackend("app", 80)),
                IngressPath("", "ImplementationSpecific", None),
            ),
        ),
        IngressRule("b.example.com", None),
    )
    assert resource.tls == (IngressTLS(("*.example.com",), "cert"),)


def test_creation_time_and_uid_of_the_caller_stand_in_for_absent_ones() -> None:
    resource = read(with_path()).resource
    assert resource is not None
    assert (resource.metadata.created, resource.metadata.uid) == (7, "u")


@pytest.mark.parametrize("path_type", ["Exact", "Prefix"])
@pytest.mark.parametrize("path", ["", "x", "/a//b", "/a/./b", "/a/../b", "/a%2fb", "/a%2Fb", "/a/..", "/a/."])
def test_paths_that_the_api_server_refuses_are_refused(path_type: str, path: str) -> None:
    decoded = read(with_path(path=path, pathType=path_type))
    assert decoded.resource is None
    assert decoded.key == ObjectKey("Ingress", "shop", "app")
    assert {finding.field for finding in decoded.findings} == {f"{PATH}.path"}


@pytest.mark.parametrize("path", ["", "/", "/a//b", "/(.*)", "/a%2Fb"])
def test_implementation_specific_paths_may_be_patterns(path: str) -> None:
    assert read(with_path(path=path, pathType="ImplementationSpecific")).findings == ()


def test_an_implementation_specific_path_is_absolute_when_it_is_not_empty() -> None:
    finding = only(read(with_path(path="x", pathType="ImplementationSpecific")))
    assert finding.field == f"{PATH}.path"


@pytest.mark.parametrize("path", ["/a\x00b", "/a\nb", "/a\x7f"])
def test_control_characters_in_a_path_are_refused(path: str) -> None:
    finding = only(read(with_path(path=path, pathType="ImplementationSpecific")))
    assert "control characters" in finding.message
    assert finding.message.isprintable()


def test_a_missing_path_type_is_named_with_its_place() -> None:
    manifest = with_path()
    del manifest["spec"]["rules"][0]["http"]["paths"][0]["pathType"]
    finding = only(read(manifest))
    assert finding == Finding(
        ObjectKey("Ingress", "shop", "app"),
        f"{PATH}.pathType",
        Severity.ERROR,
        "Invalid",
        "Required value: pathType must be specified: Exact, Prefix or ImplementationSpecific",
        "a.yaml:1",
    )


def test_an_unknown_path_type_is_refused_with_the_supported_ones() -> None:
    finding = only(read(with_path(pathType="Regex")))
    assert finding.field == f"{PATH}.pathType"
    assert finding.message == (
        'Unsupported value: "Regex": supported values: "Exact", "ImplementationSpecific", "Prefix"'
    )


@pytest.mark.parametrize(
    "host",
    [
        "A.example",
        "10.0.0.1",
        "::1",
        "a_b.example",
        "a..b",
        "*",
        "*.",
        "a.*.example",
        "x*.example",
        "a b",
        "a\n",
        "a:80",
    ],
)
def test_hosts_that_the_api_server_refuses_are_refused(host: str) -> None:
    finding = only(read(ingress({"rules": [{"host": host}]})))
    assert finding.field == "spec.rules[0].host"
    assert finding.message.isprintable()


@pytest.mark.parametrize(
    ("backend", "field"),
    [
        ({}, ""),
        ({"service": {"name": "app"}}, ".service.port"),
        ({"service": {"name": "app", "port": {}}}, ".service.port"),
        ({"service": {"name": "app", "port": {"number": 80, "name": "http"}}}, ".service.port"),
        ({"service": {"name": "app", "port": {"number": 65536}}}, ".service.port.number"),
        ({"service": {"name": "app", "port": {"number": -1}}}, ".service.port.number"),
        ({"service": {"name": "app", "port": {"name": "80"}}}, ".service.port.name"),
        ({"service": {"name": "App", "port": {"number": 80}}}, ".service.name"),
        ({"service": {"name": "1app", "port": {"number": 80}}}, ".service.name"),
        ({"service": {"port": {"number": 80}}}, ".service.name"),
        ({"resource": {"kind": "Bucket"}}, ".resource.name"),
        ({"service": {"name": "a", "port": {"number": 80}}, "resource": {"kind": "B", "name": "b"}}, ""),
    ],
)
def test_backends_name_exactly_one_service_port_or_resource(backend: Any, field: str) -> None:
    assert only(read(with_path(backend=backend))).field == f"{PATH}.backend{field}"


def test_the_legacy_form_of_a_backend_under_v1_is_explained() -> None:
    finding = only(read(with_path(backend={"serviceName": "app", "servicePort": 80})))
    assert "service.name" in finding.message


def test_an_ingress_without_rules_and_default_backend_is_refused() -> None:
    assert only(read(ingress({}))).field == "spec"
    assert only(read(ingress(None))).field == "spec"


def test_a_rule_with_http_needs_paths() -> None:
    assert only(read(ingress({"rules": [{"http": {}}]}))).field == "spec.rules[0].http.paths"


@pytest.mark.parametrize(
    ("tls", "field"),
    [
        ({"hosts": ["*"]}, "spec.tls[0].hosts[0]"),
        ({"hosts": ["ok.example", "No.example"]}, "spec.tls[0].hosts[1]"),
        ({"secretName": "Cert"}, "spec.tls[0].secretName"),
    ],
)
def test_tls_hosts_and_secret_names_are_checked(tls: Any, field: str) -> None:
    assert only(read(ingress({"rules": [{"host": "a.example"}], "tls": [tls]}))).field == field


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"rules": "none"}, "spec.rules", 'found a string: "none"; allowed: a list'),
        ({"rules": [5]}, "spec.rules[0]", "found an integer: 5; allowed: a mapping"),
        ({"rules": [None]}, "spec.rules[0]", "found nothing (null); allowed: a mapping"),
        ({"rules": [{"host": True}]}, "spec.rules[0].host", "found a boolean: true; allowed: a string"),
        ({"rules": [{"http": {"paths": {}}}]}, "spec.rules[0].http.paths", "found a mapping; allowed: a list"),
        ("text", "spec", 'found a string: "text"; allowed: a mapping'),
    ],
)
def test_a_value_of_a_wrong_type_is_named_with_what_was_found_and_what_is_allowed(
    change: Any, field: str, message: str
) -> None:
    finding = only(read(ingress(change)))
    assert (finding.field, finding.message) == (field, message)


def test_an_annotation_that_is_no_string_is_refused_with_the_remedy() -> None:
    finding = only(read(ingress({"rules": [{"host": "a.example"}]}, annotations={"x.io/flag": True})))
    assert finding.field == "metadata.annotations[x.io/flag]"
    assert finding.message == "found a boolean: true; allowed: a string (put it in quotes)"


@pytest.mark.parametrize("version", ["extensions/v1beta1", "networking.k8s.io/v1beta1"])
@pytest.mark.parametrize("port", [80, "http"])
def test_legacy_ingresses_are_converted_and_reported_as_deprecated(version: str, port: int | str) -> None:
    backend = {"serviceName": "app", "servicePort": port}
    spec = {"backend": backend, "rules": [{"http": {"paths": [{"path": "/x", "backend": backend}]}}]}
    decoded = read({**ingress(spec), "apiVersion": version})
    assert isinstance(decoded.resource, Ingress)
    assert decoded.resource.default_backend == ServiceBackend("app", port)
    path = IngressPath("/x", "ImplementationSpecific", ServiceBackend("app", port))
    assert decoded.resource.rules == (IngressRule("", (path,)),)
    (finding,) = decoded.findings
    assert (finding.severity, finding.reason, finding.field) == (Severity.WARNING, "DeprecatedAPI", "apiVersion")
    assert "networking.k8s.io/v1" in finding.message


def test_a_class_annotation_beside_the_field_is_accepted_with_a_warning() -> None:
    decoded = read(
        ingress(
            {"ingressClassName": "nginx", "rules": [{"host": "a.example"}]},
            annotations={"kubernetes.io/ingress.class": "other"},
        )
    )
    assert isinstance(decoded.resource, Ingress)
    assert [finding.severity for finding in decoded.findings] == [Severity.WARNING]


@pytest.mark.parametrize("value", [{"controller": "nginx"}, {"controller": ""}, {}, None, {"controller": "a b/c"}])
def test_the_controller_of_a_class_is_a_path_with_a_domain(value: Any) -> None:
    manifest = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": "nginx"},
        "spec": value,
    }
    assert only(read(manifest)).field == "spec.controller"


@pytest.mark.parametrize(("annotation", "default"), [("true", True), ("True", False), ("false", False)])
def test_a_class_is_the_default_one_by_its_annotation(annotation: str, default: bool) -> None:
    manifest = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {
            "name": "nginx",
            "namespace": "ignored",
            "annotations": {"ingressclass.kubernetes.io/is-default-class": annotation},
        },
        "spec": {"controller": "k8s.io/ingress-nginx"},
    }
    decoded = read(manifest)
    assert decoded.key == ObjectKey("IngressClass", "", "nginx")
    assert isinstance(decoded.resource, IngressClass)
    assert decoded.resource.is_default is default


def test_the_findings_of_one_object_are_bounded() -> None:
    rules = [{"host": "No"}] * 10_000
    decoded = read(ingress({"rules": rules}))
    assert len(decoded.findings) < 30
    assert "9980 more" in decoded.findings[-1].message


def test_a_huge_value_is_cut_short_in_the_message() -> None:
    assert len(only(read(ingress({"rules": [{"host": "x" * 100_000}]}))).message) < 500
