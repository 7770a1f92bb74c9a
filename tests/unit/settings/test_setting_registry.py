"""The registry is complete and agrees with itself."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any, cast, get_type_hints

import pytest
from tidegate.settings import annotations as ann
from tidegate.settings import configmap as cm
from tidegate.settings.reference import default_text
from tidegate.settings.registry import (
    ANNOTATIONS,
    CONFIGMAP_KEYS,
    OVERRIDES,
    collect,
    find_annotation,
    find_configmap_key,
    similar_annotation,
)
from tidegate.settings.setting import OnInvalid, Risk, Setting, Support


def words(text: str) -> list[str]:
    return text.split()


DEAD_ANNOTATIONS = words(
    """
enable-influxdb influxdb-measurement influxdb-port influxdb-host influxdb-server-name secure-verify-ca-secret
session-cookie-hash secure-backends enable-opentracing opentracing-trust-incoming-span global-rate-limit
global-rate-limit-window add-base-url grpc-backend
"""
)

ALL = [("annotation", *item) for item in ANNOTATIONS.items()] + [("key", *item) for item in CONFIGMAP_KEYS.items()]


@pytest.mark.parametrize("name", DEAD_ANNOTATIONS)
def test_names_of_older_releases_are_known_and_dead(name: str) -> None:
    setting = find_annotation(name)
    assert setting is not None
    assert setting.support is Support.DEAD


@pytest.mark.parametrize(
    "key",
    ["jaeger-endpoint", "zipkin-collector-host", "datadog-env", "plugins", "use-geoip", "app-root", "lua-shared-dicts"],
)
def test_keys_of_older_releases_are_known_and_dead(key: str) -> None:
    setting = find_configmap_key(key)
    assert setting is not None
    assert setting.support is Support.DEAD


def test_names_that_nobody_knows_are_not_found() -> None:
    assert find_annotation("no-such-annotation") is None
    assert find_configmap_key("nonsense") is None


def test_a_misspelt_name_finds_its_neighbour() -> None:
    assert similar_annotation("auth-urls") == "auth-url"
    assert similar_annotation("x" * 10_000) == ""


def test_the_old_name_of_a_list_is_the_same_setting() -> None:
    assert ANNOTATIONS["whitelist-source-range"] is ann.ALLOWLIST_SOURCE_RANGE
    assert ANNOTATIONS["limit-whitelist"] is ann.LIMIT_ALLOWLIST


def test_two_settings_of_one_name_are_refused() -> None:
    module = cast(ModuleType, SimpleNamespace(A=ann.SSL_REDIRECT, B=ann.SSL_REDIRECT))
    with pytest.raises(ValueError, match="ssl-redirect"):
        collect([module])


@pytest.mark.parametrize(("kind", "name", "setting"), ALL, ids=[f"{kind}-{name}" for kind, name, _ in ALL])
def test_each_setting_is_described_and_grouped(kind: str, name: str, setting: Setting[Any]) -> None:
    assert setting.doc.endswith(".")
    assert setting.group
    hash(setting.default)


@pytest.mark.parametrize(("kind", "name", "setting"), ALL, ids=[f"{kind}-{name}" for kind, name, _ in ALL])
def test_each_default_is_a_value_of_its_type(kind: str, name: str, setting: Setting[Any]) -> None:
    text = default_text(setting)
    if text:
        assert setting.type.parse(text) == setting.default


@pytest.mark.parametrize("setting", OVERRIDES.values(), ids=OVERRIDES)
def test_an_annotation_and_the_key_it_overrides_yield_the_same_kind_of_value(setting: Setting[Any]) -> None:
    assert setting.configmap_key is not None
    key = CONFIGMAP_KEYS[setting.configmap_key]
    assert setting.default == key.default
    assert get_type_hints(type(setting.type).parse)["return"] == get_type_hints(type(key.type).parse)["return"]


def test_an_invalid_security_setting_never_falls_back_to_its_default() -> None:
    lax = [name for _, name, setting in ALL if setting.security and setting.on_invalid is OnInvalid.DEFAULT]
    assert lax == []


def test_a_closed_setting_says_what_its_strict_variant_is() -> None:
    vague = [name for _, name, setting in ALL if setting.on_invalid is OnInvalid.CLOSED and setting.fallback is None]
    assert vague == []


def test_what_protects_is_marked_as_security() -> None:
    guards = ("auth-", "global-auth-", "block-", "enable-modsecurity", "modsecurity-", "enable-owasp", "denylist-")
    named = {name for _, name, setting in ALL if setting.security}
    assert {name for _, name, _ in ALL if name.startswith(guards)} <= named
    assert {
        "allowlist-source-range",
        "whitelist-source-range",
        "satisfy",
        "limit-rps",
        "limit-rpm",
        "limit-connections",
        "limit-allowlist",
        "proxy-ssl-secret",
        "proxy-ssl-verify",
        "enable-global-auth",
    } <= named


def test_the_critical_annotations_are_the_snippets() -> None:
    critical = {name for name, setting in ANNOTATIONS.items() if setting.risk is Risk.CRITICAL}
    assert critical == {name for name in ANNOTATIONS if name.endswith("-snippet")}


def test_constants_are_named_like_their_settings() -> None:
    for package in (ann, cm):
        for constant, value in vars(package).items():
            if isinstance(value, Setting):
                assert constant.lower().replace("_", "-") == value.name.rstrip("*").rstrip("-")
