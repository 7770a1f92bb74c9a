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


LIVE_ANNOTATIONS = words(
    """
rewrite-target use-regex app-root permanent-redirect permanent-redirect-code temporal-redirect temporal-redirect-code
from-to-www-redirect relative-redirects use-port-in-redirects ssl-redirect force-ssl-redirect preserve-trailing-slash
server-alias upstream-vhost x-forwarded-prefix default-backend service-upstream backend-protocol
canary canary-by-header canary-by-header-value canary-by-header-pattern canary-by-cookie canary-weight
canary-weight-total affinity-canary-behavior
affinity affinity-mode session-cookie-name session-cookie-path session-cookie-domain session-cookie-expires
session-cookie-max-age session-cookie-secure session-cookie-samesite session-cookie-conditional-samesite-none
session-cookie-change-on-failure upstream-hash-by upstream-hash-by-subset upstream-hash-by-subset-size load-balance
auth-type auth-secret auth-secret-type auth-realm
auth-url auth-method auth-signin auth-signin-redirect-param auth-response-headers auth-proxy-set-headers
auth-request-redirect auth-cache-key auth-cache-duration auth-always-set-cookie auth-keepalive
auth-keepalive-share-vars auth-keepalive-requests auth-keepalive-timeout auth-snippet enable-global-auth
auth-tls-secret auth-tls-verify-client auth-tls-verify-depth auth-tls-error-page
auth-tls-pass-certificate-to-upstream auth-tls-match-cn
allowlist-source-range whitelist-source-range denylist-source-range satisfy
limit-rps limit-rpm limit-connections limit-burst-multiplier limit-rate limit-rate-after limit-allowlist limit-whitelist
enable-cors cors-allow-origin cors-allow-methods cors-allow-headers cors-expose-headers cors-allow-credentials
cors-max-age
custom-http-errors disable-proxy-intercept-errors custom-headers http2-push-preload
proxy-connect-timeout proxy-send-timeout proxy-read-timeout proxy-next-upstream proxy-next-upstream-timeout
proxy-next-upstream-tries proxy-request-buffering proxy-buffering proxy-buffers-number proxy-buffer-size
proxy-busy-buffers-size proxy-max-temp-file-size proxy-body-size client-body-buffer-size proxy-http-version
proxy-cookie-domain proxy-cookie-path proxy-redirect-from proxy-redirect-to connection-proxy-header
proxy-ssl-secret proxy-ssl-verify proxy-ssl-verify-depth proxy-ssl-name proxy-ssl-server-name proxy-ssl-protocols
proxy-ssl-ciphers
ssl-ciphers ssl-prefer-server-ciphers ssl-passthrough
fastcgi-index fastcgi-params-configmap mirror-target mirror-request-body mirror-host
enable-access-log enable-rewrite-log enable-opentelemetry opentelemetry-trust-incoming-span
opentelemetry-operation-name
configuration-snippet server-snippet stream-snippet enable-modsecurity enable-owasp-core-rules
modsecurity-transaction-id modsecurity-snippet
"""
)

DEAD_ANNOTATIONS = words(
    """
enable-influxdb influxdb-measurement influxdb-port influxdb-host influxdb-server-name secure-verify-ca-secret
session-cookie-hash secure-backends enable-opentracing opentracing-trust-incoming-span global-rate-limit
global-rate-limit-window add-base-url grpc-backend
"""
)

KEYS = words(
    """
allow-snippet-annotations allow-cross-namespace-resources annotations-risk-level annotation-value-word-blocklist
strict-validate-path-type global-allowed-response-headers server-snippet location-snippet http-snippet main-snippet
stream-snippet
access-log-path http-access-log-path stream-access-log-path access-log-params disable-access-log
disable-http-access-log disable-stream-access-log enable-access-log-for-default-backend enable-auth-access-log
skip-access-log-urls log-format-upstream log-format-stream log-format-escape-json log-format-escape-none
error-log-path error-log-level enable-syslog syslog-host syslog-port debug-connections
keep-alive keep-alive-requests client-header-buffer-size large-client-header-buffers client-header-timeout
client-body-buffer-size client-body-timeout proxy-body-size enable-underscores-in-headers ignore-invalid-headers
http2-max-concurrent-streams http2-max-field-size http2-max-header-size http2-max-requests use-http2
enable-multi-accept reuse-port disable-ipv6 disable-ipv6-dns bind-address enable-aio-write default-type server-tokens
allow-backend-server-header hide-headers add-headers relative-redirects use-port-in-redirects preserve-trailing-slash
http-redirect-code block-cidrs block-user-agents block-referers whitelist-source-range denylist-source-range
nginx-status-ipv4-whitelist nginx-status-ipv6-whitelist
use-forwarded-headers enable-real-ip forwarded-for-header forwarded-for-proxy-protocol-header forwarded-host-header
proxy-real-ip-cidr compute-full-forwarded-for use-proxy-protocol proxy-protocol-header-timeout generate-request-id
proxy-add-original-uri-header proxy-set-headers
proxy-connect-timeout proxy-send-timeout proxy-read-timeout proxy-buffering proxy-buffers-number proxy-buffer-size
proxy-busy-buffers-size proxy-max-temp-file-size proxy-request-buffering proxy-http-version proxy-cookie-path
proxy-cookie-domain proxy-redirect-from proxy-redirect-to proxy-next-upstream proxy-next-upstream-timeout
proxy-next-upstream-tries retry-non-idempotent limit-rate limit-rate-after load-balance upstream-hash-by
upstream-hash-by-subset upstream-hash-by-subset-size service-upstream upstream-keepalive-connections
upstream-keepalive-time upstream-keepalive-timeout upstream-keepalive-requests grpc-buffer-size-kb custom-http-errors
disable-proxy-intercept-errors app-root proxy-headers-hash-max-size proxy-headers-hash-bucket-size
proxy-ssl-location-only
ssl-redirect force-ssl-redirect no-tls-redirect-locations hsts hsts-max-age hsts-include-subdomains hsts-preload
ssl-protocols ssl-ciphers ssl-ecdh-curve ssl-dh-param ssl-early-data ssl-session-cache ssl-session-cache-size
ssl-session-timeout ssl-session-tickets ssl-session-ticket-key ssl-buffer-size ssl-reject-handshake enable-ocsp
limit-req-status-code limit-conn-status-code limit-conn-zone-variable
use-gzip gzip-level gzip-min-length gzip-types gzip-disable enable-brotli brotli-level brotli-min-length brotli-types
use-geoip use-geoip2 geoip2-autoreload-in-minutes
worker-processes worker-cpu-affinity worker-shutdown-timeout enable-serial-reloads max-worker-connections
max-worker-open-files map-hash-bucket-size server-name-hash-max-size server-name-hash-bucket-size
variables-hash-bucket-size variables-hash-max-size lua-shared-dicts
proxy-stream-timeout proxy-stream-next-upstream proxy-stream-next-upstream-timeout proxy-stream-next-upstream-tries
proxy-stream-responses
global-auth-url global-auth-method global-auth-signin global-auth-signin-redirect-param global-auth-response-headers
global-auth-request-redirect global-auth-snippet global-auth-cache-key global-auth-cache-duration
global-auth-always-set-cookie no-auth-locations
enable-opentelemetry opentelemetry-config opentelemetry-operation-name opentelemetry-trust-incoming-span
otlp-collector-host otlp-collector-port otel-service-name otel-sampler otel-sampler-ratio otel-sampler-parent-based
otel-max-queuesize otel-schedule-delay-millis otel-max-export-batch-size
enable-modsecurity enable-owasp-modsecurity-crs modsecurity-snippet
"""
)

ALL = [("annotation", *item) for item in ANNOTATIONS.items()] + [("key", *item) for item in CONFIGMAP_KEYS.items()]


def test_each_annotation_of_the_retired_controller_is_known() -> None:
    assert len(LIVE_ANNOTATIONS) == 138
    assert {name for name in ANNOTATIONS if ANNOTATIONS[name].group != "Without effect"} == set(LIVE_ANNOTATIONS)


@pytest.mark.parametrize("name", DEAD_ANNOTATIONS)
def test_names_of_older_releases_are_known_and_dead(name: str) -> None:
    setting = find_annotation(name)
    assert setting is not None
    assert setting.support is Support.DEAD


def test_each_configmap_key_of_the_retired_controller_is_known() -> None:
    assert len(KEYS) == len(set(KEYS)) == 195
    assert [key for key in KEYS if key not in CONFIGMAP_KEYS] == []


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
