"""What an invalid value of each supported annotation does is what its declaration says, visible in the model."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tidegate.findings import Finding, Severity
from tidegate.settings import annotations as ann
from tidegate.settings.registry import ANNOTATIONS, CONFIGMAP_KEYS
from tidegate.settings.setting import AnySetting, OnInvalid, Risk, Support
from tidegate.settings.types import NOTHING, Ignored, InvalidValue
from tidegate.translate.acceptance import Hold
from tidegate.translate.options import NginxFacts
from world import OPTIONS, World, configmap, endpoints, ingress, service

ATTEMPTS = (
    "nonsense",
    "\x01",
    '"; return 200; #',
    "$bogus; }",
    "-1",
    "99999999999999999999",
    "0",
    "",
    "400",
    "gopher://x",
    "notbasic",
    "auth-file-x",
    "10.0.0.0/99",
    "a b c",
    "9b",
    "Off",
)
NEEDED = {
    ann.AUTH_SECRET.name: {"auth_type": "basic"},
    ann.AUTH_SECRET_TYPE.name: {"auth_type": "basic", "auth_secret": "users"},
    ann.SATISFY.name: {"whitelist_source_range": "10.0.0.0/8"},
}


def supported(settings: Any) -> list[tuple[str, AnySetting]]:
    return [(name, setting) for name, setting in settings.items() if setting.support is Support.SUPPORTED]


def problems(setting: AnySetting) -> list[tuple[str, InvalidValue]]:
    found = []
    for text in ATTEMPTS:
        try:
            if not text:
                continue
            setting.type.parse(text)
        except InvalidValue as problem:
            found.append((text, problem))
    return found


def cases(settings: Any) -> list[Any]:
    """For each name, one invalid text for each outcome that it can have."""
    rows = []
    for name, setting in supported(settings):
        seen = set()
        for text, problem in problems(setting):
            kind = (setting.outcome(problem), problem.misfit, problem.usable is NOTHING)
            if kind not in seen:
                seen.add(kind)
                rows.append(pytest.param(name, setting, text, problem, id=f"{name}-{kind[0]}-{text.encode()!r}"))
    return rows


@pytest.mark.parametrize("settings", [ANNOTATIONS, CONFIGMAP_KEYS], ids=["annotations", "keys"])
def test_each_supported_row_has_an_invalid_value_and_what_takes_any_text_has_no_effect(settings: Any) -> None:
    assert {case.values[0] for case in cases(settings)} == {name for name, _ in supported(settings)}
    anything = {name for name, setting in settings.items() if isinstance(setting.type, Ignored)}
    assert anything <= {name for name, setting in settings.items() if setting.support is Support.DEAD}


SAYS = {
    OnInvalid.DEFAULT: "the default is used",
    OnInvalid.DENY: "the paths it covers answer 503",
    OnInvalid.CLOSED: "the strict variant is used",
    OnInvalid.REJECT: "this revision is not applied",
}


def check_words(found: Finding, setting: AnySetting, problem: InvalidValue) -> None:
    """What was found, what is allowed instead, and what comes of it."""
    outcome = setting.outcome(problem)
    closes = outcome in (OnInvalid.DENY, OnInvalid.REJECT)
    assert found.reason == "InvalidValue"
    assert found.severity is (Severity.ERROR if closes else Severity.WARNING)
    assert found.message.startswith("found ")
    assert f", allowed: {setting.type.allowed}" in found.message
    partly = problem.usable is not NOTHING and not closes
    assert found.message.endswith(f"; {'it is left out' if partly else SAYS[outcome]}")


def world_with(setting: AnySetting, **annotations: str) -> World:
    allowed = {"allow_snippet_annotations": "true", "annotations_risk_level": "Critical"}
    return World(
        *([configmap(**allowed)] if setting.risk is Risk.CRITICAL else []),
        ingress("web", "/", "/x", **NEEDED.get(setting.name, {}), **annotations),
        ingress("neighbour", host="b.test"),
        service(),
        endpoints(),
    )


@pytest.mark.parametrize(("name", "setting", "text", "problem"), cases(ANNOTATIONS))
def test_an_invalid_annotation_does_what_is_declared(
    name: str, setting: AnySetting, text: str, problem: InvalidValue
) -> None:
    outcome = setting.outcome(problem)
    plain = world_with(setting)
    world = world_with(setting, **{name.replace("-", "_"): text})
    routes = world.host().routes
    findings = [item for item in world.findings() if item.field.endswith(f"/{name}]")]
    check_words(next(item for item in findings if item.message.startswith("found ")), setting, problem)
    assert all("\x01" not in item.message for item in findings)

    if outcome is OnInvalid.REJECT:
        assert world.view().hold is Hold.NOT_FOUND
        assert routes
        assert all(route.refused and not route.backend for route in routes)
        assert findings[0].severity is Severity.ERROR
    elif outcome is OnInvalid.DENY:
        assert world.view().accepted
        assert [route.status for route in routes] == [503, 503]
        assert not any(route.backend for route in routes)
        assert findings[0].severity is Severity.ERROR
    else:
        assert outcome in (OnInvalid.DEFAULT, OnInvalid.CLOSED)
        assert world.view().accepted
        assert world.view().settings.degraded
        assert findings[0].severity is Severity.WARNING
        fallback = setting.default if setting.fallback is None else setting.fallback
        expected = fallback if problem.usable is NOTHING else problem.usable
        assert world.view().settings.get(setting) == expected
        if expected == setting.default:
            assert world.host() == plain.host()
            assert world.translator.backends == plain.translator.backends
    assert world.host("b.test") == plain.host("b.test")


@pytest.mark.parametrize(("name", "setting", "text", "problem"), cases(CONFIGMAP_KEYS))
def test_an_invalid_configmap_key_denies_or_falls_back(
    name: str, setting: AnySetting, text: str, problem: InvalidValue
) -> None:
    outcome = setting.outcome(problem)
    plain = World(ingress(), service(), endpoints())
    world = World(configmap(**{name.replace("-", "_"): text}), ingress(), service(), endpoints())
    about = [item for item in world.translator.findings() if item.field == f"data[{name}]"]
    check_words(next(item for item in about if item.message.startswith("found ")), setting, problem)
    if outcome is OnInvalid.DENY:
        assert [route.status for route in world.host().routes] == [503]
    elif problem.usable is NOTHING and setting.fallback is None:
        assert world.host() == plain.host()
        assert world.translator.globals == plain.translator.globals
    else:
        assert world.host().routes[0].status == 0


@pytest.mark.parametrize(
    ("facts", "missing"),
    [
        (NginxFacts(modules=()), "ModSecurity"),
        (NginxFacts(firewall_rules=False), "ModSecurity"),
        (NginxFacts(core_rules=False), "core rules"),
    ],
)
def test_a_firewall_that_this_nginx_cannot_have_denies(facts: NginxFacts, missing: str) -> None:
    options = msgspec.structs.replace(OPTIONS, nginx=facts)
    guarded = ingress(enable_modsecurity="true", enable_owasp_core_rules="true")
    world = World(guarded, ingress("other", host="b.test"), service(), endpoints(), options=options)
    assert [route.status for route in world.host().routes] == [503]
    assert world.host("b.test").routes[0].status == 0
    assert any(item.reason == "Denied" and missing in item.message for item in world.findings())


def test_a_global_firewall_that_this_nginx_cannot_have_denies_whoever_does_not_turn_it_off() -> None:
    options = msgspec.structs.replace(OPTIONS, nginx=NginxFacts(modules=()))
    off = ingress("off", host="b.test", enable_modsecurity="false")
    world = World(configmap(enable_modsecurity="true"), ingress(), off, service(), endpoints(), options=options)
    assert [world.host(name).routes[0].status for name in ("a.test", "b.test")] == [503, 0]


def test_a_login_that_fails_spares_the_exempt_locations() -> None:
    world = World(ingress("web", "/", "/.well-known/acme-challenge", auth_url="nobody/x"), service(), endpoints())
    assert world.route("/").status == 503
    assert world.route("/.well-known/acme-challenge").backend == "n/app:80"


def test_an_address_list_that_fails_spares_nothing() -> None:
    world = World(
        ingress("web", "/", "/.well-known/acme-challenge", whitelist_source_range="nobody"), service(), endpoints()
    )
    assert [route.status for route in world.host().routes] == [503, 503]


def test_without_validation_a_bad_value_no_longer_rejects_but_still_denies_what_it_should_protect() -> None:
    relaxed = msgspec.structs.replace(OPTIONS, validate_annotations=False)
    assert World(ingress(server_alias="x; }"), service(), options=relaxed).view().accepted
    world = World(ingress(limit_rps="many"), service(), options=relaxed)
    assert world.route().status == 503
