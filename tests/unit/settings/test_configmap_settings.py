"""How the ConfigMap is read."""

from __future__ import annotations

import dataclasses

import pytest
from tidegate.findings import ObjectKey, Severity
from tidegate.resources.model import ConfigMap, Metadata
from tidegate.settings import annotations as ann
from tidegate.settings import configmap as cm
from tidegate.settings import global_settings
from tidegate.settings.resolve import GlobalSettings, read_configmap
from tidegate.settings.setting import OriginKind, Risk, Support

KEY = ObjectKey("ConfigMap", "ingress", "config")


def read(**data: str) -> tuple[GlobalSettings, list[tuple[str, Severity, str]]]:
    named = {key.replace("_", "-"): text for key, text in data.items()}
    settings, findings = read_configmap(ConfigMap(Metadata("config", "ingress"), named))
    assert all(finding.object == KEY for finding in findings)
    return settings, [(finding.field, finding.severity, finding.reason) for finding in findings]


def test_without_a_configmap_everything_is_default() -> None:
    settings, findings = read_configmap(None)
    assert findings == ()
    assert settings.get(cm.PROXY_BODY_SIZE) == 1024**2
    assert settings.value(cm.SSL_REDIRECT).origin.kind is OriginKind.DEFAULT
    assert settings == GlobalSettings()


def test_a_value_remembers_the_key_it_comes_from() -> None:
    settings, findings = read(proxy_body_size="8m")
    value = settings.value(cm.PROXY_BODY_SIZE)
    assert findings == []
    assert value.value == 8 * 1024**2
    assert str(value.origin) == "ConfigMap ingress/config data[proxy-body-size]"


def test_settings_with_the_same_content_are_equal_and_hash_alike() -> None:
    one, _ = read(proxy_body_size="8m", hsts="false")
    two, _ = read(hsts="0", proxy_body_size="8192k")
    three, _ = read(hsts="0")
    assert one == two
    assert hash(one) == hash(two)
    assert one != three


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("proxy-body-size", "5 megabytes"),
        ("ssl-redirect", "yes"),
        ("hsts-max-age", "1y"),
        ("large-client-header-buffers", "8k"),
        ("forwarded-for-header", "X; evil"),
        ("ssl-ciphers", "HIGH; }"),
        ("log-format-upstream", "a\tb"),
        ("log-format-upstream", "$unheard_of"),
        ("use-gzip", "true\n"),
        ("proxy-stream-responses", ""),
        ("keep-alive", "75\n"),
        ("error-log-level", "loud"),
        ("worker-processes", "many"),
        ("load-balance", "no_such_thing"),
        ("limit-req-status-code", "200"),
        ("http-redirect-code", "303"),
    ],
)
def test_a_value_that_nginx_would_refuse_keeps_the_default(key: str, text: str) -> None:
    settings, findings = read(**{key: text})
    assert findings == [(f"data[{key}]", Severity.WARNING, "InvalidValue")]
    assert settings.values == {}
    assert settings.denied == frozenset()


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("proxy-body-size", " 8m\n", 8 * 1024**2),
        ("proxy-stream-timeout", "10s\n", 10_000),
        ("ssl-protocols", "TLSv1.3\n  TLSv1.2\n", ("TLSv1.2", "TLSv1.3")),
        ("proxy-next-upstream", "error\ttimeout http_502\n", ("error", "timeout", "http_502")),
        ("proxy-buffering", "on\n", True),
    ],
)
def test_a_line_end_is_a_blank_where_the_value_goes_into_nginx_s_configuration(
    key: str, text: str, value: object
) -> None:
    settings, findings = read(**{key: text})
    assert findings == []
    assert settings.values == {key: value}


SNIPPET = """
map $http_x_kind $kind { default other; }
split_clients $remote_addr $Half { 50% a; * b; }
geoip2 /x.mmdb { $found source=$remote_addr country; }
server { location ~ ^/(?<rest>.*)$ { set $place here; auth_request_set $user $upstream_http_x_user; } }
"""


def test_variables_that_a_snippet_defines_are_known_to_other_keys() -> None:
    names = ("kind", "half", "found", "rest", "place", "user")
    text = " ".join(f"${name}" for name in names)
    settings, findings = read(http_snippet=SNIPPET, log_format_upstream=text, limit_conn_zone_variable="$kind")
    assert findings == []
    assert settings.get(cm.LOG_FORMAT_UPSTREAM) == text
    assert settings.get(cm.LIMIT_CONN_ZONE_VARIABLE) == "$kind"
    assert settings.own_variables == frozenset(names)


def test_a_snippet_that_cannot_be_read_defines_nothing() -> None:
    _, findings = read(http_snippet="map $a $kind { default b; ", log_format_upstream="$kind")
    assert sorted(field for field, _, _ in findings) == ["data[http-snippet]", "data[log-format-upstream]"]


def test_global_authentication_goes_on_without_names_that_are_no_headers_and_with_get_for_an_unknown_method() -> None:
    settings, findings = read(global_auth_response_headers="X-User, bad name!", global_auth_method="SOMETHING")
    assert [severity for _, severity, _ in findings] == [Severity.WARNING, Severity.WARNING]
    assert settings.denied == frozenset()
    assert settings.get(cm.GLOBAL_AUTH_RESPONSE_HEADERS) == ("X-User",)
    assert settings.get(cm.GLOBAL_AUTH_METHOD) == ""


def test_an_invalid_access_list_denies() -> None:
    settings, findings = read(whitelist_source_range="10.0.0.0/8, localhost")
    assert findings == [("data[whitelist-source-range]", Severity.ERROR, "InvalidValue")]
    assert settings.denied == {"whitelist-source-range"}


def test_an_access_list_may_be_broken_over_lines() -> None:
    settings, findings = read(whitelist_source_range="10.0.0.1/8,\n192.168.0.0/16,\n")
    assert findings == []
    assert settings.get(cm.WHITELIST_SOURCE_RANGE) == ("10.0.0.0/8", "192.168.0.0/16")


def test_unknown_and_dead_keys_are_only_mentioned() -> None:
    settings, findings = read(nonsense="1", jaeger_endpoint="x", use_geoip="true", lua_shared_dicts="a: 9999")
    assert findings == [
        ("data[jaeger-endpoint]", Severity.INFO, "Ignored"),
        ("data[lua-shared-dicts]", Severity.INFO, "Ignored"),
        ("data[nonsense]", Severity.INFO, "UnknownKey"),
        ("data[use-geoip]", Severity.INFO, "Ignored"),
    ]
    assert settings.values == {}


def test_a_key_that_is_not_supported_yet_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    unsupported = dataclasses.replace(cm.USE_GZIP, support=Support.NOT_YET)
    monkeypatch.setattr(global_settings, "find_configmap_key", lambda _: unsupported)
    _, findings = read(use_gzip="true")
    assert findings == [("data[use-gzip]", Severity.WARNING, "NotYetSupported")]


def test_bad_elements_of_an_error_list_are_left_out() -> None:
    settings, findings = read(custom_http_errors="429,503,200,abc")
    assert findings == [("data[custom-http-errors]", Severity.WARNING, "InvalidValue")]
    assert settings.get(cm.CUSTOM_HTTP_ERRORS) == (429, 503)


def test_a_bad_list_of_trusted_peers_does_not_trust_everybody() -> None:
    settings, _ = read(proxy_real_ip_cidr="proxy.test, 10.0.0.0/8")
    assert settings.get(cm.PROXY_REAL_IP_CIDR) == ("10.0.0.0/8",)
    settings, _ = read(proxy_real_ip_cidr="proxy.test")
    assert settings.get(cm.PROXY_REAL_IP_CIDR) == ()


@pytest.mark.parametrize(("text", "risk"), [("critical", Risk.CRITICAL), ("MEDIUM", Risk.MEDIUM), ("none", Risk.LOW)])
def test_a_risk_level_that_is_unknown_is_the_lowest(text: str, risk: Risk) -> None:
    settings, _ = read(annotations_risk_level=text)
    assert settings.get(cm.ANNOTATIONS_RISK_LEVEL) is risk


def test_blocked_words_survive_a_line_end() -> None:
    settings, findings = read(annotation_value_word_blocklist="forbidden, {\n")
    assert findings == []
    assert settings.get(cm.ANNOTATION_VALUE_WORD_BLOCKLIST) == ("forbidden", "{")


def test_lists_replace_their_default() -> None:
    settings, _ = read(no_auth_locations="/a, /b", no_tls_redirect_locations="")
    assert settings.get(cm.NO_AUTH_LOCATIONS) == ("/a", "/b")
    assert settings.get(cm.NO_TLS_REDIRECT_LOCATIONS) == ()


def test_an_annotation_falls_back_to_the_key_it_overrides() -> None:
    settings, _ = read(proxy_read_timeout="0x10", whitelist_source_range="10.0.0.0/8")
    assert settings.default(ann.PROXY_READ_TIMEOUT) == 16
    assert settings.default(ann.ALLOWLIST_SOURCE_RANGE) == ("10.0.0.0/8",)
    assert settings.default(ann.REWRITE_TARGET) == ""
    assert settings.default_value(ann.PROXY_READ_TIMEOUT).origin.kind is OriginKind.CONFIGMAP


def test_a_key_with_odd_characters_is_shown_on_one_line() -> None:
    _, findings = read_configmap(ConfigMap(Metadata("config", "ingress"), {"a\nb": "1"}))
    assert findings[0].field == "data[a\\nb]"
