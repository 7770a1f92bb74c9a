"""What the webhook lets in, refuses and warns of."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from tidegate.admission.judge import Judge, Verdict
from tidegate.findings import ObjectKey
from tidegate.resources.changes import Change
from tidegate.resources.decode import decode
from tidegate.store import Store
from tidegate.translate.engine import Translator
from tidegate.translate.options import Options

PREFIX = "nginx.ingress.kubernetes.io/"
SETTINGS = ObjectKey("ConfigMap", "tidegate", "settings")


def item(
    name: str,
    *paths: tuple[str, str],
    host: str = "a.test",
    namespace: str = "default",
    class_name: str = "nginx",
    **annotations: str,
) -> dict[str, Any]:
    backend = {"service": {"name": "echo", "port": {"number": 80}}}
    rows = [{"path": path, "pathType": kind, "backend": backend} for path, kind in paths or (("/", "Prefix"),)]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": str(uuid.uuid4()),
            "annotations": {PREFIX + key.replace("_", "-"): value for key, value in annotations.items()},
        },
        "spec": {"ingressClassName": class_name, "rules": [{"host": host, "http": {"paths": rows}}]},
    }


def ingress_class(name: str, controller: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": name},
        "spec": {"controller": controller},
    }


ECHO = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "echo", "namespace": "default"},
    "spec": {"ports": [{"port": 80}]},
}


def judge_beside(*there: dict[str, Any], options: Options | None = None, **settings: str) -> Judge:
    """A judge of a cluster with these objects."""
    store = Store()
    options = options or Options(configmap=SETTINGS)
    data = {key.replace("_", "-"): value for key, value in settings.items()}
    configmap = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "tidegate"},
        "data": data,
    }
    manifests = [ingress_class("nginx", "k8s.io/ingress-nginx"), ingress_class("other", "x/y"), ECHO, configmap, *there]
    changes = []
    for number, manifest in enumerate(manifests):
        decoded = decode(manifest, created=number, uid=f"u{number}", place="")
        assert decoded.key is not None
        changes.append(Change(decoded.key, decoded.resource))
    translator = Translator(options)
    translator.update(store, store.apply(changes))
    return Judge(store, translator, options)


def judged(new: dict[str, Any], *there: dict[str, Any], **settings: str) -> Verdict:
    return judge_beside(*there, **settings).judge(new)


def test_a_sound_ingress_is_let_in_without_a_word() -> None:
    assert judged(item("new")) == Verdict(True)


def test_a_value_that_would_not_be_applied_is_refused_with_field_and_reason() -> None:
    verdict = judged(item("new", limit_rps="many"))
    assert not verdict.allowed
    assert f"metadata.annotations[{PREFIX}limit-rps]: found 'many'" in verdict.message


def test_a_refusal_names_the_object_for_kubectl_tells_just_the_file() -> None:
    refused = judged(item("new", namespace="shop", limit_rps="many"))
    assert refused.message.startswith(f"Ingress shop/new: metadata.annotations[{PREFIX}limit-rps]: found 'many'")
    nameless = item("new", limit_rps="many")
    del nameless["metadata"]["name"]
    assert not judged(nameless).allowed


def test_a_security_setting_that_cannot_be_carried_out_is_a_warning_because_it_may_come_later() -> None:
    verdict = judged(item("new", auth_type="basic", auth_secret="../x"))
    assert verdict.allowed
    assert any("auth-secret" in warning for warning in verdict.warnings)


def test_what_only_falls_back_to_its_default_is_a_warning() -> None:
    verdict = judged(item("new", proxy_read_timeout="soon"))
    assert verdict.allowed
    assert any("proxy-read-timeout" in warning and "soon" in warning for warning in verdict.warnings)


def test_a_service_that_is_not_there_is_a_warning() -> None:
    verdict = judged(item("new", namespace="elsewhere"))
    assert verdict == Verdict(True, warnings=("there is no Service elsewhere/echo: its paths answer 503",))


def test_an_ingress_of_another_class_is_not_looked_at() -> None:
    assert judged(item("new", class_name="other", limit_rps="many")) == Verdict(True)


def test_even_of_another_class_nothing_may_reach_for_files_of_the_server() -> None:
    verdict = judged(item("new", ("/etc/passwd", "ImplementationSpecific"), class_name="other"))
    assert not verdict.allowed
    assert "spec.rules[0].http.paths[0].path" in verdict.message


def test_an_object_that_is_being_deleted_is_let_go() -> None:
    new = item("new", limit_rps="many")
    new["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert judged(new).allowed


def test_an_identity_that_is_none_is_refused() -> None:
    new = item("new")
    new["metadata"]["uid"] = "x\ny"
    assert "a UUID" in judged(new).message


@pytest.mark.parametrize("path", ["/a+b", "/[a-z]{3}", "/a b", "/ä"])
@pytest.mark.parametrize("kind", ["Exact", "Prefix"])
def test_a_pattern_that_is_declared_as_a_plain_path_is_refused_unless_allowed(path: str, kind: str) -> None:
    strict = judged(item("new", (path, kind)))
    assert not strict.allowed
    assert kind in strict.message
    lax = judged(item("new", (path, kind)), strict_validate_path_type="false")
    assert lax.allowed
    assert any(kind in warning for warning in lax.warnings)
    assert judged(item("new", (path, "ImplementationSpecific"))) == Verdict(True)


def test_retired_annotations_are_a_warning() -> None:
    assert judged(item("new", enable_influxdb="true")).warnings == (
        f"annotation {PREFIX}enable-influxdb is deprecated",
    )


def test_annotations_of_the_usual_prefix_are_refused_where_another_one_counts() -> None:
    options = Options(annotations_prefix="example.com")
    verdict = judge_beside(options=options).judge(item("new", ssl_redirect="false"))
    assert not verdict.allowed
    assert "example.com/" in verdict.message


def test_a_default_backend_is_refused_where_nobody_may_catch_all() -> None:
    new = item("new")
    new["spec"]["defaultBackend"] = {"service": {"name": "echo", "port": {"number": 80}}}
    assert not judge_beside(options=Options(disable_catch_all=True)).judge(new).allowed
    assert judge_beside().judge(new).allowed


OVERLAPS = [
    # what is there, what comes, whether there is room
    (("/x", "Prefix"), ("/x", "Prefix"), False),
    (("/x", "Prefix"), ("/x", "Exact"), True),
    (("/x", "Exact"), ("/x", "Prefix"), False),
    (("/x", "Exact"), ("/x", "Exact"), False),
    (("/x", "Prefix"), ("/x/", "Prefix"), False),
    (("/x", "Prefix"), ("/x/", "Exact"), False),
    (("/x/", "Prefix"), ("/x", "Prefix"), True),
    (("/x", "Prefix"), ("/xy", "Prefix"), True),
    (("/", "Prefix"), ("/x", "Prefix"), True),
    (("/", "Prefix"), ("/", "Prefix"), False),
]


@pytest.mark.parametrize(("there", "new", "room"), OVERLAPS)
def test_a_path_that_another_ingress_has_is_refused(there: tuple[str, str], new: tuple[str, str], room: bool) -> None:
    verdict = judged(item("new", new), item("old", there, namespace="far"))
    assert verdict.allowed is room
    if not room:
        taken = f'host "a.test" and path "{new[0]}" is already defined in ingress far/old'
        assert verdict.message == f"Ingress default/new: {taken}"


def test_an_ingress_does_not_overlap_with_its_former_self() -> None:
    old = item("old", ("/x", "Prefix"))
    assert judged({**old, "metadata": {**old["metadata"], "labels": {"a": "b"}}}, old).allowed


def test_a_path_of_another_host_or_class_leaves_room() -> None:
    assert judged(item("new"), item("old", host="b.test"), item("older", class_name="other")).allowed


@pytest.mark.parametrize("value", ["true", "false"])
def test_one_that_carries_the_canary_annotation_may_share_a_path(value: str) -> None:
    assert judged(item("new", canary=value), item("old")).allowed
    assert judged(item("new"), item("old", canary=value)).allowed


def test_what_is_no_ingress_the_api_would_take_is_refused() -> None:
    assert not judged(
        {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "x"}, "spec": []}
    ).allowed
    assert not judged({}).allowed


@pytest.mark.parametrize("prefix", [PREFIX, "example.com/"])
def test_a_snippet_is_refused_where_snippets_are_not_allowed_whatever_the_risk_level_and_its_prefix(
    prefix: str,
) -> None:
    one = item("one")
    one["metadata"]["annotations"][f"{prefix}configuration-snippet"] = "return 418;"
    refused = judge_beside(annotations_risk_level="Critical").judge(one)
    assert not refused.allowed
    assert "allow-snippet-annotations" in refused.message
    allowed = {"allow_snippet_annotations": "true", "annotations_risk_level": "Critical"}
    assert judge_beside(**allowed).judge(one).allowed
