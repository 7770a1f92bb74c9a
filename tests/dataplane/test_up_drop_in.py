"""Details of the retired controller that configurations in the field rely on."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from dataplane import Reply, Request, Server, Stream, echo, trusting_context, until
from up import Up, configmap, free_ports, ingress, service

SNIPPETS = {"allow_snippet_annotations": "true", "annotations_risk_level": "Critical"}


def obey(request: Request) -> Reply:
    """Answers with the status and the cookie that the query asks for; echoes where it asks for nothing."""
    _, _, query = request.target.partition("?")
    said = dict(row.partition("=")[::2] for row in query.split("&"))
    if "status" not in said:
        return echo(request)
    rows = [("Set-Cookie", "a=b; path=/from"), ("Content-Type", "text/css"), ("Location", "http://inside.test/a")]
    return Reply(int(said["status"]), rows, 20 * b"said")


@pytest.fixture(scope="module")
def backend() -> Iterator[Server]:
    with Server("echo", obey) as one:
        yield one


@pytest.fixture(scope="module")
def up(backend: Server) -> Iterator[Up]:
    with Up("--configmap", "default/settings", "--health-check-path", "/alive") as one:
        yield one.start(service("echo", backend.port), ingress("plain", "plain.test"))


def settings(up: Up, **data: str) -> None:
    """The ConfigMap has these keys alone."""
    file, wanted = up.folder / "settings.yaml", yaml.safe_dump(configmap(**data))
    if not file.exists() or file.read_text() != wanted:
        up.apply("settings", wanted)


class Answered(http.client.HTTPResponse):
    text: bytes

    def seen(self) -> dict[str, Any]:
        """What the echo backend saw."""
        assert self.status == 200
        return dict(json.loads(self.text))

    def told(self, name: str) -> list[str]:
        """The request headers of a name that the backend saw."""
        return [value for key, value in self.seen()["headers"] if key.lower() == name.lower()]


def ask(
    up: Up, host: str, path: str = "/", *, tls: bool = False, body: bytes | None = None, **headers: str
) -> Answered:
    connection: http.client.HTTPConnection
    if tls:
        connection = http.client.HTTPSConnection("127.0.0.1", up.https, timeout=20, context=trusting_context())
    else:
        connection = http.client.HTTPConnection("127.0.0.1", up.http, timeout=20)
    connection.response_class = Answered
    with closing(connection):
        rows = {name.replace("_", "-"): value for name, value in headers.items()}
        method = "GET" if body is None else "POST"
        connection.request(method, path, body, headers={"Host": host, "Connection": "close", **rows})
        answer = connection.getresponse()
        assert isinstance(answer, Answered)
        answer.text = answer.read()
        return answer


def log_of(up: Up) -> Path:
    return up.run / "logs" / "access.log"


def in_log(up: Up, text: str) -> bool:
    return log_of(up).exists() and text in log_of(up).read_text()


# -- schemes and ports -------------------------------------------------------------------------------------------------


def test_only_a_forwarded_scheme_of_http_is_sent_to_https(up: Up) -> None:
    settings(up, use_forwarded_headers="true", force_ssl_redirect="true")
    assert ask(up, "plain.test").status == 308
    assert ask(up, "plain.test", X_Forwarded_Proto="http").status == 308
    for scheme in ("https", "wss", "https,http", "HTTPS"):
        assert ask(up, "plain.test", X_Forwarded_Proto=scheme).told("X-Forwarded-Proto") == [scheme]


def test_a_proxy_line_of_port_443_means_https_whatever_a_header_says(backend: Server) -> None:
    with Up("--configmap", "default/settings") as up:
        both = configmap(use_proxy_protocol="true", use_forwarded_headers="true", force_ssl_redirect="true")
        up.start(both, service("echo", backend.port), ingress("plain", "plain.test"))
        assert _behind(up, 443, "http") == 200
        assert _behind(up, 80, "http") == 308
        assert _behind(up, 80, "https") == 200


def _behind(up: Up, port: int, scheme: str) -> int:
    lines = [f"PROXY TCP4 192.0.2.1 127.0.0.1 4711 {port}", "GET / HTTP/1.1", "Host: plain.test"]
    lines += [f"X-Forwarded-Proto: {scheme}", "Connection: close", "", ""]
    with closing(socket.create_connection(("127.0.0.1", up.http), 20)) as sock:
        sock.sendall("\r\n".join(lines).encode())
        return int(Stream(sock).line().split()[1])


# -- redirects of snippets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "annotations", "location"),
    [
        ({}, {}, "http://moving.test/new?a=b"),
        ({}, {"relative_redirects": "true"}, "/new?a=b"),
        ({"relative_redirects": "true"}, {}, "/new?a=b"),
        ({"relative_redirects": "true"}, {"relative_redirects": "false"}, "http://moving.test/new?a=b"),
        ({}, {"use_port_in_redirects": "true"}, "http://moving.test:PORT/new?a=b"),
    ],
)
def test_redirects_to_a_path_that_a_snippet_makes_are_like_those_of_nginx(
    up: Up, keys: dict[str, str], annotations: dict[str, str], location: str
) -> None:
    settings(up, **SNIPPETS, **keys)
    lines = {"configuration_snippet": "rewrite ^/old$ /new redirect;"}
    up.apply("moving", ingress("moving", "moving.test", **lines, **annotations))
    answer = ask(up, "moving.test", "/old?a=b")
    assert (answer.status, answer.getheader("Location")) == (302, location.replace("PORT", str(up.http)))


@pytest.mark.parametrize(
    ("annotations", "location"),
    [
        ({}, "http://inner.test/out/a"),
        ({"relative_redirects": "true"}, "/out/a"),
        ({"relative_redirects": "true", "configuration_snippet": "set $any thing;"}, "/out/a"),
        ({"use_port_in_redirects": "true"}, "http://inner.test:PORT/out/a"),
    ],
)
def test_redirects_of_backends_that_become_paths_are_like_those_of_nginx(
    up: Up, annotations: dict[str, str], location: str
) -> None:
    settings(up, **SNIPPETS)
    inner = {"proxy_redirect_from": "http://inside.test/", "proxy_redirect_to": "/out/"}
    up.apply("inner", ingress("inner", "inner.test", **inner, **annotations))
    answer = ask(up, "inner.test", "/?status=302")
    assert (answer.status, answer.getheader("Location")) == (302, location.replace("PORT", str(up.http)))


def test_redirects_of_the_server_snippet_of_the_configmap_are_absolute(up: Up) -> None:
    settings(up, server_snippet="location = /gone { return 301 /here; }")
    assert ask(up, "plain.test", "/gone").getheader("Location") == "http://plain.test/here"


def test_a_server_of_the_http_snippet_listens_at_its_own_port(up: Up) -> None:
    """As where a load balancer ends TLS and sends its plain port here."""
    port = free_ports(1)[0]
    settings(up, http_snippet=f"server {{\n  listen 127.0.0.1:{port};\n  return 308 https://$host$request_uri;\n}}")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with closing(connection):
        connection.request("GET", "/a?b", headers={"Host": "plain.test"})
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Location")) == (308, "https://plain.test/a?b")


# -- the catch-all host ------------------------------------------------------------------------------------------------


def test_the_health_path_of_the_flag_counts_on_unknown_hosts_and_leaves_no_line(up: Up) -> None:
    settings(up, enable_access_log_for_default_backend="true", log_format_upstream="line $request_uri")
    assert ask(up, "nobody.test", "/alive/and-well").status == 200
    assert ask(up, "nobody.test", "/nginx_status").status == 200
    assert ask(up, "nobody.test", "/healthz").status == 404
    assert ask(up, "plain.test", "/alive").seen()["target"] == "/alive"
    until(lambda: in_log(up, "line /healthz") and in_log(up, "line /alive\n"))
    assert not in_log(up, "/alive/and-well")
    assert not in_log(up, "/nginx_status")


def test_a_known_host_without_a_certificate_shows_the_default_one_where_unknown_names_are_refused(up: Up) -> None:
    settings(up, ssl_reject_handshake="true")
    up.apply("star", ingress("star", "*.star.test", server_alias="alias.test"))
    for name in ("plain.test", "PLAIN.test.", "one.star.test", "alias.test"):
        assert _shakes_hands(up, name)
    for name in ("nobody.test", "a.b.star.test", None):
        assert not _shakes_hands(up, name)


def _shakes_hands(up: Up, name: str | None) -> bool:
    try:
        with closing(socket.create_connection(("127.0.0.1", up.https), 20)) as sock:
            return bool(trusting_context().wrap_socket(sock, server_hostname=name).version())
    except OSError:
        return False


# -- values as they come from files ------------------------------------------------------------------------------------


def test_line_ends_around_and_within_values_mean_what_they_mean_to_nginx(up: Up) -> None:
    settings(
        up,
        proxy_body_size="2k\n",
        gzip_types="text/css\n  application/json\n",
        use_gzip="true",
        gzip_min_length="10",
        log_format_upstream="first $request_uri\nsecond $status\n",
        proxy_cookie_path="/from /to\n",
    )
    assert ask(up, "plain.test", body=bytes(3000)).status == 413
    answer = ask(up, "plain.test", "/zipped?status=200", Accept_Encoding="gzip")
    assert (answer.getheader("Content-Encoding"), answer.getheader("Set-Cookie")) == ("gzip", "a=b; path=/to")
    until(lambda: in_log(up, "first /zipped?status=200\nsecond 200\n"))


def test_replacements_in_cookies_may_be_quoted_and_patterns(up: Up) -> None:
    settings(up, proxy_cookie_path='/from "/to; Secure; SameSite=None"')
    assert ask(up, "plain.test", "/?status=200").getheader("Set-Cookie") == "a=b; path=/to; Secure; SameSite=None"
    settings(up, proxy_cookie_path="~^/(f.*)$ /$1/sub")
    assert ask(up, "plain.test", "/?status=200").getheader("Set-Cookie") == "a=b; path=/from/sub"


def test_variables_that_snippets_of_the_configmap_define_are_known_to_its_other_keys(up: Up) -> None:
    headers = configmap(X_Kind="$kind", X_Place="$place")
    headers["metadata"]["name"] = "headers"
    up.apply("headers", headers)
    settings(
        up,
        http_snippet="map $http_user_agent $kind { default other; ~curl tool; }",
        server_snippet="set $place here;",
        log_format_upstream="$request_uri is from $kind at $place",
        add_headers="default/headers",
        proxy_set_headers="default/headers",
    )
    answer = ask(up, "plain.test", "/asked", User_Agent="curl/8")
    assert (answer.getheader("X-Kind"), answer.getheader("X-Place")) == ("tool", "here")
    assert (answer.told("X-Kind"), answer.told("X-Place")) == (["tool"], ["here"])
    until(lambda: in_log(up, "/asked is from tool at here"))


def test_variables_that_snippets_of_the_configmap_define_are_known_to_annotations_and_to_authentication(up: Up) -> None:
    snippet = {"http_snippet": "map $http_x_tenant $tenant { default none; ~^(?<name>.+)$ of-$name; }"}
    with Server("guard", lambda _: Reply(200)) as guard:
        url = f"http://127.0.0.1:{guard.port}/check/$tenant"
        settings(up, **snippet, global_auth_url=url, global_auth_request_redirect="http://$tenant.test/")
        up.apply("tenants", ingress("tenants", "tenants.test", upstream_vhost="$tenant.inside.test"))
        assert ask(up, "tenants.test", X_Tenant="ann").told("Host") == ["of-ann.inside.test"]
        asked = guard.requests[-1]
        assert (asked.target, asked.header("X-Auth-Request-Redirect")) == ("/check/of-ann", "http://of-ann.test/")


# -- authentication and errors -----------------------------------------------------------------------------------------


def test_names_that_are_no_headers_and_an_unknown_method_are_left_out_of_global_authentication(up: Up) -> None:
    with Server("guard", lambda _: Reply(200, [("X-User", "ann")])) as guard:
        url = f"http://127.0.0.1:{guard.port}/check"
        settings(
            up, global_auth_url=url, global_auth_response_headers="X-User, bad name!", global_auth_method="SOMETHING"
        )
        assert ask(up, "plain.test").told("X-User") == ["ann"]
        assert guard.requests[-1].method == "GET"


def test_urls_of_global_authentication_may_have_any_character_of_a_url(up: Up) -> None:
    with Server("guard", lambda request: Reply(200 if request.header("X-Ok") else 401)) as guard:
        settings(
            up,
            global_auth_url=f"http://127.0.0.1:{guard.port}/check%20it/(a+b)?x=@;!*'",
            global_auth_signin="https://login.test/start?rd=https%3A%2F%2F$host;a+b",
        )
        assert ask(up, "plain.test", X_Ok="1").status == 200
        assert guard.requests[-1].target == "/check%20it/(a+b)?x=@;!*'"
        answer = ask(up, "plain.test")
        assert (answer.status, answer.getheader("Location")) == (
            302,
            "https://login.test/start?rd=https%3A%2F%2Fplain.test;a+b",
        )


def test_an_error_backend_gets_what_the_client_sent_but_no_password_of_the_proxy(up: Up) -> None:
    settings(up)
    own = {"custom_http_errors": "418", "default_backend": "echo"}
    users = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "users", "namespace": "default"},
        "data": {"auth": base64.b64encode(b"ann:{PLAIN}secret").decode()},
    }
    guarded = ingress("guarded", "guarded.test", auth_type="basic", auth_secret="users", **own)
    up.apply("errors", ingress("open", "open.test", **own), users, guarded)
    assert ask(up, "open.test", "/?status=418", Authorization="Bearer x").status == 418
    with Server("pages") as pages:
        own["default_backend"] = "pages"
        guarded = ingress("guarded", "guarded.test", auth_type="basic", auth_secret="users", **own)
        up.apply("errors", service("pages", pages.port), ingress("open", "open.test", **own), users, guarded)
        answer = ask(up, "open.test", "/?status=418", Authorization="Bearer x")
        assert (answer.seen()["backend"], answer.told("Authorization")) == ("pages", ["Bearer x"])
        answer = ask(up, "guarded.test", "/?status=418", Authorization="Basic YW5uOnNlY3JldA==")
        assert (answer.seen()["backend"], answer.told("Authorization")) == ("pages", [])


def test_the_log_names_a_canary_where_it_has_taken_the_request(up: Up) -> None:
    settings(up, log_format_upstream="$request_uri [$proxy_upstream_name] [$proxy_alternative_upstream_name]")
    canary = ingress("new", "split.test", backend="new", canary="true", canary_by_header="X-New")
    with Server("new") as new:
        up.apply("split", service("new", new.port), ingress("split", "split.test"), canary)
        assert ask(up, "split.test", "/old").seen()["backend"] == "echo"
        assert ask(up, "split.test", "/new", X_New="always").seen()["backend"] == "new"
    until(lambda: in_log(up, "/old [default-echo-80] []\n") and in_log(up, "/new [default-echo-80] [default-new-80]\n"))


def test_the_log_names_the_backend_that_stands_in_for_another(up: Up) -> None:
    settings(up, log_format_upstream="$request_uri [$proxy_upstream_name] [$service_name]")
    own = {"custom_http_errors": "418", "default_backend": "stand-in"}
    with Server("stand-in") as stand_in:
        up.apply("none", service("none"), ingress("none", "none.test", backend="none", default_backend="stand-in"))
        up.apply("pages", service("stand-in", stand_in.port), ingress("own", "own.test", **own))
        up.apply("bare", ingress("bare", "bare.test", custom_http_errors="418"))
        assert ask(up, "none.test", "/no-endpoint").seen()["backend"] == "stand-in"
        assert ask(up, "own.test", "/own?status=418").seen()["backend"] == "stand-in"
        assert ask(up, "bare.test", "/bare?status=418").status == 404
    lines = (
        "/no-endpoint [custom-default-backend-default-stand-in] [none]\n",
        "/own?status=418 [custom-default-backend-default-stand-in] [echo]\n",
        "/bare?status=418 [upstream-default-backend] [echo]\n",
    )
    until(lambda: all(in_log(up, line) for line in lines))


# -- metrics -----------------------------------------------------------------------------------------------------------


def test_requests_for_an_alias_are_counted_under_its_name(up: Up) -> None:
    settings(up)
    up.apply("aliased", ingress("aliased", "aliased.test", server_alias="other.test"))
    assert ask(up, "other.test").status == 200

    def counted() -> dict[str, float]:
        rows = [(labels, value) for name, labels, value in up.samples() if name == "nginx_ingress_controller_requests"]
        return {labels["host"]: value for labels, value in rows if labels["ingress"] == "aliased"}

    until(lambda: counted() == {"other.test": 1})


def test_counters_are_told_as_counters_under_the_names_of_the_retired_controller(up: Up) -> None:
    _, text = up.ask_admin("/metrics")
    assert b"# TYPE nginx_ingress_controller_requests counter\n" in text
    assert b"# TYPE nginx_ingress_controller_success counter\n" in text


def test_an_ingress_that_is_no_orphan_any_more_is_told_so(up: Up, backend: Server) -> None:
    def orphan() -> dict[str, float]:
        rows = [row for row in up.samples() if row[0] == "nginx_ingress_controller_orphan_ingress"]
        return {labels["type"]: value for _, labels, value in rows if labels["ingress"] == "lonely"}

    up.apply("lonely", service("lonely"), ingress("lonely", "lonely.test", backend="lonely"))
    assert orphan() == {"no-endpoint": 1}
    up.apply("lonely", service("lonely", backend.port), ingress("lonely", "lonely.test", backend="lonely"))
    assert orphan() == {"no-endpoint": 0}
    up.delete("lonely")
    assert orphan() == {}
