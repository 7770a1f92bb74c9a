"""Every hostile text for every row of the registry: the webhook and the translation answer alike, each with object,
field and reason, and what should protect something closes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hostile
import pytest
import rows
from rows import ANNOTATION_CASES, KEY_CASES, Case
from tidegate.admission.judge import LONGEST_WARNING, Judge, Verdict
from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.resources.changes import Change
from tidegate.resources.decode import decode
from tidegate.resources.model import ConfigMap
from tidegate.settings.global_settings import read_configmap
from tidegate.store import Store
from tidegate.translate.engine import Translator
from tidegate.translate.options import Options

OPTIONS = Options(configmap=hostile.CONFIGMAP, watch_ingress_without_class=True)
WORLDS: dict[str, dict[str, object]] = {
    "as it comes": {},
    "with snippets": {"allow-snippet-annotations": "true", "annotations-risk-level": "Critical"},
}
NO_TEXTS: dict[str, Any] = {
    "a number": 1,
    "a switch": True,
    "a fraction": 0.5,
    "a list": ["a"],
    "a mapping": {"a": "b"},
}
BASE: tuple[rows.Manifest, ...] = (
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "echo", "namespace": "hostile"},
     "spec": {"ports": [{"port": 80}]}},
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "users", "namespace": "hostile"},
     "stringData": {"auth": "joe:{PLAIN}secret\n"}},
)  # fmt: skip


def changes(manifests: Sequence[rows.Manifest]) -> list[Change]:
    found = []
    for number, item in enumerate(manifests):
        decoded = decode(item, created=number, uid="", place="")
        if decoded.key is not None and decoded.resource is not None:
            found.append(Change(decoded.key, decoded.resource))
    return found


def translated(*manifests: rows.Manifest, **settings: object) -> tuple[Store, Translator]:
    store, translator = Store(), Translator(OPTIONS)
    data = {key.replace("_", "-"): value for key, value in settings.items()}
    translator.update(store, store.apply(changes([*BASE, rows.configmap(data), *manifests])))
    return store, translator


def field_of(case: Case) -> str:
    return f"metadata.annotations[{rows.PREFIX}/{case.name}]"


def check_words(found: Finding, key: ObjectKey) -> None:
    assert found.object == key
    for text in (found.field, found.message):
        assert text.isprintable(), text
    assert found.reason
    assert len(found.message) < 1500


def check_verdict(verdict: Verdict, findings: Sequence[Finding], *, accepted: bool) -> None:
    """The webhook says what the translation found, with its words, and lets in what it would apply."""
    assert verdict.allowed is accepted, verdict
    said = [verdict.message, *verdict.warnings]
    for finding in findings:
        refuses = not accepted and finding.severity is Severity.ERROR
        words = finding.words if refuses else finding.words[: LONGEST_WARNING - 1]
        if refuses or (accepted and finding.severity is not Severity.INFO):
            assert any(words in text for text in said), (finding, verdict)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", ANNOTATION_CASES)
def test_the_webhook_says_of_a_hostile_annotation_what_the_translation_finds(name: str, world: str) -> None:
    cases = ANNOTATION_CASES[name]
    if world != "as it comes" and not rows.is_code(cases[0].setting) and "snippet" not in name:
        return  # nothing is different
    manifests = [rows.ingress_of(case, number) for number, case in enumerate(cases)]
    settings = {key.replace("-", "_"): value for key, value in WORLDS[world].items()}
    _, translator = translated(*manifests, **settings)
    judge = Judge(*translated(**settings), OPTIONS)
    for case, item in zip(cases, manifests, strict=True):
        verdict = judge.judge(item)
        key = ObjectKey("Ingress", "hostile", item["metadata"]["name"])
        decoded = decode(item, created=0, uid="", place="")
        if decoded.resource is None:  # what no API server would store, such as half of a letter
            assert not verdict.allowed, case.id
            assert case.name in verdict.message, case.id
            continue
        view, findings = translator.views[key], translator.findings_of(key)
        for finding in findings:
            check_words(finding, key)
        check_verdict(verdict, view.findings, accepted=view.accepted)
        about = [finding for finding in findings if finding.field == field_of(case)]
        if case.problem is not None and "snippet" not in case.name:
            assert any("found " in one.message and ", allowed: " in one.message for one in about), (case.id, about)
        if case.problem is not None and not view.accepted:
            assert field_of(case) in verdict.message
        routes = translator.hosts[f"{key.name}.rows.test"].routes if f"{key.name}.rows.test" in translator.hosts else ()
        if not view.accepted:
            assert not any(route.backend for route in routes), case.id
        elif case.closes:
            assert [route.status for route in routes] == [503], case.id


@pytest.mark.parametrize("name", ANNOTATION_CASES)
def test_an_annotation_that_is_no_text_is_refused_by_name(name: str) -> None:
    judge = Judge(*translated(), OPTIONS)
    for what, value in NO_TEXTS.items():
        verdict = judge.judge(rows.manifest("a", "a.rows.test", {name: value}))
        assert not verdict.allowed, what
        assert f"metadata.annotations[{rows.PREFIX}/{name}]" in verdict.message, what


def read(key: str, value: object) -> tuple[Any, tuple[Finding, ...]]:
    decoded = decode(rows.configmap({key: value}), created=0, uid="", place="")
    if not isinstance(decoded.resource, ConfigMap):
        return None, decoded.findings
    return read_configmap(decoded.resource)


@pytest.mark.parametrize("name", KEY_CASES)
def test_a_hostile_value_of_a_key_is_found_with_what_is_allowed_and_closes_what_it_should_protect(name: str) -> None:
    for case in KEY_CASES[name]:
        settings, findings = read(name, case.text)
        for finding in findings:
            check_words(finding, hostile.CONFIGMAP)
        about = [finding for finding in findings if finding.field == f"data[{name}]"]
        if settings is None:
            assert about, case.id
        elif case.problem is not None:
            assert any("found " in one.message and ", allowed: " in one.message for one in about), case.id
            assert (name in settings.denied) is case.closes, case.id
        else:
            assert settings.is_set(case.setting), case.id


@pytest.mark.parametrize("name", KEY_CASES)
def test_a_key_that_is_no_text_is_found_by_name(name: str) -> None:
    for what, value in NO_TEXTS.items():
        settings, findings = read(name, value)
        assert settings is None, what
        assert any(finding.field == f"data[{name}]" for finding in findings), what


def test_a_broken_key_that_protects_closes_whoever_does_not_say_otherwise() -> None:
    closing = [case for cases in KEY_CASES.values() for case in cases if case.closes]
    assert {case.name for case in closing} >= {"whitelist-source-range", "block-cidrs", "global-auth-url"}
    for name in {case.name for case in closing}:
        case = next(case for case in closing if case.name == name)
        _, translator = translated(rows.manifest("a", "a.rows.test", {}), **{name: case.text})
        assert [route.status for route in translator.hosts["a.rows.test"].routes] == [503], case.id
