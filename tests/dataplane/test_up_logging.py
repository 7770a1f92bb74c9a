"""The access log and the error log of `tidegate up`, as the ConfigMap asks for them."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from dataplane import Server, until
from up import Up, configmap, ingress, running


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    with running("--configmap", "default/settings", manifests=lambda _: [ingress("main", "log.test", "/app")]) as (
        one,
        _,
    ):
        yield one


@pytest.fixture
def folder(up: Up) -> Path:
    """For logs; NGINX's master opens them."""
    made = up.base / "logs"
    made.mkdir(exist_ok=True)
    return made


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def logged(up: Up, path: str, file: Path | None = None) -> str:
    """The line that a request leaves."""
    assert up.get("log.test", path)[0] == 200
    wanted = file or up.run / "logs" / "access.log"
    found: list[str] = []
    until(lambda: bool(found.extend(line for line in lines(wanted) if path in line) or found))
    return found[-1]


def test_http_access_log_path_wins_over_access_log_path(up: Up, folder: Path) -> None:
    every, http = folder / "all.log", folder / "http.log"
    up.apply("settings", configmap(access_log_path=str(every)))
    assert "GET /app/one HTTP/1.1" in logged(up, "/app/one", every)
    up.apply("settings", configmap(access_log_path=str(every), http_access_log_path=str(http)))
    assert "GET /app/two HTTP/1.1" in logged(up, "/app/two", http)
    assert not any("/app/two" in line for line in lines(every))


def test_every_variable_of_the_retired_controller_has_its_value(up: Up) -> None:
    names = [
        "proxy_upstream_name",
        "proxy_alternative_upstream_name",
        "namespace",
        "ingress_name",
        "service_name",
        "service_port",
        "location_path",
        "pass_access_scheme",
        "pass_port",
        "pass_server_port",
        "best_http_host",
        "the_real_ip",
        "req_id",
    ]
    written = "{" + ", ".join(f'"{name}": "${name}"' for name in names) + ', "uri": "$request_uri", "a": "$arg_a"}'
    up.apply("settings", configmap(log_format_upstream=written, log_format_escape_json="true"))
    found = json.loads(logged(up, "/app/vars?a=%22"))
    assert up.get("log.test", '/app/quoted?a="')[0] == 200
    log = up.run / "logs" / "access.log"
    until(lambda: any("/app/quoted?a" in line for line in lines(log)))
    (quoted,) = (json.loads(line) for line in lines(log) if "/app/quoted?a" in line)
    assert len(found.pop("req_id")) == 32
    assert found == {
        "proxy_upstream_name": "default-echo-80",
        "proxy_alternative_upstream_name": "",
        "namespace": "default",
        "ingress_name": "main",
        "service_name": "echo",
        "service_port": "80",
        "location_path": "/app",
        "pass_access_scheme": "http",
        "pass_port": str(up.http),
        "pass_server_port": str(up.http),
        "best_http_host": "log.test",
        "the_real_ip": "127.0.0.1",
        "uri": "/app/vars?a=%22",
        "a": "%22",
    }
    assert quoted["a"] == '"'


def test_skipped_uris_leave_no_line(up: Up) -> None:
    up.apply("settings", configmap(skip_access_log_urls=r"/app/quiet, ~^/app/prob\w\?, default, " + "/" + "x" * 300))
    for path in ("/app/quiet", "/app/probe?a=1"):
        assert up.get("log.test", path)[0] == 200
    # the query is part of the URI, and a request that follows shows that nothing more is to come
    logged(up, "/app/quiet?more")
    logged(up, "/app/probe")
    assert not [line for line in lines(up.run / "logs" / "access.log") if "/app/quiet " in line or "probe?" in line]


def test_disable_http_access_log_leaves_no_line(up: Up) -> None:
    up.apply("settings", configmap(disable_http_access_log="true"))
    assert up.get("log.test", "/app/unseen")[0] == 200
    up.apply("settings", configmap())
    logged(up, "/app/seen")
    assert not any("/app/unseen" in line for line in lines(up.run / "logs" / "access.log"))


def test_access_log_params_collect_and_compress_lines(up: Up, folder: Path) -> None:
    file = folder / "packed.log.gz"
    up.apply("settings", configmap(http_access_log_path=str(file), access_log_params="buffer=64k flush=1s gzip=9"))
    assert up.get("log.test", "/app/packed")[0] == 200
    until(lambda: file.stat().st_size > 0)
    assert "/app/packed" in gzip.decompress(file.read_bytes()).decode()


def test_error_log_path_is_written_besides_the_own_log(up: Up, folder: Path) -> None:
    file = folder / "errors.log"
    up.apply("settings", configmap(error_log_path=str(file), error_log_level="info"))
    until(lambda: any("client" in line or "[notice]" in line for line in lines(file)))
    assert lines(up.run / "logs" / "error.log")


def test_syslog_gets_both_logs(up: Up) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(20)
        port = server.getsockname()[1]
        data = configmap(enable_syslog="true", syslog_host="127.0.0.1", syslog_port=str(port), error_log_level="info")
        up.apply("settings", data)
        assert up.get("log.test", "/app/sys")[0] == 200
        severities: set[bytes] = set()
        while not ({b"<190>"} < severities):  # local7.info is the access log
            datagram = server.recv(65536)
            severities.add(datagram[: datagram.index(b">") + 1])


def test_debug_connections_are_logged_in_full(up: Up) -> None:
    own = up.run / "logs" / "error.log"
    up.apply("settings", configmap(debug_connections="127.0.0.1, elsewhere"))
    assert up.get("log.test", "/app/debugged")[0] == 200
    until(lambda: any("[debug]" in line and "/app/debugged" in line for line in lines(own)))
    (row,) = [row for row in up.api("findings") if "debug-connections" in row["field"]]
    assert "elsewhere" in row["message"]


@pytest.mark.parametrize(
    "data",
    [
        {"access_log_path": "/no/such/folder/access.log"},
        {"error_log_path": "/no/such/folder/error.log"},
        {"enable_syslog": "true", "syslog_host": "no.such.host.invalid"},
    ],
)
def test_a_target_that_cannot_be_had_leaves_the_settings_before_in_force(up: Up, data: dict[str, str]) -> None:
    up.apply("settings", configmap())
    up.apply("settings", configmap(**data, keep_alive="7"))
    until(lambda: any(row["reason"] == "Rejected" for row in up.api("findings")))
    up.apply("more", ingress("more", "more.test", limit_rps="77"))
    assert up.backend_of("more.test") == "echo"
    logged(up, f"/app/{next(iter(data))}")
    up.delete("more")


def error_lines(up: Up, words: str) -> list[str]:
    return [line for line in lines(up.run / "logs" / "error.log") if words in line]


def test_enable_rewrite_log_tells_the_steps_of_rewriting(up: Up) -> None:
    up.apply("settings", configmap())
    rule = {"rewrite_target": "/new/$1", "use_regex": "true"}
    up.apply("rewriting", ingress("loud", "loud.test", "/old/(.*)", **rule, enable_rewrite_log="true"))
    up.apply("quiet", ingress("quiet", "quiet.test", "/old/(.*)", **rule))
    assert up.get("quiet.test", "/old/quiet")[0] == 200
    assert up.get("loud.test", "/old/lo%0Aud?a=b")[0] == 200
    until(lambda: error_lines(up, 'rewritten data: "/new/lo", args: "a=b"'))
    assert error_lines(up, '"/old/(.*)" matches "/old/lo?ud"')  # a line end does not begin a line
    assert not error_lines(up, "/new/quiet")


def test_questions_to_an_authentication_service_are_logged_only_where_that_is_asked_for(up: Up) -> None:
    def logged_lines(path: str) -> list[str]:
        return [line for line in lines(up.run / "logs" / "access.log") if path in line]

    with Server("auth") as auth:
        up.apply("guarded", ingress("guarded", "guarded.test", auth_url=f"http://127.0.0.1:{auth.port}/ask"))
        for setting, path, count in (({}, "/one", 1), ({"enable_auth_access_log": "true"}, "/two", 2)):
            up.apply("settings", configmap(**setting, error_log_level="warn"))
            assert up.get("guarded.test", path)[0] == 200
            until(lambda count=count, path=path: len(logged_lines(path)) == count)
    name = "nginx_ingress_controller_requests"  # a question is not counted as a request
    until(lambda: sum(row[2] for row in up.samples() if row[0] == name and row[1]["ingress"] == "guarded") == 2)
