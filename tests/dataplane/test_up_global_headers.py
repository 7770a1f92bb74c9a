"""Headers that the ConfigMap adds, sets and hides, and the addresses that it asks for, with a real NGINX."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from dataplane import until
from up import Manifest, Up, configmap, ingress, running


def headers(name: str, **data: str) -> Manifest:
    """A ConfigMap of headers."""
    named = {key.replace("_", "-"): value for key, value in data.items()}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": named}


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    found = [ingress("main", "main.test", "/app"), ingress("upper", "upper.test", limit_rps="1000")]
    with running("--configmap", "default/settings", manifests=lambda _: found) as (one, _):
        yield one


def answer(up: Up, host: str, path: str = "/app") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", up.http, timeout=20)
    with closing(connection):
        connection.request("GET", path, headers={"Host": host, "Connection": "close"})
        found = connection.getresponse()
        found.read()
        return found


def test_add_headers_are_on_every_answer_and_replace_those_of_the_backend(up: Up) -> None:
    up.apply("settings", configmap(add_headers="default/answers"))
    assert answer(up, "main.test").getheader("X-Answer") is None
    assert any(row["reason"] == "NotFound" for row in up.api("findings"))
    up.apply("answers", headers("answers", X_Answer="$request_method of $ingress_name", Content_Type="text/x-own"))
    for host, path, status in (("main.test", "/app", 200), ("main.test", "/none", 404), ("nobody.test", "/", 404)):
        found = answer(up, host, path)
        assert (found.status, found.getheader("Content-Type")) == (status, "text/x-own")
    assert answer(up, "upper.test").msg.get_all("X-Answer") == ["GET of upper"]
    # a change of that ConfigMap alone counts at once
    up.apply("answers", headers("answers", X_Answer="new"))
    assert answer(up, "main.test").getheader("X-Answer") == "new"
    up.apply("settings", configmap())
    assert answer(up, "main.test").getheader("X-Answer") is None


def test_proxy_set_headers_take_the_place_of_the_usual_ones_in_every_location(up: Up) -> None:
    up.apply(
        "settings",
        configmap(proxy_set_headers="default/requests"),
        headers("requests", X_Real_IP="nobody", X_Gone="", X_Own='"$http_x_client"; #'),
    )
    for host in ("main.test", "upper.test"):
        status, body = up.get(host, "/app", {"X-Gone": "theirs", "X-Own": "theirs", "X-Client": "me"})
        seen = {name.lower(): value for name, value in json.loads(body)["headers"]}
        assert status == 200
        assert "x-gone" not in seen
        assert (seen["x-real-ip"], seen["x-own"]) == ("nobody", '"me"; #')
        assert seen["x-forwarded-for"] == "127.0.0.1"


def test_the_server_header_of_a_backend_passes_only_where_it_is_allowed(up: Up) -> None:
    up.apply("settings", configmap(allow_backend_server_header="true"))
    assert answer(up, "main.test").getheader("Server") is None
    up.apply("settings", configmap(server_tokens="true"))
    assert str(answer(up, "main.test").getheader("Server")).startswith("nginx")
    up.apply("settings", configmap(allow_backend_server_header="true", server_tokens="true"))
    assert not str(answer(up, "main.test").getheader("Server")).startswith("nginx")


def test_an_address_of_the_command_line_is_not_moved(up: Up) -> None:
    up.apply("settings", configmap(bind_address="127.0.0.9"))
    assert answer(up, "main.test").status == 200
    (row,) = [row for row in up.api("findings") if "bind-address" in row["field"]]
    assert row["reason"] == "NoEffect"


def connects(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 2).close()
    except OSError:
        return False
    return True


def test_bind_address_takes_the_place_of_all_addresses_and_one_that_is_not_here_changes_nothing() -> None:
    flags = ("--configmap", "default/settings", "--http-address", "0.0.0.0")
    with running(*flags, manifests=lambda _: [ingress("main", "main.test")]) as (up, _):
        assert connects("127.0.0.8", up.http)
        up.apply("settings", configmap(bind_address="127.0.0.1, 127.0.0.9"))
        assert connects("127.0.0.1", up.http)
        assert connects("127.0.0.9", up.http)
        until(lambda: not connects("127.0.0.8", up.http))
        up.apply("settings", configmap(bind_address="127.0.0.1, 192.0.2.77"))
        until(lambda: any(row["reason"] == "Rejected" for row in up.api("findings")))
        up.apply("more", ingress("more", "more.test", limit_rps="9"))
        assert up.backend_of("more.test") == "echo"
        assert connects("127.0.0.9", up.http)
        up.apply("settings", configmap())
        until(lambda: connects("127.0.0.8", up.http))
        assert not any(row["reason"] == "Rejected" for row in up.api("findings"))
