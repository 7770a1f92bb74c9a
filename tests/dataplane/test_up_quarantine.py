"""`tidegate up` when NGINX refuses a configuration: only what is at fault is left out, with NGINX's own words."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from dataplane import Server, until
from pickynginx import like, picky_nginx
from steadyload import Load
from up import Up, configmap, ingress, service

FLAGS = ("--configmap", "default/settings")
BAD_LINE = ("line", r"^ +proxy_buffer_size 13312;")  # an Ingress with proxy-buffer-size: 13k
BAD_MUTE = ("none", r"^ +proxy_buffer_size 14336;")
BAD_SERVER = ("none", r"^ +set .mute 1;")  # an Ingress with that server-snippet
BAD_SETTINGS = ("line", r"keepalive_timeout 123s")


@pytest.fixture
def binary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tgn", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield picky_nginx(Path(folder), BAD_LINE, BAD_MUTE, BAD_SERVER, BAD_SETTINGS)


@pytest.fixture
def up(binary: Path) -> Iterator[Up]:
    with Server("echo") as server, Up(*FLAGS, binary=binary) as one:
        yield one.start(service("echo", server.port), ingress("fine", "fine.test"))


def bad(name: str, size: str = "13k", **more: str) -> dict[str, object]:
    return ingress(name, f"{name}.test", proxy_buffer_size=size, **more)


def good(number: int) -> dict[str, object]:
    return ingress(f"good{number}", f"good{number}.test", limit_rps=str(20 + number))


@pytest.mark.parametrize(("size", "words"), [("13k", "there is no liking"), ("14k", "something is not to be liked")])
def test_only_the_ingress_at_fault_is_rejected(up: Up, size: str, words: str) -> None:
    with Load(up, "fine.test") as load:
        status = up.apply("batch", bad("bad", size), *(good(number) for number in range(5)))
    assert not load.failures
    assert [up.backend_of(f"good{number}.test") for number in range(5)] == ["echo"] * 5
    row = up.ingress("bad")
    assert (row["state"], row["servedGeneration"]) == ("rejected", 0)
    assert any(item["reason"] == "Rejected" and words in item["message"] for item in row["findings"])
    assert up.get("bad.test")[0] in (404, 503)
    assert up.ingress("good0")["state"] == "applied"
    assert status["reloads"] == 1  # configurations are tried without a reload
    until(lambda: up.status()["revision"]["wanted"] == up.status()["revision"]["running"])


def test_several_faults_at_once_are_found_each(up: Up) -> None:
    up.apply("batch", bad("one"), bad("two", "14k"), bad("three", "13k", limit_rps="9"), good(0), good(1))
    states = {row["name"]: row["state"] for row in up.api("ingresses")}
    assert states == {
        "fine": "applied",
        "good0": "applied",
        "good1": "applied",
        "one": "rejected",
        "two": "rejected",
        "three": "rejected",
    }
    assert up.backend_of("good1.test") == "echo"


def test_a_server_profile_and_a_policy_at_fault_are_told_apart(up: Up) -> None:
    up.apply("settings", configmap(allow_snippet_annotations="true", annotations_risk_level="Critical"))
    mute = ingress("mute", "mute.test", server_snippet="set $mute 1;")
    loud = ingress("loud", "loud.test", server_snippet="return 418;")
    up.apply("batch", mute, loud, bad("bad", "14k"), good(0))
    states = {row["name"]: row["state"] for row in up.api("ingresses")}
    assert states == {"fine": "applied", "mute": "rejected", "loud": "applied", "bad": "rejected", "good0": "applied"}
    assert up.get("loud.test")[0] == 418


def test_the_last_accepted_revision_stays_until_the_fault_is_mended(up: Up) -> None:
    up.apply("shop", ingress("shop", "shop.test", "/old"))
    assert up.backend_of("shop.test", "/old") == "echo"
    up.apply("shop", ingress("shop", "shop.test", "/new", proxy_buffer_size="13k"))
    assert (up.backend_of("shop.test", "/old"), up.get("shop.test", "/new")[0]) == ("echo", 404)
    row = up.ingress("shop")
    assert (row["state"], row["generation"], row["servedGeneration"]) == ("rejected", 2, 1)
    up.apply("shop", ingress("shop", "shop.test", "/new", proxy_buffer_size="12k"))
    assert (up.get("shop.test", "/old")[0], up.backend_of("shop.test", "/new")) == (404, "echo")
    row = up.ingress("shop")
    assert (row["state"], row["generation"], row["servedGeneration"]) == ("applied", 3, 3)


def test_a_second_ingress_with_a_refused_policy_is_rejected_too_and_nothing_stands_still(up: Up) -> None:
    up.apply("bad", bad("bad"))
    reloads = up.status()["reloads"]
    up.apply("second", bad("second"))
    assert up.ingress("second")["state"] == "rejected"
    up.apply("after", good(0))
    assert up.backend_of("good0.test") == "echo"
    assert up.status()["reloads"] == reloads + 1


def test_a_policy_that_nginx_took_once_and_takes_no_more_costs_only_those_that_use_it(up: Up, binary: Path) -> None:
    like(binary)
    up.apply("shop", ingress("shop", "shop.test", "/old", proxy_buffer_size="13k"))
    up.apply("shop", ingress("shop", "shop.test", "/new", proxy_buffer_size="13k"))
    like(binary, BAD_LINE)
    up.apply("other", good(0))
    assert up.backend_of("good0.test") == "echo"
    until(lambda: up.ingress("shop")["state"] == "rejected")
    assert [up.get("shop.test", path)[0] for path in ("/old", "/new")] == [404, 404]
    revision = up.status()["revision"]
    up.apply("more", good(1))
    assert up.status()["revision"]["running"] == revision["wanted"] + 1  # and nobody goes round in circles
    up.apply("shop", ingress("shop", "shop.test", "/new"))
    assert up.backend_of("shop.test", "/new") == "echo"


def test_a_refused_revision_is_not_what_a_later_run_goes_back_to(up: Up) -> None:
    up.apply("shop", ingress("shop", "shop.test", "/old"))
    up.apply("shop", ingress("shop", "shop.test", "/new", proxy_buffer_size="13k"))
    assert up.stop() == 0
    up.spawn()
    up.wait_ready()
    assert (up.backend_of("shop.test", "/old"), up.get("shop.test", "/new")[0]) == ("echo", 404)
    row = up.ingress("shop")
    assert (row["state"], row["servedGeneration"] > 0) == ("rejected", True)


def test_a_refused_setting_keeps_the_settings_before_with_a_finding(up: Up) -> None:
    up.apply("settings", configmap(keep_alive="77"))
    up.apply("settings", configmap(keep_alive="123"))
    conf = (up.run / "conf" / "nginx.conf").read_text()
    assert "keepalive_timeout 77s" in conf
    assert any(item["reason"] == "Rejected" and "no liking" in item["message"] for item in up.api("findings"))
    up.apply("more", good(0))  # life goes on
    assert up.backend_of("good0.test") == "echo"
    assert "keepalive_timeout 77s" in (up.run / "conf" / "nginx.conf").read_text()
    up.apply("settings", configmap(keep_alive="78"))
    assert "keepalive_timeout 78s" in (up.run / "conf" / "nginx.conf").read_text()
    assert not any(item["reason"] == "Rejected" for item in up.api("findings"))


def test_faults_in_the_settings_and_in_an_ingress_at_once_are_told_apart(up: Up) -> None:
    up.apply("both", configmap(keep_alive="123"), bad("bad"), good(0))
    assert (up.ingress("bad")["state"], up.ingress("good0")["state"]) == ("rejected", "applied")
    assert up.backend_of("good0.test") == "echo"
    assert any(item["object"][0] == "ConfigMap" and item["reason"] == "Rejected" for item in up.api("findings"))


def test_faults_at_the_very_first_start_leave_the_rest_served(binary: Path) -> None:
    with Server("echo") as server, Up(*FLAGS, binary=binary) as up:
        up.start(service("echo", server.port), configmap(keep_alive="123"), bad("one"), bad("two", "14k"), good(0))
        assert up.backend_of("good0.test") == "echo"
        states = {row["name"]: row["state"] for row in up.api("ingresses")}
        assert states == {"good0": "applied", "one": "rejected", "two": "rejected"}
        assert any(item["object"][0] == "ConfigMap" for item in up.api("findings"))


def test_an_nginx_that_takes_nothing_at_all_is_a_clear_error(binary: Path) -> None:
    like(binary, ("none", "worker_processes"))
    with Up(*FLAGS, binary=binary) as up:
        up.spawn()
        assert up.process is not None
        assert up.process.wait(40) == 1
        assert "NGINX does not take its configuration: something is not to be liked" in up.said()
        assert up.nothing_left()
