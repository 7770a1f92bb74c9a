"""Settings that one request shows, each by what a client or a backend notices."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import yaml
from dataplane import (
    Reply,
    Request,
    Server,
    echo,
    refusing,
    servers,
    trusting_context,
    until,
)
from dnsserver import Dns
from streams import Connections
from up import Manifest, Up, configmap, ingress, service

CHROME_50 = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/50.0.2661.75 Safari/537.36"


def obey(request: Request) -> Reply:
    """Answers as `X-Say` says: a status, and headers `Name=value`, separated by `|`; echoes where it says nothing."""
    said = (request.header("X-Say") or "").split("|")
    if said == [""]:
        return echo(request)
    return Reply(int(said[0]), [row.partition("=")[::2] for row in said[1:]], b"said")


@pytest.fixture(scope="module")
def backend() -> Iterator[Server]:
    with Server("echo", obey) as one:
        yield one


@pytest.fixture(scope="module")
def guard() -> Iterator[Server]:
    with Server("guard", lambda request: obey(request) if request.header("X-Say") else Reply(200)) as one:
        yield one


@pytest.fixture(scope="module")
def up(backend: Server) -> Iterator[Up]:
    with Up("--configmap", "default/settings") as one:
        yield one.start(service("echo", backend.port), ingress("plain", "plain.test"))


def ask(
    up: Up, host: str, path: str = "/", *, method: str = "GET", tls: bool = False, **headers: str
) -> http.client.HTTPResponse:
    """The answer to a request on a connection of its own; its body is read."""
    connection: http.client.HTTPConnection
    if tls:
        connection = http.client.HTTPSConnection("127.0.0.1", up.https, timeout=20, context=trusting_context())
    else:
        connection = http.client.HTTPConnection("127.0.0.1", up.http, timeout=20)
    with closing(connection):
        rows = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers={"Host": host, "Connection": "close", **rows})
        answer = connection.getresponse()
        answer.body = answer.read()  # type: ignore[attr-defined]
        return answer


def seen(answer: http.client.HTTPResponse) -> dict[str, Any]:
    """What the echo backend saw."""
    assert answer.status == 200
    return dict(json.loads(answer.body))  # type: ignore[attr-defined]


def settings(up: Up, **data: str) -> None:
    """The ConfigMap has these keys alone."""
    file, wanted = up.folder / "settings.yaml", yaml.safe_dump(configmap(**data))
    if not file.exists() or file.read_text() != wanted:
        up.apply("settings", wanted)


# -- keys of the ConfigMap ---------------------------------------------------------------------------------------------


def test_longer_heads_fit_into_larger_buffers(up: Up) -> None:
    settings(up)
    assert ask(up, "plain.test", "/" + 9000 * "x").status == 414
    settings(up, large_client_header_buffers="2 16k")
    assert ask(up, "plain.test", "/" + 9000 * "x").status == 200


def test_a_deny_list_of_the_configmap_holds_everywhere(up: Up) -> None:
    settings(up, denylist_source_range="127.0.0.0/8")
    assert ask(up, "plain.test").status == 403


def test_the_status_page_is_for_those_who_are_listed(up: Up) -> None:
    settings(up)
    assert ask(up, "nobody.test", "/nginx_status").status == 200
    settings(up, nginx_status_ipv4_whitelist="192.0.2.0/24")
    assert ask(up, "nobody.test", "/nginx_status").status == 403


def test_cookies_and_redirects_of_backends_are_changed_everywhere(up: Up) -> None:
    say = "302|Location=http://inside.test/a|Set-Cookie=a=b; path=/from; domain=from.test"
    settings(
        up,
        proxy_cookie_path="/from /to",
        proxy_cookie_domain="from.test to.test",
        proxy_redirect_from="http://inside.test/",
        proxy_redirect_to="http://outside.test/",
    )
    answer = ask(up, "plain.test", X_Say=say)
    assert answer.getheader("Set-Cookie") == "a=b; path=/to; domain=to.test"
    assert answer.getheader("Location") == "http://outside.test/a"


def test_requests_go_to_the_address_of_the_service_where_the_configmap_says_so(up: Up) -> None:
    with refusing() as refused:
        apart = service("apart", refused.port)
        apart[0]["spec"].update(clusterIP="127.0.0.1", ports=[{"name": "http", "port": backend_port(up)}])
        rule = ingress("apart", "apart.test", backend="apart")
        rule["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = {"name": "http"}
        up.apply("apart", apart, rule)
        settings(up)
        assert ask(up, "apart.test").status == 502
        settings(up, service_upstream="true")
        assert seen(ask(up, "apart.test"))["backend"] == "echo"


def backend_port(up: Up) -> int:
    """The port of the echo backend."""
    slices = [one for one in (up.folder / "start.yaml").read_text().split("---\n") if "EndpointSlice" in one]
    return int(slices[0].partition("port: ")[2].split()[0])


def test_redirects_to_a_path_stay_relative_where_the_configmap_says_so(up: Up) -> None:
    host = own(up, "folder", path="/sub/")
    assert ask(up, host, "/sub").getheader("Location") == "http://folder.test/sub/"
    settings(up, relative_redirects="true")
    assert ask(up, host, "/sub").getheader("Location") == "/sub/"


def test_the_hsts_header_says_what_the_keys_say(up: Up) -> None:
    settings(up)
    wanted = "max-age=31536000; includeSubDomains"
    assert ask(up, "plain.test", tls=True).getheader("Strict-Transport-Security") == wanted
    settings(up, hsts_include_subdomains="false", hsts_preload="true", hsts_max_age="60")
    assert ask(up, "plain.test", tls=True).getheader("Strict-Transport-Security") == "max-age=60; preload"


def handshake(up: Up, name: str, version: ssl.TLSVersion | None = None) -> tuple[str, str]:
    """Version and cipher. Raises OSError."""
    context = trusting_context()
    if version is not None:
        context.minimum_version = context.maximum_version = version
    with closing(socket.create_connection(("127.0.0.1", up.https), 20)) as sock:
        secured = context.wrap_socket(sock, server_hostname=name)
        cipher = secured.cipher()
        assert cipher is not None
        return secured.version() or "", cipher[0]


def test_tls_versions_that_are_not_listed_are_refused(up: Up) -> None:
    settings(up)
    assert handshake(up, "plain.test", ssl.TLSVersion.TLSv1_2)[0] == "TLSv1.2"
    settings(up, ssl_protocols="TLSv1.3")
    with pytest.raises(OSError):
        handshake(up, "plain.test", ssl.TLSVersion.TLSv1_2)
    assert handshake(up, "plain.test")[0] == "TLSv1.3"


def test_ciphers_that_are_not_listed_are_not_used(up: Up) -> None:
    settings(up)
    assert "AES128" in handshake(up, "plain.test", ssl.TLSVersion.TLSv1_2)[1]
    settings(up, ssl_ciphers="ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384")
    assert "AES256" in handshake(up, "plain.test", ssl.TLSVersion.TLSv1_2)[1]


def test_a_handshake_for_an_unknown_name_can_be_refused(up: Up) -> None:
    settings(up)
    assert handshake(up, "nobody.test")
    settings(up, ssl_reject_handshake="true")
    with pytest.raises(OSError):
        handshake(up, "nobody.test")


def test_workers_share_their_listening_sockets_without_reuse_port(up: Up) -> None:
    settings(up)
    assert f"127.0.0.1:{up.http} default_server reuseport;" in up.configuration().replace('"', "")
    settings(up, reuse_port="false")
    assert f"127.0.0.1:{up.http} default_server;" in up.configuration().replace('"', "")


def test_nothing_in_the_log_is_escaped_where_the_configmap_says_so(up: Up) -> None:
    file = up.run / "logs" / "access.log"
    settings(up, log_format_upstream="agent $http_user_agent", log_format_escape_none="true")
    assert ask(up, "plain.test", User_Agent='a "b"').status == 200
    until(lambda: 'agent a "b"' in (file.read_text() if file.exists() else ""))


def test_nothing_is_logged_where_the_configmap_says_so(up: Up) -> None:
    file = up.run / "logs" / "access.log"
    settings(up, disable_access_log="true")
    assert ask(up, "plain.test", "/not-written").status == 200
    settings(up, log_format_upstream="line $request_uri")
    assert ask(up, "plain.test", "/written").status == 200
    until(lambda: "line /written" in (file.read_text() if file.exists() else ""))
    assert "/not-written" not in file.read_text()


def test_requests_are_sent_to_https_where_the_configmap_says_so(up: Up) -> None:
    settings(up, force_ssl_redirect="true")
    assert ask(up, "plain.test").getheader("Location") == "https://plain.test"


def test_without_a_session_cache_there_is_none(up: Up) -> None:
    settings(up)
    assert "ssl_session_cache shared:" in up.configuration()
    settings(up, ssl_session_cache="false")
    assert "ssl_session_cache shared:" not in up.configuration()


def test_the_slower_endpoint_gets_less_with_ewma(up: Up, backend: Server) -> None:
    def late(request: Request) -> Reply:
        time.sleep(0.2)  # what a slow backend does
        return echo(request)

    with Server("slow", late) as slow:
        ports = (backend.port, slow.port)
        up.apply("speeds", service("speeds", *ports), service("same", *ports))
        fast = own(up, "fair", "speeds", load_balance="ewma")
        shares = Counter(seen(ask(up, fast))["backend"] for _ in range(30))
        assert shares["echo"] > 2 * shares["slow"]
        settings(up, load_balance="ewma")
        up.apply("plainly", ingress("plainly", "plainly.test", backend="same"))
        shares = Counter(seen(ask(up, "plainly.test"))["backend"] for _ in range(30))
        assert shares["echo"] > 2 * shares["slow"]


def test_global_questions_use_the_global_signin(up: Up, guard: Server) -> None:
    settings(
        up,
        global_auth_url=f"http://127.0.0.1:{guard.port}/check",
        global_auth_signin="http://login.test/in",
        global_auth_signin_redirect_param="back",
    )
    answer = ask(up, "plain.test", "/wanted", X_Say="401")
    assert answer.status == 302
    assert answer.getheader("Location") == "http://login.test/in?back=http://plain.test%2Fwanted"


def test_cookies_of_the_global_service_are_added_to_errors_where_the_configmap_says_so(up: Up) -> None:
    with Server("broken", lambda _: Reply(500)) as broken, Server("setter", cookie) as setter:
        url = f"http://127.0.0.1:{setter.port}/check"
        up.apply("broken", service("broken", broken.port), ingress("broken", "broken.test", backend="broken"))
        settings(up, global_auth_url=url)
        assert ask(up, "broken.test").getheader("Set-Cookie") is None
        settings(up, global_auth_url=url, global_auth_always_set_cookie="true")
        assert ask(up, "broken.test").getheader("Set-Cookie") == "of=guard"


def cookie(_: Request) -> Reply:
    return Reply(200, [("Set-Cookie", "of=guard")])


# -- annotations -------------------------------------------------------------------------------------------------------


def own(up: Up, name: str, backend: str = "echo", path: str = "/", **annotations: str) -> str:
    """Applies an Ingress, with no global settings, and returns its host."""
    settings(up)
    up.apply(name, ingress(name, f"{name}.test", path, backend, **annotations))
    return f"{name}.test"


def test_an_alias_may_be_a_pattern_that_comes_and_goes_without_a_reload(up: Up) -> None:
    own(up, "aliased", server_alias=r"~^pr-\d+\.aliased\.test$")
    before = up.status()["reloads"]
    assert ask(up, "pr-7.aliased.test").status == 200
    assert ask(up, "pr-x.aliased.test").status == 404
    own(up, "aliased", server_alias="~^qa-")
    assert (ask(up, "pr-7.aliased.test").status, ask(up, "qa-1.test").status) == (404, 200)
    own(up, "aliased")
    assert ask(up, "qa-1.test").status == 404
    assert up.status()["reloads"] == before


def test_a_temporal_redirect_has_its_own_status(up: Up) -> None:
    host = own(up, "moved", temporal_redirect="http://other.test/", temporal_redirect_code="307")
    assert ask(up, host).status == 307


def test_redirects_name_the_port_where_the_annotation_says_so(up: Up) -> None:
    host = own(up, "ported", path="/sub/", use_port_in_redirects="true")
    assert ask(up, host, "/sub").getheader("Location") == f"http://ported.test:{up.http}/sub/"


def test_redirects_to_a_path_stay_relative_where_the_annotation_says_so(up: Up) -> None:
    host = own(up, "relative", path="/sub/", relative_redirects="true")
    assert ask(up, host, "/sub?a=b").getheader("Location") == "/sub/?a=b"


def test_requests_go_to_the_address_of_the_service_where_the_annotation_says_so(up: Up) -> None:
    with refusing() as refused:
        behind = service("behind", refused.port)
        behind[0]["spec"].update(clusterIP="127.0.0.1", ports=[{"name": "http", "port": backend_port(up)}])
        rule = ingress("behind", "behind.test", backend="behind", service_upstream="true")
        rule["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = {"name": "http"}
        settings(up)
        up.apply("behind", behind, rule)
        assert seen(ask(up, "behind.test"))["backend"] == "echo"


def test_redirects_of_the_backend_are_changed_as_the_annotations_say(up: Up) -> None:
    host = own(up, "inside", proxy_redirect_from="http://inside.test/", proxy_redirect_to="http://outside.test/")
    assert ask(up, host, X_Say="302|Location=http://inside.test/a").getheader("Location") == "http://outside.test/a"


def test_the_session_cookie_has_the_domain_of_the_annotation(up: Up) -> None:
    host = own(up, "domain", affinity="cookie", session_cookie_domain="shop.test")
    assert "Domain=shop.test" in (ask(up, host).getheader("Set-Cookie") or "")


def test_a_subset_has_as_many_endpoints_as_the_annotation_says(up: Up) -> None:
    with servers("a", "b", "c", "d") as four:
        ports = [one.port for one in four]
        up.apply("four", service("four", *ports), service("all", *ports))
        by_uri = {"upstream_hash_by": "$request_uri", "upstream_hash_by_subset": "true"}
        one, every = own(up, "of-one", "four", **by_uri, upstream_hash_by_subset_size="1"), own(up, "of-all", "all")
        assert len({seen(ask(up, one))["backend"] for _ in range(12)}) == 1
        assert len({seen(ask(up, every))["backend"] for _ in range(12)}) > 1


def test_clients_of_the_older_allow_list_are_not_limited(up: Up) -> None:
    limited = {"limit_rpm": "1", "limit_burst_multiplier": "1"}
    host = own(up, "limited", **limited)
    assert 503 in {ask(up, host).status for _ in range(4)}
    host = own(up, "unlimited", **limited, limit_whitelist="127.0.0.0/8")
    assert {ask(up, host).status for _ in range(4)} == {200}


def test_a_client_that_is_not_known_is_sent_back_by_the_parameter_of_the_annotation(up: Up, guard: Server) -> None:
    asked = {"auth_url": f"http://127.0.0.1:{guard.port}/check", "auth_signin": "http://login.test/in"}
    host = own(up, "signing", **asked, auth_signin_redirect_param="back")
    assert (ask(up, host, X_Say="401").getheader("Location") or "").startswith("http://login.test/in?back=http://")


def test_headers_of_the_authentication_service_reach_the_backend(up: Up) -> None:
    with Server("teller", lambda _: Reply(200, [("X-User", "ann"), ("X-Other", "b")])) as teller:
        host = own(up, "told", auth_url=f"http://127.0.0.1:{teller.port}/check", auth_response_headers="X-User")
        names = dict(seen(ask(up, host))["headers"])
        assert (names.get("X-User"), names.get("X-Other")) == ("ann", None)


def test_answers_of_the_authentication_service_are_kept_as_long_as_the_annotation_says(up: Up) -> None:
    with Server("teller", lambda _: Reply(200)) as teller:
        cached = {"auth_url": f"http://127.0.0.1:{teller.port}/check", "auth_cache_key": "$remote_addr"}
        for name, more, questions in (("kept", {}, 1), ("refusals", {"auth_cache_duration": "401 5m"}, 3)):
            host, before = own(up, name, **cached, **more), len(teller.requests)
            assert {ask(up, host).status for _ in range(3)} == {200}
            assert len(teller.requests) - before == questions


def test_a_backend_that_takes_no_more_gives_504_after_the_time_of_the_annotation(up: Up) -> None:
    with Connections(lambda sock: time.sleep(30)) as deaf:  # for longer than the annotation says, and then it is over
        up.apply("deaf", service("deaf", deaf.port))
        host = own(up, "sending", "deaf", proxy_send_timeout="1", proxy_read_timeout="20", proxy_body_size="0")
        connection = http.client.HTTPConnection("127.0.0.1", up.http, timeout=15)
        with closing(connection):
            connection.request("POST", "/", body=bytes(16 * 2**20), headers={"Host": host})
            assert connection.getresponse().status == 504


def test_the_index_of_fastcgi_is_that_of_the_annotation(up: Up) -> None:
    own(up, "pages", backend_protocol="FCGI", fastcgi_index="main.php")
    assert "fastcgi_index main.php;" in up.configuration().replace('"', "")


def test_ciphers_are_chosen_by_the_client_where_the_annotation_says_so(up: Up) -> None:
    own(up, "choosing", ssl_prefer_server_ciphers="false")
    assert "ssl_prefer_server_ciphers off;" in up.configuration()


def test_samesite_none_is_left_out_for_browsers_that_read_it_wrongly(up: Up) -> None:
    sticky = {"affinity": "cookie", "session_cookie_samesite": "None"}
    host = own(up, "sticky", **sticky, session_cookie_conditional_samesite_none="true")
    assert "SameSite=None" in (ask(up, host, User_Agent="curl/8").getheader("Set-Cookie") or "")
    assert "SameSite" not in (ask(up, host, User_Agent=CHROME_50.replace("50", "51")).getheader("Set-Cookie") or "?")


def test_headers_that_other_origins_may_send_are_those_listed(up: Up) -> None:
    host = own(up, "shared", enable_cors="true", cors_allow_headers="X-One, X-Two")
    answer = ask(up, host, method="OPTIONS", Origin="http://other.test")
    assert answer.getheader("Access-Control-Allow-Headers") == "X-One, X-Two"


def test_errors_of_the_backend_pass_where_they_are_not_to_be_intercepted(up: Up) -> None:
    assert ask(up, own(up, "replaced", custom_http_errors="418"), X_Say="418").body != b"said"  # type: ignore[attr-defined]
    host = own(up, "passed", custom_http_errors="418", disable_proxy_intercept_errors="true")
    assert ask(up, host, X_Say="418").body == b"said"  # type: ignore[attr-defined]


def test_a_request_is_tried_as_often_as_the_annotation_says(up: Up, backend: Server) -> None:
    with refusing() as one, refusing() as other:
        up.apply("mixed", service("mixed", backend.port, one.port, other.port))
        often, once = own(up, "often", "mixed"), own(up, "once", "mixed", proxy_next_upstream_tries="1")
        assert {ask(up, often).status for _ in range(6)} == {200}
        assert 502 in {ask(up, once).status for _ in range(6)}


def test_copies_have_the_host_that_is_asked_for_and_no_body_where_it_is_off(up: Up) -> None:
    with Server("copies") as copies:
        target = f"http://127.0.0.1:{copies.port}/copy"
        host = own(up, "copied", mirror_target=target, mirror_host="copy.test", mirror_request_body="off")
        assert ask(up, host, method="POST", Content_Length="0").status == 200
        until(lambda: copies.requests)
        assert copies.requests[0].header("Host") == "copy.test"
        assert "mirror_request_body off;" in up.configuration()


def test_requests_of_an_ingress_are_not_logged_where_its_annotation_says_so(up: Up) -> None:
    quiet, file = own(up, "quiet", enable_access_log="false"), up.run / "logs" / "access.log"
    settings(up, log_format_upstream="line $request_uri")
    assert ask(up, quiet, "/unlogged").status == 200
    assert ask(up, "plain.test", "/logged").status == 200
    until(lambda: "line /logged" in (file.read_text() if file.exists() else ""))
    assert "/unlogged" not in file.read_text()


def test_connections_to_an_authentication_service_are_kept_as_asked_for(up: Up, guard: Server) -> None:
    url = f"http://127.0.0.1:{guard.port}/check"
    kept = {"auth_keepalive": "5", "auth_keepalive_requests": "6", "auth_keepalive_timeout": "7"}
    assert ask(up, own(up, "asked", auth_url=url, **kept)).status == 200
    assert "keepalive 5;\n        keepalive_requests 6;\n        keepalive_timeout 7s;" in up.configuration()


def test_a_canary_gives_no_cookies_with_the_legacy_behaviour(up: Up) -> None:
    settings(up)
    canary = {"backend": "echo", "canary": "true", "canary_weight": "100"}
    for behaviour in ("sticky", "legacy"):
        host = f"{behaviour}-canary.test"
        rule = ingress(f"{behaviour}-new", host, **canary, affinity_canary_behavior=behaviour)
        up.apply(behaviour, ingress(behaviour, host, affinity="cookie"), rule)
    assert ask(up, "sticky-canary.test").getheader("Set-Cookie")
    assert ask(up, "legacy-canary.test").getheader("Set-Cookie") is None


# -- names -------------------------------------------------------------------------------------------------------------


def test_names_have_no_ipv6_addresses_where_the_configmap_says_so() -> None:
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    with Server("six", listener=listener) as server, Dns(["::1"]) as names:
        spec = {"type": "ExternalName", "externalName": "six.test", "ports": [{"port": 80, "targetPort": server.port}]}
        meta = {"name": "six", "namespace": "default"}
        outside: Manifest = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}
        with Up("--configmap", "default/settings", "--resolver", f"127.0.0.1:{names.port}") as up:
            up.start(outside, ingress("six", "six.test", backend="six"))
            until(lambda: up.backend_of("six.test") == "six")
            up.apply("settings", configmap(disable_ipv6_dns="true"))
            until(lambda: up.backend_of("six.test") == "503")
