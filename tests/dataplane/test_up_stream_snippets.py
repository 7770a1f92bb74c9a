"""Lines that Ingresses add to the `stream` block, on a real NGINX."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from dataplane import Nginx, Server, until
from steadyload import Load
from streams import Lines, ask, entries, stream_service
from up import Manifest, Up, configmap, free_ports, ingress, service

FLAGS = ("--configmap", "default/settings", "--tcp-services-configmap", "default/tcp")
ALLOWED = {"allow_snippet_annotations": "true", "annotations_risk_level": "Critical"}


@pytest.fixture
def up(nginx: Nginx) -> Iterator[Up]:
    with Server("echo") as server, Up(*FLAGS, binary=nginx.binary) as one:
        one.write("settings", configmap(**ALLOWED))
        yield one.start(service("echo", server.port), ingress("plain", "plain.test"))


def speaking(name: str, text: str, port: int, *more: str) -> Manifest:
    """An Ingress whose lines answer at a port with a text."""
    return ingress(name, f"{name}.test", stream_snippet="\n".join([server(text, port), *more]))


def server(text: str, port: int) -> str:
    return f'server {{ listen 127.0.0.1:{port}; return "{text}\\n"; }}'


def reasons(up: Up, name: str) -> list[tuple[str, str]]:
    return [(row["severity"], row["reason"]) for row in up.ingress(name)["findings"]]


def conflict(nginx: Nginx) -> tuple[str, str]:
    """What becomes of lines that listen where others do: from 1.25.5 on NGINX takes them, and serves the first."""
    return ("warning", "Conflict") if nginx.features.version >= (1, 25, 5) else ("error", "Rejected")


def test_lines_of_an_ingress_come_and_go_with_it(up: Up) -> None:
    first, second = free_ports(2)
    up.apply("a", speaking("a", "of a", first))
    assert ask(first) == "of a"
    up.apply("a", speaking("a", "of a, later", second))
    assert (ask(first), ask(second)) == ("ConnectionRefusedError", "of a, later")
    up.delete("a")
    assert ask(second) == "ConnectionRefusedError"
    assert up.api("findings") == []


def test_a_change_of_the_lines_is_one_reload_and_of_all_else_none(up: Up) -> None:
    port = free_ports(1)[0]
    up.apply("a", speaking("a", "one", port))
    before = up.status()["reloads"]
    up.apply("a", speaking("a", "two", port))
    assert (ask(port), up.status()["reloads"]) == ("two", before + 1)
    up.apply("b", ingress("b", "b.test"))
    assert up.status()["reloads"] == before + 1


def test_same_lines_of_several_ingresses_count_once(up: Up) -> None:
    port = free_ports(1)[0]
    up.apply("a", speaking("a", "both", port), ingress("b", "b.test", stream_snippet=server("both", port)))
    assert ask(port) == "both"
    up.apply("a", ingress("b", "b.test", stream_snippet=server("both", port)))
    assert ask(port) == "both"
    assert up.api("findings") == []


def test_lines_that_nginx_refuses_reject_their_ingress_alone(up: Up) -> None:
    first, second = free_ports(2)
    up.apply("a", speaking("a", "of a", first))
    with Load(up, "plain.test") as load:
        up.apply("b", speaking("b", "of b", second, "no_such_directive;"))
        assert reasons(up, "b") == [("error", "Rejected")]
        assert "no_such_directive" in up.ingress("b")["findings"][0]["message"]
        up.apply("c", ingress("c", "c.test"))
    assert load.failures == []
    assert (ask(first), ask(second)) == ("of a", "ConnectionRefusedError")
    assert up.backend_of("c.test") == "echo"
    up.apply("b", speaking("b", "of b", second))
    assert ask(second) == "of b"
    assert up.api("findings") == []


def test_a_bad_change_leaves_the_lines_before_in_force(up: Up) -> None:
    port = free_ports(1)[0]
    up.apply("a", speaking("a", "before", port))
    up.apply("a", speaking("a", "after", port, "no_such_directive;"))
    assert ask(port) == "before"
    assert reasons(up, "a") == [("error", "Rejected")]


def test_of_two_ingresses_that_want_one_port_the_younger_does_not_get_it(up: Up, nginx: Nginx) -> None:
    port = free_ports(1)[0]
    up.apply("old", speaking("old", "of old", port))
    young = speaking("young", "of young", port)
    young["metadata"]["creationTimestamp"] = "2040-01-01T00:00:00Z"
    up.apply("young", young)
    assert ask(port) == "of old"
    assert (reasons(up, "old"), reasons(up, "young")) == ([], [conflict(nginx)])


def test_a_port_that_another_program_has_rejects_the_ingress_alone(up: Up) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        up.apply("a", speaking("a", "of a", other.getsockname()[1]))
        until(lambda: reasons(up, "a") == [("error", "Rejected")])
    up.apply("b", ingress("b", "b.test"))
    assert up.backend_of("b.test") == "echo"


def test_ports_of_tidegate_and_sockets_are_not_to_be_had(up: Up) -> None:
    for number, address in enumerate((up.http, f"127.0.0.1:{up.https}", up.admin, f"unix:{up.run}/push.sock")):
        up.apply("a", ingress("a", "a.test", stream_snippet=f'server {{ listen {address}; return "{number}"; }}'))
        assert reasons(up, "a") == [("error", "Rejected")]
    assert up.backend_of("plain.test") == "echo"


def test_the_port_of_a_tcp_service_stays_with_it(up: Up, nginx: Nginx) -> None:
    port = free_ports(1)[0]
    with Lines("lines") as lines:
        up.apply(
            "tcp",
            entries("tcp", **{f"p{port}": "default/lines:7000"}),
            stream_service("lines", (lines.address, lines.port)),
        )
        up.apply("a", speaking("a", "of a", port))
        assert ask(port) == "lines: hello"
        assert reasons(up, "a") == [conflict(nginx)]


def test_without_permission_the_lines_take_no_effect(up: Up) -> None:
    port = free_ports(1)[0]
    up.apply("a", speaking("a", "of a", port))
    assert ask(port) == "of a"
    for key, reason in (("allow_snippet_annotations", "SnippetsNotAllowed"), ("annotations_risk_level", "RiskTooHigh")):
        up.apply("settings", configmap(**{name: value for name, value in ALLOWED.items() if name != key}))
        assert reason in [one for _, one in reasons(up, "a")]
        assert ask(port) == "ConnectionRefusedError"


def test_a_word_that_is_blocked_rejects_the_ingress(up: Up) -> None:
    port = free_ports(1)[0]
    up.apply("settings", configmap(**ALLOWED, annotation_value_word_blocklist="forbidden"))
    up.apply("a", speaking("a", "forbidden", port))
    assert ask(port) == "ConnectionRefusedError"
    assert reasons(up, "a") == [("error", "BlockedWord")]


def test_lines_outlive_a_control_plane_that_is_killed(up: Up) -> None:
    port = free_ports(1)[0]
    up.apply("a", speaking("a", "of a", port))
    up.kill()
    assert ask(port) == "of a"
    up.spawn()
    up.wait_ready()
    up.apply("b", ingress("b", "b.test"))
    assert ask(port) == "of a"
    up.delete("a")
    assert ask(port) == "ConnectionRefusedError"
