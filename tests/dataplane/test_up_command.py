"""`tidegate up` as a command: its errors, its output, who may run it and where."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest
from dataplane import Server, until
from otherusers import as_user, plain_environment, plain_program, python_of_others
from tidegate.agent.orphans import is_alive
from tidegate.cli.main import app
from typer.testing import CliRunner
from up import Up, ingress, running, service, tidegate

TIME = re.compile(r"^\d\d:\d\d:\d\d ")


def ended(up: Up, *more: str) -> str:
    """Runs it to its end, which must be status 1, and returns what it said."""
    up.spawn(*more)
    assert up.process is not None
    assert up.process.wait(40) == 1
    return up.said()


@pytest.mark.parametrize("which", ["http", "https", "admin"])
def test_a_busy_port_is_a_clear_error_that_names_it(which: str) -> None:
    with Up() as up, socket.create_server(("127.0.0.1", getattr(up, which))):
        said = ended(up)
        assert f"127.0.0.1:{getattr(up, which)}" in said
        assert "use" in said
        assert "Traceback" not in said
        assert up.nothing_left() if which != "admin" else not up.nginx()


def test_a_second_run_in_the_same_directory_is_refused_and_harms_nobody() -> None:
    with running(manifests=lambda port: [ingress("shop", "shop.test")]) as (up, _), Up() as second:
        second.run = up.run
        said = ended(second)
        assert up.process is not None
        assert f"in use by another tidegate (process {up.process.pid})" in said
        assert "--run-dir" in said
        second.run = second.base / "r"
        assert up.backend_of("shop.test") == "echo"
        assert up.ask_admin("/healthz")[0] == 200


def test_a_second_run_on_ports_of_the_first_is_refused() -> None:
    with running() as (up, _), Up() as second:
        second.http = up.http
        assert f"port 127.0.0.1:{up.http} is in use" in ended(second)
        assert up.get("none.test")[0] == 404


def test_a_failed_start_over_a_running_nginx_leaves_it_serving() -> None:
    with running(manifests=lambda port: [ingress("shop", "shop.test")]) as (up, _):
        up.kill()
        http = up.http
        with socket.socket() as busy:
            busy.bind(("127.0.0.1", 0))
            busy.listen()
            up.http = busy.getsockname()[1]
            assert f"127.0.0.1:{up.http}" in ended(up)
            up.http = http
        assert up.backend_of("shop.test") == "echo"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/nonexistent/folder"], "the folder of manifests /nonexistent/folder does not exist"),
        ([], "a folder of manifests is missing"),
        (["/tmp", "--host-ownership", "nobody"], "--host-ownership"),
        (["/tmp", "--configmap", "settings"], "--configmap"),
        (["/tmp", "--resolver", "127.0.0.1:x"], "--resolver"),
        (["/tmp", "--http-port", "99999"], "--http-port"),
        (["/tmp", "--log-format", "xml"], "--log-format"),
    ],
)
def test_wrong_usage_ends_with_two_and_says_why(arguments: list[str], words: str, tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["up", *arguments, "--run-dir", str(tmp_path / "r")])
    assert (found.exit_code, found.stdout) == (2, "")
    assert words in found.stderr


def test_an_nginx_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    found = tidegate("up", tmp_path, "--run-dir", tmp_path / "r", "--nginx-binary", "no-such-nginx")
    assert (found.returncode, "'no-such-nginx' was not found on PATH" in found.stderr) == (1, True)


def test_the_run_directory_is_closed_to_others() -> None:
    with running() as (up, _):
        assert up.run.stat().st_mode & 0o777 == 0o700
        assert all(path.stat().st_mode & 0o077 == 0 for path in up.run.iterdir() if path.is_dir())
        assert (up.run / "tls" / "default.pem").stat().st_mode & 0o077 == 0


def test_an_ordinary_user_can_run_it() -> None:
    python = python_of_others()
    with Server("echo") as server, Up() as up:
        os.chown(up.base, 65534, 65534)
        up.before, up.program, up.env = as_user(65534, 65534), plain_program(python), plain_environment(up.base)
        up.start(service("echo", server.port), ingress("shop", "shop.test", limit_rps="50"))
        assert up.backend_of("shop.test") == "echo"
        assert {path.stat().st_uid for path in [up.run, *up.run.iterdir()]} == {65534}
        up.apply("more", ingress("more", "more.test", limit_rps="51"))
        assert up.backend_of("more.test") == "echo"
        os.kill(up.master(), signal.SIGKILL)
        until(lambda: up.backend_of("more.test") == "echo")
        assert up.stop() == 0
        assert up.nothing_left()


def test_off_a_terminal_it_writes_plain_lines_about_what_it_does() -> None:
    with running(manifests=lambda port: [ingress("shop", "shop.test")]) as (up, _):
        up.apply("more", ingress("more", "more.test", limit_rps="50"))
        until(lambda: "revision 2" in up.said())
        up.apply("data", ingress("more", "more2.test", limit_rps="50"), ingress("odd", "odd.test", backend="nowhere"))
        until(lambda: "nowhere" in up.said())
        assert up.stop() == 0
        said = up.said()
    lines = said.splitlines()
    assert "\x1b" not in said
    assert all(TIME.match(line) for line in lines), lines
    assert any(f"serving on http://127.0.0.1:{up.http}" in line for line in lines)
    assert any("shop.test/ (prefix): default/echo:80, default/shop" in line for line in lines)
    assert any(re.search(r"revision 2: Ingress default/more: reloaded in \d+ ms", line) for line in lines)
    assert any(re.search(r"revision 3: .*: pushed in \d+ ms", line) for line in lines)
    assert any(line.endswith("stopping") for line in lines)


def test_messages_can_be_json_lines() -> None:
    with Up("--log-format", "json", "--v", "1") as up:
        up.start(ingress("odd", "odd.test", backend="nowhere"))
        up.write("broken", "kind: [")
        until(lambda: "broken.yaml" in up.said())
        assert up.stop() == 0
        rows = [json.loads(line) for line in up.said().splitlines()]
    assert all({"time", "level", "logger", "message"} <= row.keys() for row in rows)
    assert any("serving on" in row["message"] for row in rows)
    assert any("nowhere" in row["message"] and row["level"] == "warning" for row in rows)
    assert any("broken.yaml" in row["message"] for row in rows)


def test_a_file_that_cannot_be_read_is_reported_although_nothing_changes() -> None:
    with running(manifests=lambda port: [ingress("shop", "shop.test")]) as (up, _):
        revision = up.status()["revision"]["wanted"]
        up.write("start", "kind: [")
        until(lambda: "start.yaml" in up.said())
        assert up.status()["revision"]["wanted"] == revision
        assert up.backend_of("shop.test") == "echo"


def test_an_agent_that_cannot_be_started_again_ends_nothing() -> None:
    with running(manifests=lambda port: [ingress("shop", "shop.test")]) as (up, _):
        lock = (up.run / "agent.lock").read_text()
        (up.run / "agent.sock").rename(up.run / "hidden.sock")  # no agent answers, but one has the lock
        until(lambda: "the agent cannot be started" in up.said(), 40)
        assert up.backend_of("shop.test") == "echo"
        (up.run / "hidden.sock").rename(up.run / "agent.sock")
        until(lambda: up.ask_admin("/healthz")[0] == 200)
        assert (up.run / "agent.lock").read_text() == lock
        assert is_alive(int(lock))
        up.apply("more", ingress("more", "more.test", limit_rps="50"))
        assert up.backend_of("more.test") == "echo"
