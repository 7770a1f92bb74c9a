"""Lines of NGINX configuration from annotations and the ConfigMap, on a real NGINX."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dataplane import Server
from up import Load, Manifest, Up, configmap, ingress, service

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
