"""Annotations in company: what one says where another is there as well, each by what a client or a backend notices."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import yaml
from dataplane import Reply, Request, Server, echo, servers, until
from up import Manifest, Up, configmap, ingress, service

LOGIN = {"Authorization": "Basic " + base64.b64encode(b"ann:secret").decode()}


def obey(request: Request) -> Reply:
    """Answers with the status that `X-Say` says; echoes where it says none."""
    said = request.header("X-Say")
    return Reply(int(said), (), b"said") if said else echo(request)


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    with Server("echo", obey) as backend, Server("pages") as pages, Up("--configmap", "default/settings") as one:
        yield one.start(service("echo", backend.port), service("pages", pages.port), service("gone"))


class Answer:
    """What came back on a connection of its own."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status, self.body, self._answer = answer.status, answer.read(), answer

    def header(self, name: str) -> str | None:
        return self._answer.getheader(name)

    @property
    def seen(self) -> dict[str, Any]:
        """What the backend saw."""
        return dict(json.loads(self.body))

    def sent(self, name: str) -> list[str]:
        """The headers of this name that the backend saw."""
        return [value for key, value in self.seen["headers"] if key.lower() == name.lower()]


def ask(up: Up, host: str, path: str = "/", method: str = "GET", **headers: str) -> Answer:
    with closing(http.client.HTTPConnection("127.0.0.1", up.http, timeout=20)) as connection:
        rows = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers={"Host": host, "Connection": "close", **rows})
        return Answer(connection.getresponse())


def have(up: Up, name: str, *others: Manifest, keys: dict[str, str] | None = None, **fields: str) -> str:
    """Applies an Ingress beside these keys of the ConfigMap, and returns its host."""
    file, wanted = up.folder / "settings.yaml", yaml.safe_dump(configmap(**(keys or {})))
    if not file.exists() or file.read_text() != wanted:
        up.apply("settings", wanted)
    up.apply(name, ingress(name, f"{name}.test", **fields), *others)
    return f"{name}.test"


def test_the_name_towards_the_backend_may_be_made_of_what_the_route_is(up: Up) -> None:
    host = have(up, "vhost", upstream_vhost="$service_name.$namespace.svc.cluster.local")
    answer = ask(up, host)
    assert answer.sent("Host") == ["echo.default.svc.cluster.local"]
    assert answer.sent("X-Forwarded-Host") == [host]


def test_errors_of_backends_pass_only_beside_a_list_of_the_ingress(up: Up) -> None:
    passing = {"disable_proxy_intercept_errors": "true"}
    everywhere = {"custom_http_errors": "418"}
    host = have(up, "passing", keys=everywhere, custom_http_errors="418", **passing)
    assert ask(up, host, X_Say="418").status == 404, "the list of the ConfigMap cannot be undone"
    host = have(up, "passing", keys=everywhere, **passing)
    assert ask(up, host, X_Say="418").status == 404
    host = have(up, "passing", custom_http_errors="418", **passing)
    assert ask(up, host, X_Say="418").status == 418


def test_errors_of_backends_are_replaced_where_only_the_configmap_lets_them_pass(up: Up) -> None:
    keys = {"disable_proxy_intercept_errors": "true"}
    host = have(up, "replaced", keys=keys, custom_http_errors="418", default_backend="pages")
    assert ask(up, host, X_Say="418").seen["backend"] == "pages"


def test_a_temporal_redirect_of_another_scheme_leaves_no_redirect(up: Up) -> None:
    rows = {"permanent_redirect": "https://else.test/", "from_to_www_redirect": "true"}
    host = have(up, "mailed", temporal_redirect="mailto:a", **rows)
    assert (ask(up, host).status, ask(up, f"www.{host}").status) == (200, 404)
    assert up.ingress("mailed")["state"] == "degraded"
    have(up, "mailed", **rows)
    assert (ask(up, host).status, ask(up, f"www.{host}").status) == (301, 308)


def test_a_redirect_to_a_path_names_the_port_where_that_is_asked_for(up: Up) -> None:
    host = have(up, "ported", permanent_redirect="/there", use_port_in_redirects="true")
    assert ask(up, host).header("Location") == f"http://{host}:{up.http}/there"
    host = have(up, "ported", permanent_redirect="/there")
    assert ask(up, host).header("Location") == f"http://{host}/there"


def test_the_redirect_to_the_slash_has_the_headers_of_the_route(up: Up) -> None:
    host = have(up, "slash", path="/sub/", enable_cors="true", cors_allow_origin="https://app.test")
    answer = ask(up, host, "/sub", Origin="https://app.test")
    assert (answer.status, answer.header("Location")) == (301, f"http://{host}/sub/")
    assert answer.header("Access-Control-Allow-Origin") == "https://app.test"
    assert ask(up, host, "/sub", Origin="https://other.test").header("Access-Control-Allow-Origin") is None


def test_a_service_that_stands_in_is_told_why_and_by_whom(up: Up) -> None:
    host = have(up, "standing", backend="gone", default_backend="pages")
    answer = ask(up, host, "/a?b", X_Original_URI="/mine")
    assert (answer.seen["backend"], answer.seen["target"]) == ("pages", "/a?b")
    assert (answer.sent("X-Code"), answer.sent("X-Service-Name")) == (["503"], ["gone"])
    assert answer.sent("X-Original-URI") == ["/mine"]


def test_custom_errors_of_paths_that_nobody_declares_come_from_the_global_default_backend(up: Up) -> None:
    host = have(up, "undeclared", path="/known", custom_http_errors="404,418", default_backend="pages")
    assert ask(up, host, "/known", X_Say="418").seen["backend"] == "pages"
    answer = ask(up, host, "/other")
    assert (answer.status, b"pages" in answer.body) == (404, False)


def test_requests_of_a_quiet_ingress_leave_no_line_whoever_answers(up: Up) -> None:
    log = up.run / "logs" / "access.log"
    quiet = {"enable_access_log": "false"}
    gone = ingress("gone", "quiet.test", "/gone", "gone", **quiet)
    sent = have(up, "quiet", gone, force_ssl_redirect="true", **quiet)
    crossed = have(up, "crossed", enable_cors="true", **quiet)
    loud = have(up, "loud")
    assert ask(up, sent, "/quiet-1").status == 308
    assert ask(up, sent, "/gone/quiet-2").status == 503
    assert ask(up, crossed, "/quiet-3", "OPTIONS", Origin="https://a.test").status == 204
    assert ask(up, crossed, "/quiet-4").status == 200
    assert ask(up, loud, "/loud-1").status == 200
    until(lambda: log.exists() and "/loud-1" in log.read_text())
    assert "/quiet-" not in log.read_text()


def test_a_login_that_is_not_for_here_reaches_the_error_backend_and_one_that_is_does_not(up: Up) -> None:
    rows = {"custom_http_errors": "401,418", "default_backend": "pages"}
    host = have(up, "bearer", **rows)
    assert ask(up, host, X_Say="418", Authorization="Bearer it").sent("Authorization") == ["Bearer it"]
    users = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "users", "namespace": "default"},
        "stringData": {"auth": "ann:{PLAIN}secret\n"},
    }
    host = have(up, "login", users, auth_type=" basic", auth_secret="users", **rows)
    assert ask(up, host).sent("X-Code") == ["401"]
    assert ask(up, host, X_Say="418", **LOGIN).sent("Authorization") == []


def test_a_query_without_a_value_is_a_query_of_the_sign_in_page(up: Up) -> None:
    with Server("auth", lambda _: Reply(401)) as auth:
        url = f"http://127.0.0.1:{auth.port}/"
        host = have(up, "signin", auth_url=url, auth_signin="https://login.test/?next=")
        answer = ask(up, host, "/a?b")
    assert answer.header("Location") == f"https://login.test/?next=&rd=http://{host}%2Fa%3Fb"


def test_buffers_of_the_ingress_hold_the_answer_of_its_authentication_service_too(up: Up) -> None:
    with Server("auth", lambda _: Reply(200, [("X-Token", "t" * 12_000)])) as auth:
        url = f"http://127.0.0.1:{auth.port}/"
        wide = have(up, "wide", auth_url=url, auth_response_headers="X-Token", proxy_buffer_size="16k")
        narrow = have(up, "narrow", auth_url=url, auth_response_headers="X-Token")
        assert ask(up, narrow).status == 500
        answer = ask(up, wide)
        assert (answer.status, answer.sent("X-Token")) == (200, ["t" * 12_000])


def test_beside_a_sign_in_page_the_error_pages_of_the_configmap_do_not_count(up: Up) -> None:
    keys = {"custom_http_errors": "401,418,503"}
    with Server("auth", lambda _: Reply(200)) as auth:
        rows = {"auth_url": f"http://127.0.0.1:{auth.port}/", "auth_signin": "https://login.test/"}
        host = have(up, "pages", keys=keys, **rows)
        assert (ask(up, host, X_Say="418").body, ask(up, host, X_Say="401").status) == (b"said", 302)
        assert ask(up, have(up, "none", keys=keys, backend="gone", **rows)).status == 503
        host = have(up, "pages", keys=keys, custom_http_errors="418", default_backend="pages", **rows)
        assert ask(up, host, X_Say="418").seen["backend"] == "pages"
        have(up, "pages")  # without the keys a 401 of the backend is the client's again
        host = have(up, "pages", **rows)
        assert ask(up, host, X_Say="401").status == 401


def test_error_pages_of_a_snippet_count_before_all_others(up: Up) -> None:
    allowed = {"allow_snippet_annotations": "true", "annotations_risk_level": "Critical"}
    keys = {"custom_http_errors": "404,418", **allowed}
    rows = {"configuration_snippet": "error_page 404 https://pages.test/lost;"}
    host = have(up, "snippet", keys=keys, **rows)
    lost = ask(up, host, X_Say="404")
    assert (lost.status, lost.header("Location")) == (302, "https://pages.test/lost")
    assert ask(up, host, X_Say="418").body == b"said", "NGINX inherits all pages or none"
    host = have(up, "snippet", keys=keys, custom_http_errors="404,418", default_backend="pages", **rows)
    assert ask(up, host, X_Say="404").status == 302
    assert ask(up, host, X_Say="418").seen["backend"] == "pages"
    have(up, "snippet")


def test_paths_of_an_ingress_without_affinity_follow_the_cookie_of_another(up: Up) -> None:
    with servers("one", "two", "three") as three:
        up.apply("many", service("many", *(server.port for server in three)))
        host = have(up, "sticky", ingress("loose", "sticky.test", "/api", "many"), backend="many", affinity="cookie")
        first = ask(up, host)
        cookie = (first.header("Set-Cookie") or "").partition(";")[0]
        found = [ask(up, host, "/api", Cookie=cookie) for _ in range(6)]
        assert {answer.seen["backend"] for answer in found} == {first.seen["backend"]}
        found = [ask(up, host, "/api") for _ in range(6)]
        assert {answer.seen["backend"] for answer in found} == {"one", "two", "three"}
        assert not any(answer.header("Set-Cookie") for answer in found)


def test_a_request_that_reaches_no_backend_gets_no_session_cookie(up: Up) -> None:
    host = have(up, "sticky", affinity="cookie", whitelist_source_range="192.0.2.0/24")
    refused = ask(up, host)
    assert (refused.status, refused.header("Set-Cookie")) == (403, None)
    host = have(up, "sticky", affinity="cookie", whitelist_source_range="127.0.0.0/8")
    assert "INGRESSCOOKIE=" in (ask(up, host).header("Set-Cookie") or "")


def test_a_wildcard_alias_takes_any_number_of_labels_that_no_rule_names(up: Up) -> None:
    have(up, "spread", server_alias=".wide-alias.test,wide.*")
    have(up, "inside", ingress("narrower", "*.narrow.wide-alias.test", backend="pages"))
    for host in ("wide-alias.test", "a.wide-alias.test", "a.b.wide-alias.test", "wide.co.test"):
        assert ask(up, host).seen["backend"] == "echo", host
    assert ask(up, "a.narrow.wide-alias.test").seen["backend"] == "pages"
    assert ask(up, "else-alias.test").status == 404


def test_aliases_may_stand_on_lines_of_their_own(up: Up) -> None:
    have(up, "aliased", server_alias="one.aliased.test,\n  two.aliased.test\n")
    assert [ask(up, f"{name}.aliased.test").status for name in ("one", "two", "three")] == [200, 200, 404]
