"""How the annotations of an Ingress are read and judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.findings import Severity
from tidegate.model import Directive
from tidegate.resources.model import ConfigMap, Ingress, Metadata
from tidegate.settings import annotations as ann
from tidegate.settings.registry import ANNOTATIONS
from tidegate.settings.resolve import GlobalSettings, IngressSettings, read_configmap, resolve
from tidegate.settings.setting import OnInvalid, OriginKind, Setting, Support
from tidegate.settings.types import Ignored, InvalidValue

PREFIX = "nginx.ingress.kubernetes.io"


def configured(data: dict[str, str]) -> GlobalSettings:
    return read_configmap(ConfigMap(Metadata("config", "ingress"), data))[0]


def ingress(annotations: dict[str, str]) -> Ingress:
    named = {name if "/" in name else f"{PREFIX}/{name}": text for name, text in annotations.items()}
    return Ingress(Metadata("main", "shop", annotations=named))


def resolved(
    annotations: dict[str, str], configmap: dict[str, str] | None = None, *, validate: bool = True
) -> IngressSettings:
    return resolve(ingress(annotations), configured(configmap or {}), PREFIX, validate=validate)


def said(result: IngressSettings) -> list[tuple[str, Severity, str]]:
    return [
        (finding.field.removeprefix(f"metadata.annotations[{PREFIX}/").rstrip("]"), finding.severity, finding.reason)
        for finding in result.findings
    ]


def test_ingresses_without_annotations_share_one_value() -> None:
    globals_ = configured({"proxy-body-size": "8m"})
    one = resolve(ingress({}), globals_, PREFIX)
    two = resolve(ingress({"kubernetes.io/ingress.class": "nginx"}), globals_, PREFIX)
    assert one is two
    assert one.get(ann.PROXY_BODY_SIZE) == 8 * 1024**2
    assert (one.findings, one.rejected, one.denied, one.degraded) == ((), False, False, False)


def test_a_value_comes_from_the_annotation_then_the_key_then_the_default() -> None:
    result = resolved({"proxy-read-timeout": "10"}, {"proxy-read-timeout": "20", "proxy-send-timeout": "30"})
    assert result.get(ann.PROXY_READ_TIMEOUT) == 10
    assert result.get(ann.PROXY_SEND_TIMEOUT) == 30
    assert result.get(ann.PROXY_CONNECT_TIMEOUT) == 5
    origin = result.value(ann.PROXY_READ_TIMEOUT).origin
    assert str(origin) == f"Ingress shop/main metadata.annotations[{PREFIX}/proxy-read-timeout]"
    assert result.value(ann.PROXY_SEND_TIMEOUT).origin.kind is OriginKind.CONFIGMAP
    assert result.value(ann.PROXY_CONNECT_TIMEOUT).origin.kind is OriginKind.DEFAULT
    assert [result.is_set(setting) for setting in (ann.PROXY_READ_TIMEOUT, ann.PROXY_SEND_TIMEOUT)] == [True, False]


def test_the_prefix_can_be_another_one() -> None:
    other = Ingress(Metadata("main", "shop", annotations={"my.test/use-regex": "true", f"{PREFIX}/app-root": "/x"}))
    result = resolve(other, GlobalSettings(), "my.test")
    assert result.get(ann.USE_REGEX) is True
    assert result.get(ann.APP_ROOT) == ""


def test_an_empty_value_counts_as_absent() -> None:
    result = resolved({"auth-type": "", "limit-rps": "", "x-forwarded-prefix": "", "ssl-redirect": ""})
    assert result.findings == ()
    assert not result.is_set(ann.SSL_REDIRECT)
    assert result.security_fingerprint == frozenset()


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("affinity", " cookie ", "cookie"),
        ("backend-protocol", "https ", "HTTPS"),
        ("proxy-buffering", " on", True),
        ("proxy-body-size", " 8k ", 8192),
        ("auth-type", " basic", "basic"),
        ("upstream-hash-by", " $request_uri ", "$request_uri"),
        ("connection-proxy-header", "close ", "close"),
        ("session-cookie-path", " /a ", "/a"),
        ("session-cookie-expires", " 5 ", 5),
        ("custom-http-errors", " 404, 503 ", (404, 503)),
        ("upstream-vhost", " $host ", "$host"),
    ],
)
def test_spaces_around_words_do_not_count(name: str, text: str, wanted: object) -> None:
    result = resolved({name: text})
    assert (result.get(ANNOTATIONS[name]), result.findings) == (wanted, ())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("enable-cors", " true"),
        ("limit-rps", "5 "),
        ("permanent-redirect", " http://a.test/"),
        ("temporal-redirect", "http://a.test/ "),
        ("rewrite-target", " /a"),
        ("app-root", "/a "),
        ("session-cookie-max-age", " 5"),
        ("default-backend", "pages "),
        ("affinity", "cookie\n"),
    ],
)
def test_spaces_around_these_do(name: str, text: str) -> None:
    assert [reason for _, _, reason in said(resolved({name: text}))] == ["InvalidValue"]


@pytest.mark.parametrize("name", ["allowlist-source-range", "denylist-source-range"])
def test_an_access_list_that_is_set_but_empty_denies(name: str) -> None:
    result = resolved({name: ""})
    assert result.denied
    assert said(result) == [(name, Severity.ERROR, "InvalidValue")]


def test_an_old_list_name_counts_where_the_new_one_is_absent_or_empty() -> None:
    both = resolved({"allowlist-source-range": "10.0.0.0/8", "whitelist-source-range": "11.0.0.0/8"})
    assert both.get(ann.ALLOWLIST_SOURCE_RANGE) == ("10.0.0.0/8",)
    for written in (
        {"whitelist-source-range": "11.0.0.0/8"},
        {"allowlist-source-range": "", "whitelist-source-range": "11.0.0.0/8"},
    ):
        result = resolved(written)
        assert result.get(ann.ALLOWLIST_SOURCE_RANGE) == ("11.0.0.0/8",)
        assert not result.denied
        assert result.value(ann.ALLOWLIST_SOURCE_RANGE).origin.field.endswith("/whitelist-source-range]")
    assert not resolved({"whitelist-source-range": ""}).denied


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("limit-rps", "many"),
        ("limit-rpm", " 1"),
        ("limit-rpm", "0x1"),
        ("limit-whitelist", "nowhere"),
        ("permanent-redirect", "http://x.test$uri"),
        ("permanent-redirect-code", "three"),
        ("from-to-www-redirect", "on"),
        ("x-forwarded-prefix", '/x";}\n#'),
        ("server-alias", "x.test; }"),
        ("server-alias", "x.\ntest"),
        ("upstream-vhost", "x; return 418"),
        ("upstream-vhost", "$nonesuch.test"),
        ("upstream-hash-by", "$request_uri;"),
        ("connection-proxy-header", "close; #"),
        ("auth-type", "ldap"),
        ("auth-secret-type", "auth-db"),
        ("auth-realm", 'a"b'),
        ("auth-url", "http://a.test/a;b"),
        ("auth-tls-match-cn", "CN=(alice"),
        ("client-body-buffer-size", "1kb"),
        ("ssl-ciphers", "HIGH;x"),
        ("custom-http-errors", "teapot"),
    ],
)
def test_these_bad_values_reject_the_ingress(name: str, text: str) -> None:
    result = resolved({name: text})
    assert result.rejected
    assert [(severity, reason) for _, severity, reason in said(result)] == [(Severity.ERROR, "InvalidValue")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("allowlist-source-range", "localhost;"),
        ("denylist-source-range", "localhost"),
        ("auth-secret", "us;ers"),
        ("auth-secret-type", "auth-files"),
        ("auth-type", "notbasic"),
        ("auth-url", "https://invalid..auth.url"),
        ("auth-url", "/check"),
        ("auth-method", "FETCH"),
        ("auth-cache-duration", "200 abc"),
        ("auth-always-set-cookie", "maybe"),
        ("proxy-ssl-verify", "maybe"),
        ("proxy-ssl-secret", "client"),
        ("auth-tls-secret", "ca"),
    ],
)
def test_these_bad_values_deny(name: str, text: str) -> None:
    result = resolved({name: text})
    assert result.denied
    assert not result.rejected
    assert result.degraded


@pytest.mark.parametrize(
    ("name", "text", "setting", "value"),
    [
        ("proxy-read-timeout", "1s", ann.PROXY_READ_TIMEOUT, 60),
        ("proxy-next-upstream", "http_503 sometimes", ann.PROXY_NEXT_UPSTREAM, ("error", "timeout")),
        ("proxy-body-size", "15r", ann.PROXY_BODY_SIZE, 1024**2),
        ("client-body-buffer-size", "1b", ann.CLIENT_BODY_BUFFER_SIZE, 8192),
        ("permanent-redirect-code", "200", ann.PERMANENT_REDIRECT_CODE, 301),
        ("temporal-redirect-code", "308", ann.TEMPORAL_REDIRECT_CODE, 302),
        ("temporal-redirect", "ftp://x.test", ann.TEMPORAL_REDIRECT, ""),
        ("app-root", "http://other.test/x", ann.APP_ROOT, ""),
        ("rewrite-target", " /x", ann.REWRITE_TARGET, ""),
        ("backend-protocol", "SPDY", ann.BACKEND_PROTOCOL, "HTTP"),
        ("affinity", "ip", ann.AFFINITY, ""),
        ("session-cookie-max-age", "soon", ann.SESSION_COOKIE_MAX_AGE, None),
        ("satisfy", "ANY", ann.SATISFY, "all"),
        ("enable-cors", "perhaps", ann.ENABLE_CORS, False),
        ("auth-tls-verify-client", "sometimes", ann.AUTH_TLS_VERIFY_CLIENT, "on"),
        ("auth-signin", 'http://login.test/"x', ann.AUTH_SIGNIN, ""),
        ("limit-burst-multiplier", "0", ann.LIMIT_BURST_MULTIPLIER, 5),
    ],
)
def test_these_bad_values_only_degrade(name: str, text: str, setting: Setting[Any], value: object) -> None:
    result = resolved({name: text})
    assert (result.rejected, result.denied, result.degraded) == (False, False, True)
    assert (name, Severity.WARNING, "InvalidValue") in said(result)
    assert result.get(setting) == value


def test_a_bad_origin_allows_none_instead_of_all() -> None:
    assert resolved({"cors-allow-origin": "https://a.test;"}).get(ann.CORS_ALLOW_ORIGIN) == ()


def test_a_bad_service_upstream_is_false_whatever_the_configmap_says() -> None:
    assert resolved({"service-upstream": "x"}, {"service-upstream": "true"}).get(ann.SERVICE_UPSTREAM) is False


def test_without_validation_a_bad_value_loses_its_effect_or_denies_but_does_not_reject() -> None:
    result = resolved({"permanent-redirect": "a b", "limit-rps": "many"}, validate=False)
    assert not result.rejected
    assert result.denials == {"limit-rps"}
    assert result.get(ann.PERMANENT_REDIRECT) == ""


@pytest.mark.parametrize("validate", [True, False])
def test_a_risk_above_the_level_rejects_whatever_the_value(validate: bool) -> None:
    for written in ({"configuration-snippet": ""}, {"server-snippet": "return 410;"}):
        assert resolved(written, validate=validate).rejected
    low = {"annotations-risk-level": "Medium"}
    assert not resolved({"rewrite-target": "/x"}, low).rejected
    result = resolved({"auth-url": "http://a.test/"}, low, validate=validate)
    assert result.rejected
    assert said(result) == [("auth-url", Severity.ERROR, "RiskTooHigh")]


def test_a_blocked_word_rejects_in_any_annotation_under_the_prefix() -> None:
    words = {"annotation-value-word-blocklist": "forbidden_word, {"}
    assert resolved({"upstream-vhost": "a.forbidden_word.test"}, words).rejected
    assert resolved({"no-such-annotation": "{"}, words).rejected
    assert not resolved({"upstream-vhost": "a.Forbidden_word.test"}, words).rejected
    assert not resolved({"other.test/thing": "{"}, words).rejected


def test_snippets_that_are_not_allowed_are_left_out_once_the_risk_is_accepted() -> None:
    critical = {"annotations-risk-level": "Critical"}
    for setting in (ann.CONFIGURATION_SNIPPET, ann.MODSECURITY_SNIPPET):
        result = resolved({setting.name: "return 410;"}, critical)
        assert said(result) == [(setting.name, Severity.WARNING, "SnippetsNotAllowed")]
        assert (result.rejected, result.denied, result.degraded) == (False, False, True)
        assert result.get(setting) == setting.default


def test_a_snippet_that_is_allowed_is_read_and_one_that_is_not_closed_rejects() -> None:
    allowed = {"annotations-risk-level": "Critical", "allow-snippet-annotations": "true"}
    result = resolved({"configuration-snippet": "return 410;"}, allowed)
    assert result.get(ann.CONFIGURATION_SNIPPET) == (Directive("return", ("410",)),)
    assert not result.degraded
    assert resolved({"configuration-snippet": "return 410"}, allowed).rejected
    assert resolved({"modsecurity-snippet": "SecRuleEngine \x01"}, allowed).denied


@pytest.mark.parametrize("setting", [ann.ENABLE_MODSECURITY, ann.ENABLE_OWASP_CORE_RULES])
def test_a_firewall_that_is_perhaps_wanted_is_on(setting: Setting[bool]) -> None:
    result = resolved({setting.name: "perhaps"})
    assert (result.get(setting), result.degraded, result.denied) == (True, True, False)


def test_unknown_names_are_mentioned_and_do_no_harm() -> None:
    result = resolved({"no-such-annotation": "x;y{", "auth-urls": "http://a.test"})
    assert said(result) == [
        ("auth-urls", Severity.INFO, "UnknownAnnotation"),
        ("no-such-annotation", Severity.INFO, "UnknownAnnotation"),
    ]
    assert "did you mean auth-url?" in result.findings[0].message
    assert not result.degraded


def test_dead_names_are_mentioned_and_do_no_harm() -> None:
    result = resolved({"secure-backends": "true", "global-rate-limit-window": "1m", "http2-push-preload": "true"})
    assert {(severity, reason) for _, severity, reason in said(result)} == {(Severity.INFO, "Ignored")}
    assert not result.degraded


def test_what_is_not_supported_yet_degrades(monkeypatch: pytest.MonkeyPatch) -> None:
    coming = replace(ann.MIRROR_HOST, support=Support.NOT_YET)
    monkeypatch.setattr("tidegate.settings.ingress_settings.find_annotation", lambda _: coming)
    result = resolved({"mirror-host": "copy.test"})
    assert said(result) == [("mirror-host", Severity.WARNING, "NotYetSupported")]
    assert (result.rejected, result.denied, result.degraded) == (False, False, True)


def test_a_broken_list_of_the_configmap_denies_where_no_annotation_replaces_it() -> None:
    broken = {"whitelist-source-range": "nonsense"}
    bare = resolved({}, broken)
    assert bare.denials == {"whitelist-source-range"}
    assert [finding.reason for finding in bare.findings] == ["DeniedByConfigMap"]
    assert not resolved({"whitelist-source-range": "10.0.0.0/8"}, broken).denied


def test_global_authentication_that_cannot_be_put_in_force_denies_except_where_it_does_not_apply() -> None:
    asked = {"global-auth-url": "nobody"}
    assert resolved({}, asked).denied_at("/shop")
    assert not resolved({}, asked).denied_at("/.well-known/acme-challenge/token")
    assert not resolved({"enable-global-auth": "false"}, asked).denied
    assert not resolved({}, asked | {"no-auth-locations": "/open"}).denied_at("/open/x")


def test_paths_without_login_are_spared_from_login_problems_alone() -> None:
    path = "/.well-known/acme-challenge/token"
    assert not resolved({"auth-secret": "us;ers"}).denied_at(path)
    assert resolved({"allowlist-source-range": "x"}).denied_at(path)
    assert resolved({"auth-secret": "us;ers", "allowlist-source-range": "x"}).denied_at(path)
    assert resolved({"auth-tls-secret": "ca"}).denied_at(path)
    assert not resolved({}).denied_at("/")


def test_the_fingerprint_changes_with_security_settings_alone() -> None:
    before = resolved({"limit-rps": "5", "proxy-body-size": "1m"})
    assert resolved({"limit-rps": "5", "proxy-body-size": "2m"}).security_fingerprint == before.security_fingerprint
    assert resolved({"limit-rps": "6"}).security_fingerprint != before.security_fingerprint
    assert resolved({"limit-rps": "5", "auth-type": "ldap"}).security_fingerprint > before.security_fingerprint
    assert resolved({"auth-snippet": "x"}).security_fingerprint == {("auth-snippet", "x")}


def test_findings_name_object_field_and_what_is_allowed() -> None:
    finding = resolved({"proxy-buffering": "yes"}).findings[0]
    assert str(finding.object) == "Ingress shop/main"
    assert finding.field == f"metadata.annotations[{PREFIX}/proxy-buffering]"
    assert finding.message == "found 'yes', allowed: on or off; the default is used"


BAD = "\x00 bad ; } \n"


@pytest.mark.parametrize("name", [name for name in ANNOTATIONS if not name.endswith("*")])
def test_each_annotation_does_with_a_hostile_value_what_the_registry_says(name: str) -> None:
    setting = ANNOTATIONS[name]
    result = resolved({name: BAD}, {"annotations-risk-level": "Critical", "allow-snippet-annotations": "true"})
    if isinstance(setting.type, Ignored):
        assert not result.degraded
        return
    try:
        setting.type.parse(BAD)
    except InvalidValue as problem:
        outcome = setting.outcome(problem)
    assert result.rejected is (outcome is OnInvalid.REJECT)
    assert result.denied is (outcome is OnInvalid.DENY)
    assert result.degraded
    if outcome is OnInvalid.CLOSED:
        assert result.get(setting) == setting.fallback
    else:
        assert result.get(setting) == (setting.default if setting.fallback is None else setting.fallback)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(ANNOTATIONS)), st.text(max_size=20), max_size=6))
def test_no_security_annotation_is_ever_dropped_silently(annotations: dict[str, str]) -> None:
    result = resolved(annotations)
    for name, text in annotations.items():
        setting = ANNOTATIONS[name]
        if not setting.security or not text or setting.support is Support.DEAD:
            continue
        spoken_for = any(annotations.get(other) for other in setting.names[: setting.names.index(name)])
        in_force = result.is_set(setting) or spoken_for
        assert in_force or result.rejected or result.denied
