"""What the registry says about reloads: of two values of an annotation that becomes data, neither needs configuration
that the other does not."""

from __future__ import annotations

import pytest
from made_pairs import made
from tidegate.resources.model import ConfigMap, Metadata, Resource
from tidegate.settings.registry import ANNOTATIONS
from tidegate.settings.setting import Becomes
from world import World, configmap, ingress, secret, service

ASKED = {"auth-url": "http://10.0.0.9/"}
LOGIN = {"auth-type": "basic", "auth-secret": "users"}
CORS = {"enable-cors": "true"}
STICKY = {"affinity": "cookie"}
HASHED = {"upstream-hash-by": "$uri"}
MIRRORED = {"mirror-target": "http://10.0.0.9/"}
TRACED = {"enable-opentelemetry": "true"}
CERTIFIED = {"auth-tls-secret": "n/authority"}

# two values, and what stands beside them
PAIRS: dict[str, tuple[str, str, dict[str, str]]] = {
    "app-root": ("/a", "/b", {}),
    "permanent-redirect": ("http://a.test/", "http://b.test/", {}),
    "permanent-redirect-code": ("302", "308", {"permanent-redirect": "http://a.test/"}),
    "temporal-redirect": ("http://a.test/", "http://b.test/", {}),
    "temporal-redirect-code": ("303", "307", {"temporal-redirect": "http://a.test/"}),
    "from-to-www-redirect": ("true", "false", {}),
    "relative-redirects": ("true", "false", {}),
    "use-port-in-redirects": ("true", "false", {}),
    "ssl-redirect": ("true", "false", {}),
    "force-ssl-redirect": ("true", "false", {}),
    "preserve-trailing-slash": ("true", "false", {}),
    "rewrite-target": ("/a", "/b/$1", {}),
    "use-regex": ("true", "false", {}),
    "server-alias": ("a.test,b.test", "~^c", {}),
    "upstream-vhost": ("a.test", "$host", {}),
    "x-forwarded-prefix": ("/a", "/b", {"rewrite-target": "/c"}),
    "upstream-hash-by": ("$uri", "$host", {}),
    "upstream-hash-by-subset": ("true", "false", HASHED),
    "upstream-hash-by-subset-size": ("2", "4", HASHED),
    "load-balance": ("ewma", "round_robin", {}),
    "service-upstream": ("true", "false", {}),
    "affinity": ("cookie", "none", {}),
    "affinity-mode": ("balanced", "persistent", STICKY),
    "session-cookie-name": ("a", "b", STICKY),
    "session-cookie-path": ("/a", "/b", STICKY),
    "session-cookie-domain": ("a.test", "b.test", STICKY),
    "session-cookie-expires": ("1", "2", STICKY),
    "session-cookie-max-age": ("1", "2", STICKY),
    "session-cookie-secure": ("true", "false", STICKY),
    "session-cookie-samesite": ("Lax", "None", STICKY),
    "session-cookie-conditional-samesite-none": ("true", "false", STICKY),
    "session-cookie-change-on-failure": ("true", "false", STICKY),
    "cors-allow-origin": ("https://a.test", "*", CORS),
    "cors-allow-methods": ("GET", "PUT", CORS),
    "cors-allow-headers": ("X-A", "X-B", CORS),
    "cors-expose-headers": ("X-A", "X-B", CORS),
    "cors-allow-credentials": ("true", "false", CORS),
    "cors-max-age": ("1", "2", CORS),
    "default-backend": ("app", "none", {}),
    "custom-headers": ("n/one", "n/two", {}),
    "proxy-connect-timeout": ("1", "2", {}),
    "proxy-send-timeout": ("1", "2", {}),
    "proxy-read-timeout": ("1", "2", {}),
    "mirror-target": ("http://10.0.0.1/", "http://10.0.0.2/a", {}),
    "mirror-host": ("a.test", "b.test", MIRRORED),
    "enable-rewrite-log": ("true", "false", {"rewrite-target": "/a"}),
    "enable-opentelemetry": ("true", "false", {}),
    "opentelemetry-trust-incoming-span": ("true", "false", TRACED),
    "opentelemetry-operation-name": ("a", "b", TRACED),
    "allowlist-source-range": ("10.0.0.0/8", "11.0.0.1", {}),
    "whitelist-source-range": ("10.0.0.0/8", "11.0.0.1", {}),
    "denylist-source-range": ("10.0.0.0/8", "11.0.0.1", {}),
    "limit-allowlist": ("10.0.0.0/8", "11.0.0.1", {"limit-rps": "1"}),
    "limit-whitelist": ("10.0.0.0/8", "11.0.0.1", {"limit-rps": "1"}),
    "auth-secret": ("users", "others", {"auth-type": "basic"}),
    "auth-realm": ("a", "b", LOGIN),
    "auth-method": ("POST", "HEAD", ASKED),
    "auth-signin": ("https://a.test", "https://b.test", ASKED),
    "auth-signin-redirect-param": ("a", "b", {**ASKED, "auth-signin": "https://a.test"}),
    "auth-request-redirect": ("https://a.test", "https://b.test", ASKED),
    "auth-cache-key": ("$remote_user", "$cookie_a", ASKED),
    "auth-cache-duration": ("200 1m", "200 2m", {**ASKED, "auth-cache-key": "$cookie_a"}),
    "auth-always-set-cookie": ("true", "false", ASKED),
    "auth-tls-error-page": ("/a", "https://b.test", CERTIFIED),
    "auth-tls-match-cn": ("CN=a", "CN=b", CERTIFIED),
    "auth-tls-pass-certificate-to-upstream": ("true", "false", CERTIFIED),
}  # fmt: skip
CANARIES = {name for name in ANNOTATIONS if "canary" in name}  # what they say stands with the route of another Ingress
SWITCHES = {"enable-cors"}  # their only other value is to be left out


def needs(name: str, text: str, beside: dict[str, str]) -> tuple[str, str]:
    """The policy and the profile that the route and its host have with this value."""
    others: list[Resource] = [
        service(),
        secret("users", auth="a:b"),
        secret("others", auth="c:d"),
        secret("authority", ca_crt=made("")[0]),
        *(ConfigMap(Metadata(name, "n"), {f"X-{name}": name}) for name in ("one", "two")),
        configmap(global_allowed_response_headers="X-one,X-two"),
    ]
    annotations = {key.replace("-", "_"): value for key, value in {**beside, name: text}.items()}
    world = World(*others, ingress(**annotations))
    host = world.host()
    assert not host.closed and not any(route.refused or route.status for route in host.routes)
    return world.route().policy, host.profile


def test_each_annotation_that_becomes_data_is_looked_at() -> None:
    data = {name for name, setting in ANNOTATIONS.items() if setting.becomes is Becomes.DATA}
    assert data - CANARIES - SWITCHES == set(PAIRS)


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_what_becomes_data_needs_no_configuration_of_its_own(name: str) -> None:
    one, other, beside = PAIRS[name]
    assert needs(name, one, beside) == needs(name, other, beside)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("proxy-next-upstream-tries", "1", "2"),
        ("proxy-body-size", "1k", "2k"),
        ("proxy-buffer-size", "8k", "16k"),
        ("limit-rps", "1", "2"),
        ("custom-http-errors", "404", "503"),
        ("enable-access-log", "true", "false"),
        ("connection-proxy-header", "close", "keep-alive"),
        ("ssl-ciphers", "HIGH", "DEFAULT"),
    ],
)
def test_what_becomes_policy_does(name: str, one: str, other: str) -> None:
    assert ANNOTATIONS[name].becomes is Becomes.POLICY
    assert needs(name, one, {}) != needs(name, other, {})
