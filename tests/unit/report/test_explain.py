"""`explain`: what it says is what the data plane does."""

from __future__ import annotations

import pytest
from tidegate.report import patterns
from tidegate.report.explain import Explanation, explain
from tidegate.sources.directory import load_text
from tidegate.store import Store
from tidegate.translate.engine import Translator
from tidegate.translate.options import Options

MANIFESTS = """
apiVersion: v1
kind: Service
metadata: {name: app, namespace: default}
spec: {ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: app-1, namespace: default, labels: {kubernetes.io/service-name: app}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints: [{addresses: [192.0.2.1]}]
---
apiVersion: v1
kind: Service
metadata: {name: empty, namespace: default}
spec: {ports: [{name: http, port: 80}]}
"""

INGRESS = """
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {name}, namespace: default, annotations: {{{annotations}}}}}
spec:
  {tls}
  rules:
    - host: {host}
      http: {{paths: [{paths}]}}
"""
PATH = "{{path: '{path}', pathType: {kind}, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}"


def ingress(
    host: str, *paths: str, kind: str = "Prefix", service: str = "app", tls: bool = False, **annotations: str
) -> str:
    written = (f"'nginx.ingress.kubernetes.io/{key.replace('_', '-')}': '{text}'" for key, text in annotations.items())
    return INGRESS.format(
        name=host.replace("*", "any"),
        annotations=", ".join(written),
        tls=f"tls: [{{hosts: ['{host}']}}]" if tls else "",
        host=f"'{host}'",
        paths=", ".join(PATH.format(path=path, kind=kind, service=service) for path in paths or ("/",)),
    )


def answer(url: str, *manifests: str, options: Options | None = None) -> Explanation:
    translator, store = Translator(options or Options()), Store()
    update = load_text(MANIFESTS + "".join(manifests))
    assert not update.findings
    translator.update(store, store.apply(update.changes))
    return explain(translator, url)


def words(url: str, *manifests: str) -> str:
    return answer(url, *manifests).answer


PROXIED = "proxied to default/app:80"


def test_plain_requests_to_a_host_with_tls_are_redirected_and_others_not() -> None:
    shop = ingress("shop.test", tls=True)
    assert words("http://shop.test/x", shop) == "redirects with 308 to https"
    assert words("https://shop.test/x", shop) == PROXIED
    assert words("http://shop.test/x", ingress("shop.test", tls=True, ssl_redirect="false")) == PROXIED
    assert words("http://shop.test/x", ingress("shop.test", force_ssl_redirect="true")) == "redirects with 308 to https"
    below = ingress("a.shop.test"), ingress("*.shop.test", tls=True)
    assert words("http://a.shop.test/", *below) == "redirects with 308 to https"


def test_a_path_that_is_declared_with_a_slash_is_redirected_to_it() -> None:
    rules = ingress("shop.test", "/", "/cart/")
    assert words("http://shop.test/cart", rules) == "redirects with 301 to /cart/"
    assert words("http://shop.test/cart/", rules) == PROXIED


def test_of_a_path_with_and_without_slash_the_former_takes_what_is_below() -> None:
    rules = ingress("shop.test", "/cart", "/cart/")
    assert answer("http://shop.test/cart/x", rules).path == "/cart/"
    assert answer("http://shop.test/cart", rules).path == "/cart"


def test_patterns_are_those_of_nginx() -> None:
    def taken(pattern: str, path: str) -> bool:
        rules = ingress("shop.test", pattern, kind="ImplementationSpecific", use_regex="true")
        return answer(f"http://shop.test{path}", rules).path == pattern

    assert taken("/(?<name>[a-z]+)/x", "/cart/x")
    assert taken("/one|/two", "/a/two")
    assert not taken("/one|/two", "/a/one")
    assert taken("/CART", "/cart/x")


def test_a_pattern_that_only_nginx_can_try_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(pattern: str) -> Explanation:
        rules = ingress("shop.test", pattern, kind="ImplementationSpecific", use_regex="true")
        return answer("http://shop.test/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", rules)

    assert "only NGINX can tell whether the pattern" in asked("/\\h+x").answer
    monkeypatch.setattr(patterns, "LIMIT", 0.3)
    assert "only NGINX can tell" in asked("/(a+)+$").answer


def test_a_rewrite_to_a_url_is_a_redirect() -> None:
    rules = ingress("shop.test", rewrite_target="https://other.test/")
    assert words("http://shop.test/", rules) == "redirects with 302 to https://other.test/"


def test_the_default_backend_of_an_ingress_answers_where_there_is_no_endpoint() -> None:
    rules = ingress("shop.test", service="empty", default_backend="app")
    assert words("http://shop.test/", rules) == (
        "answered by default/app:80, because default/empty:80 has no ready endpoint"
    )
    assert words("http://shop.test/", ingress("shop.test", service="empty")).startswith("answers 503")


def test_tls_that_is_passed_through_is_said_to_be() -> None:
    options = Options(ssl_passthrough=True)
    found = answer("https://shop.test/x", ingress("shop.test", ssl_passthrough="true"), options=options)
    assert (found.answer, found.backend) == ("its TLS goes to default/app:80 undecrypted", "default/app:80")
    assert found.endpoints == ("192.0.2.1:8080",)


def test_values_are_written_as_manifests_have_them() -> None:
    rules = ingress("shop.test", ssl_redirect="0", whitelist_source_range="192.0.2.0/24,198.51.100.1")
    values = {row.name: row.value for row in answer("http://shop.test/", rules).settings}
    assert values["ssl-redirect"] == "false"
    assert values["whitelist-source-range"] == "192.0.2.0/24, 198.51.100.1/32"
    assert values["force-ssl-redirect"] == "false"


@pytest.mark.parametrize("path", ["/..", "/a/../../b", "/%zz", "/%00"])
def test_paths_that_nginx_refuses_are_refused(path: str) -> None:
    assert words(f"http://shop.test{path}", ingress("shop.test")).startswith("answers 400")
