from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.resources.decode import Decoded, decode
from tidegate.resources.kinds import USED
from tidegate.resources.model import (
    ConfigMap,
    Endpoint,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    Namespace,
    Secret,
    Service,
    ServicePort,
)


def read(manifest: Any) -> Decoded:
    return decode(manifest, created=7, uid="u", place="a.yaml:1")


def obj(kind: str, api: str = "v1", /, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "app", "namespace": "shop"}, **fields}


def service(**spec: Any) -> dict[str, Any]:
    return obj("Service", spec=spec)


def slice_(**fields: Any) -> dict[str, Any]:
    return obj("EndpointSlice", "discovery.k8s.io/v1", **fields)


def fields(decoded: Decoded) -> list[str]:
    assert decoded.resource is None
    assert all(finding.reason == "Invalid" for finding in decoded.findings)
    return [finding.field for finding in decoded.findings]


def only(decoded: Decoded) -> Finding:
    assert len(fields(decoded)) == 1, decoded.findings
    return decoded.findings[0]


class TestService:
    def test_an_sctp_port_is_told(self) -> None:
        decoded = read(service(ports=[{"name": "web", "port": 80}, {"name": "s", "port": 81, "protocol": "SCTP"}]))
        assert decoded.resource is not None
        (finding,) = decoded.findings
        assert (finding.reason, finding.field) == ("UnsupportedProtocol", "spec.ports[1].protocol")
        assert finding.severity is Severity.WARNING

    def test_a_target_port_defaults_to_the_port(self) -> None:
        resource = read(
            service(
                selector={"app": "x"},
                ports=[
                    {"name": "a", "port": 80},
                    {"name": "b", "port": 81, "targetPort": 8081, "protocol": "UDP"},
                    {"name": "c", "port": 82, "targetPort": "http"},
                ],
            )
        ).resource
        assert isinstance(resource, Service)
        assert resource.type == "ClusterIP"
        assert resource.selector == {"app": "x"}
        assert resource.ports == (
            ServicePort(80, "a", "TCP", 80),
            ServicePort(81, "b", "UDP", 8081),
            ServicePort(82, "c", "TCP", "http"),
        )

    def test_an_unknown_type_is_refused_with_the_supported_ones(self) -> None:
        finding = only(read(service(type="Port", ports=[{"port": 80}])))
        assert finding.field == "spec.type"
        assert finding.message == (
            'Unsupported value: "Port": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'
        )

    @pytest.mark.parametrize("spec", [{}, {"type": "NodePort"}, {"ports": []}])
    def test_ports_are_required(self, spec: Any) -> None:
        assert only(read(service(**spec))).field == "spec.ports"

    @pytest.mark.parametrize(
        "spec", [{"clusterIP": "None"}, {"type": "ExternalName", "externalName": "db.example.com."}]
    )
    def test_headless_and_external_services_need_no_ports(self, spec: Any) -> None:
        resource = read(service(**spec)).resource
        assert isinstance(resource, Service)
        assert resource.external_name == spec.get("externalName", "")
        assert resource.cluster_ip == spec.get("clusterIP", "")

    @pytest.mark.parametrize(
        ("spec", "field"),
        [
            ({"type": "ExternalName"}, "spec.externalName"),
            ({"type": "ExternalName", "externalName": "a_b"}, "spec.externalName"),
            ({"type": "ExternalName", "externalName": "a b"}, "spec.externalName"),
            ({"type": "ExternalName", "externalName": "a", "clusterIP": "10.0.0.1"}, "spec.clusterIP"),
            ({"clusterIP": "x", "ports": [{"port": 80}]}, "spec.clusterIP"),
            ({"type": "LoadBalancer", "clusterIP": "None", "ports": [{"port": 80}]}, "spec.clusterIP"),
            ({"ports": [{"port": 0}]}, "spec.ports[0].port"),
            ({"ports": [{"port": 65536}]}, "spec.ports[0].port"),
            ({"ports": [{}]}, "spec.ports[0].port"),
            ({"ports": [{"port": "80"}]}, "spec.ports[0].port"),
            ({"ports": [{"port": 80, "protocol": "HTTP"}]}, "spec.ports[0].protocol"),
            ({"ports": [{"port": 80, "targetPort": "8080"}]}, "spec.ports[0].targetPort"),
            ({"ports": [{"port": 80, "targetPort": 70000}]}, "spec.ports[0].targetPort"),
            ({"ports": [{"port": 80, "nodePort": 30000}]}, "spec.ports[0].nodePort"),
            ({"ports": [{"port": 80, "name": "A"}]}, "spec.ports[0].name"),
            ({"ports": [{"port": 80, "name": "a"}, {"port": 81}]}, "spec.ports[1].name"),
            ({"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]}, "spec.ports[1].name"),
            ({"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]}, "spec.ports[1]"),
            ({"ports": [{"port": 80}], "selector": {"app": 1}}, "spec.selector[app]"),
        ],
    )
    def test_what_the_api_server_refuses_is_refused(self, spec: Any, field: str) -> None:
        assert only(read(service(**spec))).field == field

    def test_its_name_begins_with_a_letter(self) -> None:
        manifest = service(ports=[{"port": 80}])
        manifest["metadata"]["name"] = "1app"
        assert only(read(manifest)).field == "metadata.name"


class TestEndpointSlice:
    def test_a_slice_becomes_a_typed_one(self) -> None:
        manifest = slice_(
            addressType="IPv4",
            ports=[{"name": "http", "port": 8080}, {"name": "any"}],
            endpoints=[
                {
                    "addresses": ["127.0.0.1"],
                    "conditions": {"ready": False, "serving": True, "terminating": True},
                    "nodeName": "n1",
                    "zone": "z1",
                    "hints": {"forZones": [{"name": "z1"}]},
                    "targetRef": {"kind": "Pod", "namespace": "shop", "name": "p"},
                },
                {"addresses": ["10.0.0.1"]},
            ],
        )
        manifest["metadata"]["labels"] = {"kubernetes.io/service-name": "svc"}
        resource = read(manifest).resource
        assert isinstance(resource, EndpointSlice)
        assert resource.service == "svc"
        assert resource.ports == (EndpointPort("http", 8080), EndpointPort("any", None))
        assert resource.endpoints == (
            Endpoint(("127.0.0.1",), False, True, True, "n1", "z1", ("z1",), "Pod/shop/p"),
            Endpoint(("10.0.0.1",)),
        )

    @pytest.mark.parametrize(
        ("kind", "address"), [("IPv4", "127.0.0.7"), ("IPv6", "::1"), ("IPv6", "fd00::1"), ("FQDN", "db.example.com.")]
    )
    def test_addresses_of_their_type_are_accepted(self, kind: str, address: str) -> None:
        assert read(slice_(addressType=kind, endpoints=[{"addresses": [address]}])).findings == ()

    @pytest.mark.parametrize(
        ("kind", "address"),
        [
            ("IPv4", "::1"),
            ("IPv4", "300.0.0.1"),
            ("IPv4", "0.0.0.0"),
            ("IPv4", "169.254.169.254"),
            ("IPv4", "224.0.0.1"),
            ("IPv4", "10.0.0.1:80"),
            ("IPv6", "10.0.0.1"),
            ("IPv6", "fe80::1%eth0"),
            ("FQDN", "localhost"),
            ("FQDN", "a..b"),
        ],
    )
    def test_addresses_of_another_type_are_refused(self, kind: str, address: str) -> None:
        finding = only(read(slice_(addressType=kind, endpoints=[{"addresses": [address]}])))
        assert finding.field == "endpoints[0].addresses[0]"

    @pytest.mark.parametrize(
        ("manifest", "field"),
        [
            ({}, "addressType"),
            ({"addressType": "IP"}, "addressType"),
            ({"addressType": "IPv4", "endpoints": [{}]}, "endpoints[0].addresses"),
            ({"addressType": "IPv4", "ports": [{"port": 0}]}, "ports[0].port"),
            ({"addressType": "IPv4", "ports": [{"name": "a"}, {"name": "a"}]}, "ports[1].name"),
            ({"addressType": "IPv4", "endpoints": [{"conditions": {"ready": "yes"}}]}, "endpoints[0].conditions.ready"),
        ],
    )
    def test_what_the_api_server_refuses_is_refused(self, manifest: Any, field: str) -> None:
        assert only(read(slice_(**manifest))).field == field


class TestEndpoints:
    def test_not_ready_addresses_come_with_ready_false(self) -> None:
        subset = {
            "addresses": [{"ip": "10.0.0.1", "nodeName": "n"}],
            "notReadyAddresses": [{"ip": "fd00::1"}],
            "ports": [{"port": 80}],
        }
        resource = read(obj("Endpoints", subsets=[subset])).resource
        assert isinstance(resource, Endpoints)
        endpoints = (Endpoint(("10.0.0.1",), True, node="n"), Endpoint(("fd00::1",), False))
        assert resource.subsets == (EndpointSubset((EndpointPort("", 80),), endpoints),)

    @pytest.mark.parametrize(
        ("subset", "field"),
        [
            ({}, "subsets[0]"),
            ({"addresses": [{"ip": "x"}]}, "subsets[0].addresses[0].ip"),
            ({"addresses": [{"ip": "10.0.0.1"}], "ports": [{}]}, "subsets[0].ports[0].port"),
            (
                {"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}, {"port": 2, "name": "b"}]},
                "subsets[0].ports[0].name",
            ),
        ],
    )
    def test_what_the_api_server_refuses_is_refused(self, subset: Any, field: str) -> None:
        assert only(read(obj("Endpoints", subsets=[subset]))).field == field


class TestSecretAndConfigMap:
    def test_data_is_decoded_and_string_data_wins(self) -> None:
        data = {"a": base64.b64encode(b"\x00one").decode(), "b": "b2xk", "folded": "b2\nxk\n", "none": None}
        resource = read(obj("Secret", data=data, stringData={"b": "new"})).resource
        assert isinstance(resource, Secret)
        assert resource.type == "Opaque"
        assert resource.data == {"a": b"\x00one", "b": b"new", "folded": b"old", "none": b""}

    @pytest.mark.parametrize("value", ["not base64!", "YQ", "YQ===", "ä", 5, True, {"a": "b"}])
    def test_bad_base64_is_refused_without_showing_it(self, value: Any) -> None:
        finding = only(read(obj("Secret", data={"password": value})))
        assert finding.field == "data[password]"
        assert "base64" in finding.message
        assert str(value) not in finding.message

    def test_string_data_of_another_type_is_refused_without_showing_it(self) -> None:
        finding = only(read(obj("Secret", stringData={"pin": 123456})))
        assert finding.field == "stringData[pin]"
        assert "123456" not in finding.message

    def test_a_tls_secret_needs_certificate_and_key(self) -> None:
        assert fields(read(obj("Secret", type="kubernetes.io/tls", data={}))) == ["data[tls.crt]", "data[tls.key]"]

    @pytest.mark.parametrize("key", ["a/b", "..", "", "a b", "x" * 254])
    @pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
    def test_a_key_must_be_able_to_be_a_file_name(self, kind: str, key: str) -> None:
        assert len(fields(read(obj(kind, data={key: ""})))) == 1

    @pytest.mark.parametrize(("value", "shown"), [(True, "true"), (5, "5"), (1.5, "1.5")])
    def test_a_config_map_value_that_is_no_string_is_refused_with_the_remedy(self, value: Any, shown: str) -> None:
        finding = only(read(obj("ConfigMap", data={"use-gzip": value})))
        assert finding.field == "data[use-gzip]"
        assert shown in finding.message
        assert "quotes" in finding.message

    def test_a_config_map_has_strings(self) -> None:
        resource = read(obj("ConfigMap", data={"a": "1", "b": None}, binaryData={"x": "AA=="})).resource
        assert isinstance(resource, ConfigMap)
        assert resource.data == {"a": "1", "b": ""}

    def test_more_than_a_mebibyte_is_refused(self) -> None:
        assert fields(read(obj("ConfigMap", data={"a": "x" * (1024 * 1024 + 1)}))) == ["data"]


class TestMetadata:
    def test_an_object_without_namespace_is_in_default(self) -> None:
        decoded = read({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
        assert decoded.key == ObjectKey("ConfigMap", "default", "a")

    def test_a_namespace_has_none_itself(self) -> None:
        decoded = read({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "labels": {"x": "y"}}})
        assert decoded.key == ObjectKey("Namespace", "", "a")
        assert isinstance(decoded.resource, Namespace)
        assert decoded.resource.metadata.labels == {"x": "y"}

    @pytest.mark.parametrize("name", ["A", "a_b", "-a", "a\x00", "a\n", "a/b", "../a", "", None, "x" * 254, "ä"])
    def test_a_bad_name_is_refused_and_names_no_object(self, name: Any) -> None:
        decoded = read({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
        assert only(decoded).field == "metadata.name"
        assert decoded.key is None
        assert str(decoded.findings[0].object).isprintable()

    @pytest.mark.parametrize(
        ("metadata", "field"),
        [
            ({"namespace": "a.b"}, "metadata.namespace"),
            ({"labels": {"version": 1.0}}, "metadata.labels[version]"),
            ({"labels": {"a b": "x"}}, "metadata.labels[a b]"),
            ({"labels": {"a": "x y"}}, "metadata.labels[a]"),
            ({"annotations": {"a/b/c": "x"}}, "metadata.annotations[a/b/c]"),
            ({"annotations": {"a": "x" * 300_000}}, "metadata.annotations"),
            ({"annotations": []}, "metadata.annotations"),
            ({"creationTimestamp": "yesterday"}, "metadata.creationTimestamp"),
            ({"creationTimestamp": "2024-13-01T00:00:00Z"}, "metadata.creationTimestamp"),
            ({"generation": -1}, "metadata.generation"),
            ({"generation": 2**70}, "metadata.generation"),
        ],
    )
    def test_bad_metadata_is_refused(self, metadata: Any, field: str) -> None:
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", **metadata}}
        assert only(read(manifest)).field == field

    @pytest.mark.parametrize(
        ("text", "created"),
        [("1970-01-01T00:00:05Z", 5), ("2024-05-01T12:00:00.9+02:00", 1714557600), (None, 7)],
    )
    def test_creation_times_are_whole_seconds(self, text: str | None, created: int) -> None:
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "creationTimestamp": text}}
        resource = read(manifest).resource
        assert resource is not None
        assert resource.metadata.created == created


class TestKinds:
    @pytest.mark.parametrize(
        ("api", "kind"),
        [
            ("apps/v1", "Deployment"),
            ("v1", "Pod"),
            ("serving.knative.dev/v1", "Service"),
            ("gateway.networking.k8s.io/v1", "HTTPRoute"),
            ("tidegate.dev/v1alpha1", "TrafficPolicy"),
        ],
    )
    def test_a_kind_that_is_not_read_is_one_remark(self, api: str, kind: str) -> None:
        decoded = read(obj(kind, api))
        assert (decoded.key, decoded.resource) == (None, None)
        (finding,) = decoded.findings
        assert (finding.severity, finding.reason) == (Severity.INFO, "IgnoredKind")
        assert kind in finding.message

    @pytest.mark.parametrize(
        ("api", "kind", "field", "hint"),
        [
            ("networking.k8s.io/v1", "ingress", "kind", "did you mean Ingress"),
            ("v1", "Services", "kind", "did you mean Service"),
            ("v1", "Potato", "kind", "no such kind"),
            ("v1", "Ingress", "apiVersion", "networking.k8s.io/v1"),
            ("extensions/v1", "Ingress", "apiVersion", "networking.k8s.io/v1"),
            ("discovery.k8s.io/v2", "EndpointSlice", "apiVersion", "discovery.k8s.io/v1"),
        ],
    )
    def test_a_kind_that_kubernetes_does_not_know_is_an_error(self, api: str, kind: str, field: str, hint: str) -> None:
        finding = only(read(obj(kind, api)))
        assert finding.field == field
        assert hint in finding.message

    @pytest.mark.parametrize("manifest", [None, "text", 5, [], ["a"], True])
    def test_what_is_no_mapping_is_refused(self, manifest: Any) -> None:
        assert "allowed: a mapping" in only(read(manifest)).message

    def test_a_manifest_without_version_and_kind_is_refused(self) -> None:
        assert fields(read({})) == ["apiVersion", "kind"]
        assert fields(read({"apiVersion": 1, "kind": []})) == ["apiVersion", "kind"]

    def test_unknown_fields_do_not_matter(self) -> None:
        assert read({**obj("ConfigMap"), "immutable": True, "x": {"y": [1]}}).findings == ()


_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["None", "ExternalName", "/", "a.example", "80", "\x00", "Prefix", "IPv4", "10.0.0.1", "YQ=="]),
)
_NAMES = (
    "metadata name namespace uid generation creationTimestamp annotations labels spec ingressClassName defaultBackend "
    "backend rules tls host hosts secretName http paths path pathType service resource serviceName servicePort port "
    "number kind controller type clusterIP clusterIPs externalName ports selector protocol targetPort nodePort "
    "addressType endpoints addresses conditions ready hints forZones targetRef subsets notReadyAddresses ip data "
    "stringData apiVersion items"
)
_names = _NAMES.split()
_json = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(_names), st.text(max_size=5)), inner, max_size=6),
    ),
    max_leaves=40,
)
_shaped = st.builds(
    lambda version, kind, rest: {**rest, "apiVersion": version, "kind": kind},
    st.sampled_from(sorted({version for versions in USED.values() for version in versions})),
    st.sampled_from(sorted(USED)),
    st.fixed_dictionaries(
        {"metadata": st.one_of(_json, st.fixed_dictionaries({"name": st.sampled_from(["a", "a-b"])}))},
        optional=dict.fromkeys(["spec", "data", "stringData", "addressType", "ports", "endpoints", "subsets"], _json),
    ),
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(_json, _shaped))
def test_no_value_makes_decode_raise_and_none_is_refused_without_a_reason(manifest: Any) -> None:
    decoded = read(manifest)
    if decoded.resource is None:
        assert decoded.findings
    else:
        assert decoded.key == decoded.resource.key
        assert all(finding.severity is not Severity.ERROR for finding in decoded.findings)
    for finding in decoded.findings:
        assert len(finding.message) < 1000
        assert f"{finding.object}{finding.field}{finding.message}".isprintable()
