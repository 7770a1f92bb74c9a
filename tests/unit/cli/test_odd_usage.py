"""Odd arguments: the command ends with a message that names what was found and what is allowed, never with a trace."""

from __future__ import annotations

import os
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tidegate.cli.main import app
from typer.testing import CliRunner, Result

WEBHOOK_FILES = ("--validating-webhook-certificate", "c", "--validating-webhook-key", "k")
EXAMPLES = Path(__file__).parents[3] / "examples"
CONFIGMAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n"


def tidegate(*arguments: str | Path) -> Result:
    found = CliRunner().invoke(app, [str(item) for item in arguments], prog_name="tidegate")
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--health-check-path", "healthz"), "--health-check-path: found 'healthz'"),
        (("--health-check-path", "/{x"), "--health-check-path: found '/{x'"),
        (("--resolver", "ns.example.com"), "--resolver: found 'ns.example.com', allowed: an IP address"),
        (("--resolver", "[::1]:0"), "--resolver: found port 0"),
        (("--healthz-port", "0"), "--healthz-port"),
        (("--https-port", "65536"), "--https-port"),
        (("--http-port", "8443"), "--http-port and --https-port: found 8443 for both"),
        (("--stream-port", "-1"), "--stream-port"),
        (("--workers", "-1"), "--workers"),
        (("--metrics-max-series", "-1"), "--metrics-max-series"),
        (("--time-buckets", "3,2"), "--time-buckets: found '3,2', allowed: growing numbers"),
        (("--watch-namespace-selector", "a in"), "--watch-namespace-selector"),
        (("--validating-webhook", ":8443"), "--validating-webhook-certificate"),
        (("--validating-webhook", "x", *WEBHOOK_FILES), "--validating-webhook: found 'x', allowed: HOST:PORT"),
    ],
)
def test_a_value_that_cannot_be_is_wrong_usage(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    found = tidegate("up", tmp_path, "--run-dir", tmp_path / "r", *arguments)
    assert (found.exit_code, found.stdout) == (2, "")
    assert words in found.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("command", ["up", "check", "render"])
def test_a_folder_that_cannot_be_one_is_wrong_usage(command: str) -> None:
    found = tidegate(command, f"{__file__}/below")
    assert (found.exit_code, "cannot be reached: Not a directory" in found.stderr) == (2, True)


def test_a_file_cannot_be_served() -> None:
    found = tidegate("up", __file__)
    assert (found.exit_code, "is not a folder" in found.stderr) == (2, True)


def test_nothing_runs_in_what_is_no_run_directory() -> None:
    found = tidegate("up", "--stop", "--run-dir", f"{__file__}/below")
    assert (found.exit_code, "nothing runs in" in found.stderr) == (1, True)


def test_flags_of_a_cluster_are_taken_with_a_word_of_why(tmp_path: Path) -> None:
    flags = ["--kubeconfig", "k", "--election-id=e", "--update-status=false", "--publish-status-address", "192.0.2.1"]
    found = tidegate("up", "--stop", "--run-dir", tmp_path, *flags, "--no-update-status-on-shutdown")
    assert found.exit_code == 1
    notes = [line for line in found.stderr.splitlines() if "there is no cluster" in line]
    assert len(notes) == 5, found.stderr
    assert any("--kubeconfig" in line for line in notes)


def test_an_empty_folder_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    found = tidegate("check", tmp_path)
    assert (found.exit_code, "there is no file *.yaml, *.yml, *.json" in found.stdout) == (0, True)
    (tmp_path / "a.yaml").write_text(CONFIGMAP)
    assert tidegate("check", tmp_path).stdout == ""


def test_nothing_on_stdin_is_said_to_be_nothing() -> None:
    found = CliRunner().invoke(app, ["check", "-"], input="---\n# nothing\n")
    assert (found.exit_code, "there is no object in it" in found.stdout) == (0, True)


def test_what_a_pipe_says_is_checked() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"kind: [\n")
    os.close(writing)
    found = tidegate("check", f"/dev/fd/{reading}")
    os.close(reading)
    assert (found.exit_code, "UnreadableFile" in found.stdout) == (1, True)


@pytest.mark.parametrize("command", [("check",), ("render",), ("explain", "http://shop.example.com/", "--dir")])
def test_the_examples_hold_for_each_command_with_the_flag_that_their_readme_names(command: tuple[str, ...]) -> None:
    flag = ("--endpoint-pool-allowed-cidrs", "127.0.0.0/8")
    assert flag[0] in (EXAMPLES / "README.md").read_text()
    for folder in ("demo", "endpoints"):
        found = tidegate(*command, EXAMPLES / folder, *flag)
        assert (found.exit_code, "error" in found.stderr.replace("0 errors", "")) == (0, False), found.stderr


def test_explain_tells_what_is_wrong_with_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: [\n")
    found = tidegate("explain", "http://shop.test/", "--dir", tmp_path)
    assert (found.exit_code, "a.yaml:" in found.stderr) == (0, True)


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.split("/")[1]))
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def other_server() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("status", [200, 400, 404])
def test_another_server_is_not_taken_for_tidegate(other_server: int, status: int) -> None:
    found = tidegate("explain", "http://shop.test/", "--admin", f"127.0.0.1:{other_server}/{status}")
    assert (found.exit_code, f"another server (status {status})" in found.stderr) == (1, True)


def test_an_admin_address_that_is_none_is_wrong_usage() -> None:
    found = tidegate("explain", "http://shop.test/", "--admin", "ftp://x")
    assert (found.exit_code, "--admin: found 'ftp://x', allowed: HOST:PORT" in found.stderr) == (2, True)
