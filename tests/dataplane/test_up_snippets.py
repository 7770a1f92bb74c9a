"""Lines of NGINX configuration from annotations and the ConfigMap, on a real NGINX."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from dataplane import Server
from steadyload import Load
from up import Manifest, Up, configmap, ingress, service

FLAGS = ("--configmap", "default/settings")
ALLOWED = {"allow_snippet_annotations": "true", "annotations_risk_level": "Critical"}


@pytest.fixture
def up() -> Iterator[Up]:
    with Server("echo") as server, Up(*FLAGS) as one:
        yield one.start(service("echo", server.port), configmap(**ALLOWED), ingress("plain", "plain.test"))


def own(name: str, snippet: str, host: str = "", path: str = "/", **more: str) -> Manifest:
    return ingress(name, host or f"{name}.test", path, server_snippet=snippet, **more)


def test_a_server_snippet_is_in_force_on_its_host_and_on_no_other(up: Up) -> None:
    up.apply("shop", own("shop", "location = /here { return 418 here; }", server_alias="alias.test"))
    assert [up.get(host, "/here")[0] for host in ("shop.test", "alias.test", "plain.test")] == [418, 418, 200]
    assert [up.backend_of(host, "/there") for host in ("shop.test", "alias.test", "plain.test")] == ["echo"] * 3
    assert up.get("nobody.test", "/here")[0] == 404


def test_a_host_moves_to_a_server_of_its_own_and_back_without_a_failed_request(up: Up) -> None:
    up.apply("shop", ingress("shop", "shop.test", limit_rps="5000"))
    with Load(up, "shop.test") as load:
        up.apply("shop", own("shop", "add_header X-Server own always;", limit_rps="5000"))
        up.apply("shop", own("shop", "add_header X-Server other always;", limit_rps="6000"))
        up.apply("shop", ingress("shop", "shop.test"))
    assert not load.failures


def test_a_wildcard_host_with_a_server_of_its_own_takes_one_label_and_leaves_declared_hosts_alone(up: Up) -> None:
    up.apply("inner", ingress("inner", "inner.wild.test"))
    up.apply("wild", own("wild", "location = /who { return 200 $subdomain; }", "*.wild.test"))
    assert up.get("any.wild.test", "/who")[1] == "any"
    assert up.backend_of("inner.wild.test", "/who") == "echo"
    assert up.get("a.b.wild.test", "/who")[0] == 404
    up.apply("later", ingress("later", "later.wild.test"))
    assert up.backend_of("later.wild.test", "/who") == "echo"


def test_a_server_snippet_that_nginx_refuses_rejects_its_own_ingress_only(up: Up) -> None:
    up.apply("batch", own("bad", "no_such_directive on;"), own("good", "location = /x { return 418; }"))
    assert (up.ingress("bad")["state"], up.ingress("good")["state"]) == ("rejected", "applied")
    assert any("no_such_directive" in item["message"] for item in up.ingress("bad")["findings"])
    assert up.get("good.test", "/x")[0] == 418
    up.apply("second", own("second", "no_such_directive on;"))
    assert up.ingress("second")["state"] == "rejected"
    up.apply("bad", own("bad", "location = /x { return 419; }"))
    assert up.get("bad.test", "/x")[0] == 419


def test_a_server_snippet_survives_a_restart_of_the_control_plane(up: Up) -> None:
    up.apply("shop", own("shop", "location = /here { return 418; }"))
    reloads = up.status()["reloads"]
    assert reloads
    assert up.stop() == 0
    up.spawn()
    up.wait_ready()
    assert up.get("shop.test", "/here")[0] == 418


def test_lines_that_say_what_the_hsts_header_is_take_its_place(up: Up) -> None:
    name, usual = "Strict-Transport-Security", "max-age=31536000; includeSubDomains"
    more = f'more_set_headers "{name}: max-age=7";'
    up.apply(
        "batch",
        lines("set", more),
        lines("cleared", f"more_clear_headers {name.lower()};"),
        lines("added", f'add_header {name} "max-age=7" always;\nadd_header X-More yes;'),
        lines("some", f"more_set_headers -s 404 '{name}: max-age=7';"),
        lines("other", "add_header X-More yes;"),
        own("whole", more),
    )
    expected = {"set": "max-age=7", "cleared": None, "added": "max-age=7", "some": usual, "other": usual}
    expected |= {"whole": "max-age=7", "plain": usual}
    assert {host: hsts(up, f"{host}.test") for host in expected} == expected
    up.apply("added", header_map("added", **{name: "max-age=8"}))
    up.apply("settings", configmap(**ALLOWED, add_headers="default/added"))
    assert (hsts(up, "plain.test"), hsts(up, "set.test"), hsts(up, "cleared.test")) == ("max-age=8", "max-age=7", None)
    assert hsts(up, "other.test") == "max-age=8"


def test_custom_headers_say_what_the_hsts_header_of_their_paths_is(up: Up) -> None:
    up.apply("settings", configmap(global_allowed_response_headers="Strict-Transport-Security,X-More"))
    up.apply(
        "batch",
        header_map("own", **{"Strict-Transport-Security": "max-age=5"}),
        header_map("more", **{"X-More": "yes"}),
        ingress("own", "own.test", custom_headers="default/own"),
        ingress("more", "more.test", custom_headers="default/more"),
    )
    usual = "max-age=31536000; includeSubDomains"
    assert [hsts(up, f"{host}.test") for host in ("own", "more", "plain")] == ["max-age=5", usual, usual]


# -- configuration-snippet ---------------------------------------------------------------------------------------------


def lines(name: str, snippet: str, path: str = "/", **more: str) -> Manifest:
    return ingress(name, f"{name}.test", path, configuration_snippet=snippet, **more)


def heads(up: Up, host: str, path: str = "/", **headers: str) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", up.http, timeout=20)
    try:
        connection.request("GET", path, headers={"Host": host, **headers})
        answer = connection.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def tls_get(up: Up, host: str, path: str) -> tuple[int, bytes, dict[str, str]]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", up.https, timeout=20, context=context)
    connection.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", up.https)), server_hostname=host)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        found = {name.lower(): ", ".join(answer.msg.get_all(name, ())) for name in answer.msg}
        return answer.status, answer.read(), found
    finally:
        connection.close()


def hsts(up: Up, host: str) -> str | None:
    return tls_get(up, host, "/")[2].get("strict-transport-security")


def header_map(name: str, **rows: str) -> Manifest:
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": rows}


def post(up: Up, host: str, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", up.http, timeout=20)
    try:
        connection.request("POST", "/", body, {"Host": host})
        return connection.getresponse().status
    finally:
        connection.close()


def seen(up: Up, host: str, path: str = "/") -> dict[str, Any]:
    status, body = up.get(host, path)
    assert status == 200, body
    return dict(json.loads(body))


def test_a_configuration_snippet_runs_before_the_redirects_and_rewrites_of_its_paths(up: Up) -> None:
    up.apply(
        "batch",
        lines("moved", "if ($arg_stay) { return 418; }", permanent_redirect="http://elsewhere.test/"),
        lines("deep", "rewrite ^/a/(.*)$ /b/$1 break;", "/", rewrite_target="/target"),
        lines("forced", "if ($arg_plain) { return 418; }", force_ssl_redirect="true"),
    )
    assert [up.get("moved.test", path)[0] for path in ("/", "/?stay=1")] == [301, 418]
    assert [up.get("forced.test", path)[0] for path in ("/", "/?plain=1")] == [308, 418]
    assert seen(up, "deep.test", "/a/x")["target"] == "/target"


def test_a_rewrite_with_last_looks_for_a_path_again_and_one_with_break_does_not(up: Up) -> None:
    other = ingress("other", "shop.test", "/other", backend="none")
    up.apply("batch", lines("shop", "rewrite ^/l/ /other last; rewrite ^/b/ /other break;"), other)
    assert up.get("shop.test", "/l/x")[0] == 503  # a Service that does not exist
    assert seen(up, "shop.test", "/b/x")["target"] == "/other"


def test_what_a_snippet_captures_and_sets_is_there_for_headers(up: Up) -> None:
    up.apply(
        "batch",
        lines("caught", "add_header X-First $1; add_header X-Name $who;", "/u/(?<who>[a-z]+)/(.*)", use_regex="true"),
        lines("set", 'set $kind "a b"; if ($arg_k) { set $kind $arg_k; } more_set_headers "X-Kind: $kind";'),
    )
    found = heads(up, "caught.test", "/u/bob/rest")[1]
    assert (found["x-first"], found["x-name"]) == ("bob", "bob")
    assert [heads(up, "set.test", path)[1]["x-kind"] for path in ("/", "/?k=c")] == ["a b", "c"]


def test_variables_of_the_retired_controller_have_values_in_a_snippet_although_nothing_is_logged(up: Up) -> None:
    up.apply("settings", configmap(**ALLOWED, disable_access_log="true"))
    names = (
        "proxy_upstream_name namespace ingress_name service_name service_port location_path proxy_host best_http_host"
    )
    names += " pass_access_scheme pass_port req_id"
    snippet = " ".join(f"add_header X-{name.replace('_', '-')} ${name};" for name in names.split())
    up.apply("shop", lines("shop", snippet, "/p"))
    found = heads(up, "shop.test", "/p/q")[1]
    got = {name: found.get(f"x-{name.replace('_', '-')}", "") for name in names.split()}
    assert len(got.pop("req_id")) == 32
    assert got == {
        "proxy_upstream_name": "default-echo-80",
        "namespace": "default",
        "ingress_name": "shop",
        "service_name": "echo",
        "service_port": "80",
        "location_path": "/p",
        "proxy_host": "default-echo-80",
        "best_http_host": "shop.test",
        "pass_access_scheme": "http",
        "pass_port": str(up.http),
    }


def test_a_snippet_keeps_what_it_would_take_from_its_location_by_naming_it(up: Up) -> None:
    """NGINX inherits headers only where a level has none of its own."""
    up.apply(
        "shop",
        lines(
            "shop",
            "proxy_set_header X-Mine 1; client_body_buffer_size 1m; add_header X-A 1;"
            " if ($arg_b) { add_header X-B 1; }",
        ),
    )
    told = {name.lower(): value for name, value in seen(up, "shop.test")["headers"]}
    assert told["x-mine"] == "1" and told["x-forwarded-host"] == "shop.test"
    for path in ("/", "/?b=1"):
        status, _, headers = tls_get(up, "shop.test", path)
        assert (status, "max-age" in headers.get("strict-transport-security", "")) == (200, True)


def test_limits_lists_and_bodies_count_behind_a_snippet_too(up: Up) -> None:
    up.apply(
        "batch",
        lines("closed", "set $x 1;", allowlist_source_range="192.0.2.0/24"),
        lines("small", "set $x 1;", proxy_body_size="10"),
        lines("gone", "set $x 1;"),
        ingress("nobody", "nobody.test", backend="none", configuration_snippet="set $x 1;"),
    )
    assert [up.get(host)[0] for host in ("closed.test", "small.test", "nobody.test")] == [403, 200, 503]
    assert post(up, "small.test", b"x" * 11) == 413


def test_a_configuration_snippet_that_nginx_refuses_rejects_its_own_ingress_only(up: Up) -> None:
    up.apply("batch", lines("bad", "no_such_directive on;"), lines("good", "return 418;"))
    assert (up.ingress("bad")["state"], up.ingress("good")["state"]) == ("rejected", "applied")
    assert up.get("good.test")[0] == 418


def test_the_global_location_snippet_is_in_every_location_the_unknown_ones_included(up: Up) -> None:
    up.apply("shop", lines("shop", "set $who one;"))
    up.apply(
        "settings", configmap(**ALLOWED, location_snippet='add_header X-All "$who-all"; if ($arg_x) { return 418; }')
    )
    assert heads(up, "shop.test")[1]["x-all"] == "one-all"
    assert heads(up, "plain.test")[1]["x-all"] == "-all"
    assert [up.get(host, "/?x=1")[0] for host in ("shop.test", "plain.test", "unknown.test")] == [418, 418, 418]
    assert up.get("unknown.test")[0] == 404


def test_global_snippets_stand_in_main_http_and_every_server(up: Up) -> None:
    up.apply("own", own("own", "set $own 1;"))
    up.apply(
        "settings",
        configmap(
            **ALLOWED,
            main_snippet="env TIDEGATE_TEST;",
            http_snippet='map $arg_k $mapped { default none; "~^a b" some; }',
            server_snippet="location = /mapped { return 200 $mapped; }",
        ),
    )
    hosts = ("plain.test", "own.test", "unknown.test")
    assert [up.get(host, "/mapped?k=a%20b")[1] for host in hosts] == ["none"] * 3
    assert "env TIDEGATE_TEST;" in (up.run / "conf" / "nginx.conf").read_text()


@pytest.mark.parametrize("key", ["main_snippet", "http_snippet", "server_snippet", "location_snippet"])
def test_a_global_snippet_that_nginx_refuses_leaves_the_settings_before_in_force(up: Up, key: str) -> None:
    up.apply("settings", configmap(**ALLOWED, **{key: "no_such_directive on;"}))
    assert any("no_such_directive" in item["message"] for item in up.api("findings"))
    assert up.ingress("plain")["state"] == "applied"
    assert up.backend_of("plain.test") == "echo"


# -- the question to an authentication service -------------------------------------------------------------------------


@pytest.fixture
def guard(up: Up) -> Iterator[Server]:
    with Server("guard") as server:
        yield server


def test_an_auth_snippet_stands_where_the_service_is_asked(up: Up, guard: Server) -> None:
    snippet = "proxy_set_header X-Mine $host; if ($http_x_no) { return 403; }"
    url = f"http://127.0.0.1:{guard.port}/check"
    up.apply("shop", ingress("shop", "shop.test", auth_url=url, auth_snippet=snippet, auth_response_headers="X-None"))
    assert [up.get("shop.test", headers=more)[0] for more in ({}, {"X-No": "1"})] == [200, 403]
    assert guard.requests[-1].header("X-Mine") == "shop.test"


def test_an_auth_snippet_that_nginx_refuses_rejects_its_own_ingress_only(up: Up, guard: Server) -> None:
    url = f"http://127.0.0.1:{guard.port}/check"
    bad = ingress("bad", "bad.test", auth_url=url, auth_snippet="no_such_directive on;")
    up.apply("batch", bad, ingress("good", "good.test", auth_url=url))
    assert (up.ingress("bad")["state"], up.ingress("good")["state"]) == ("rejected", "applied")


def test_the_global_auth_snippet_is_for_the_global_service(up: Up, guard: Server) -> None:
    url = f"http://127.0.0.1:{guard.port}/all"
    up.apply("settings", configmap(**ALLOWED, global_auth_url=url, global_auth_snippet="proxy_set_header X-All 1;"))
    assert up.get("plain.test")[0] == 200
    assert (guard.requests[-1].target, guard.requests[-1].header("X-All")) == ("/all", "1")
