"""The other commands, as a user calls them: what they print where, and with which exit status they end."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest
import yaml
from tidegate.cli.main import app
from typer.testing import CliRunner, Result
from up import TIDEGATE, Manifest, flat, ingress, service

COMMANDS = ("up", "render", "check", "explain", "annotations", "agent", "version")


def tidegate(*arguments: str | Path, stdin: str = "") -> Result:
    """The command, in this process: that is much faster."""
    return CliRunner().invoke(app, [str(item) for item in arguments], input=stdin, prog_name="tidegate")


def text(*manifests: Manifest | list[Manifest]) -> str:
    return "---\n".join(yaml.safe_dump(one) for one in flat(*manifests))


FINE = text(service("echo", 8080), ingress("shop", "shop.test", limit_rps="5", proxy_read_timeout="7"))
ODD = text(service("echo", 8080), ingress("shop", "shop.test", proxy_read_timeout="soon"))
REFUSED = text(service("echo", 8080), ingress("shop", "shop.test", "/etc/passwd"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.yaml").write_text(FINE)
    return tmp_path


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_explains_itself(command: str) -> None:
    found = tidegate(*command.split(), "--help")
    assert (found.exit_code, found.stderr) == (0, "")
    assert "Usage:" in found.stdout
    if not command:
        assert all(name in found.stdout for name in COMMANDS)


@pytest.mark.parametrize("arguments", [["no-such-command"], ["render"], ["check"], ["render", ".", "--output", "xml"]])
def test_wrong_usage_ends_with_two(arguments: list[str]) -> None:
    found = tidegate(*arguments)
    assert (found.exit_code, found.stdout) == (2, "")
    assert found.stderr


@pytest.mark.parametrize("command", ["render", "check"])
def test_a_missing_folder_is_wrong_usage(command: str) -> None:
    found = tidegate(command, "/nonexistent/folder")
    assert (found.exit_code, found.stdout) == (2, "")
    assert "/nonexistent/folder" in found.stderr


def test_render_prints_the_configuration(folder: Path) -> None:
    found = tidegate("render", folder)
    assert (found.exit_code, found.stderr) == (0, "")
    assert "location @policy_" in found.stdout
    assert "limit_req zone=" in found.stdout
    assert "shop.test" not in found.stdout  # routes are data


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_render_prints_the_model(folder: Path, output: str) -> None:
    found = tidegate("render", folder, "--output", output)
    assert (found.exit_code, found.stderr) == (0, "")
    model = json.loads(found.stdout) if output == "json" else yaml.safe_load(found.stdout)
    assert model.keys() == {"globals", "hosts", "backends", "policies", "certificates", "servers", "streams"}
    assert model["hosts"]["shop.test"]["routes"][0]["backend"] == "default/echo:80"
    assert len(model["policies"]) == 1


def test_render_of_refused_manifests_ends_with_one_and_still_prints(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(REFUSED)
    found = tidegate("render", tmp_path, "--output", "json")
    assert found.exit_code == 1
    assert "hosts" in json.loads(found.stdout)
    assert "/etc/passwd" in found.stderr


@pytest.mark.parametrize(("manifests", "status"), [(FINE, 0), (ODD, 0), (REFUSED, 1), ("kind: [", 1)])
def test_check_ends_with_one_for_errors_only(tmp_path: Path, manifests: str, status: int) -> None:
    (tmp_path / "shop.yaml").write_text(manifests)
    found = tidegate("check", tmp_path)
    assert found.exit_code == status
    assert f"{status} errors" in found.stderr
    assert tidegate("check", "-", stdin=manifests).exit_code == status


def test_check_prints_findings_as_data(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(ODD)
    found = tidegate("check", tmp_path, "--output", "json")
    rows = json.loads(found.stdout)
    assert (found.exit_code, found.stderr) == (0, "")
    assert rows[0].keys() >= {"object", "field", "severity", "reason", "message"}
    assert rows[0]["severity"] == "warning"
    assert "proxy-read-timeout" in rows[0]["field"]


def test_findings_name_file_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("apiVersion: v1\nkind: [\n")
    found = tidegate("check", tmp_path, "--output", "json")
    assert "broken.yaml:" in json.loads(found.stdout)[0]["place"]


def test_explain_a_folder(folder: Path) -> None:
    found = tidegate("explain", "http://shop.test/cart?x=1", "--dir", folder, "--output", "json")
    answer = json.loads(found.stdout)
    assert (found.exit_code, found.stderr) == (0, "")
    assert (answer["host"], answer["path"], answer["match"]) == ("shop.test", "/", "prefix")
    assert (answer["ingress"], answer["backend"]) == ("default/shop", "default/echo:80")
    assert answer["endpoints"] == ["127.0.0.1:8080"]
    origins = {row["name"]: row["origin"] for row in answer["settings"]}
    assert any(name.endswith("limit-rps") and "Ingress default/shop" in origin for name, origin in origins.items())
    words = tidegate("explain", "http://shop.test/cart", "--dir", folder)
    assert words.exit_code == 0
    assert "http://shop.test/cart: proxied to default/echo:80" in words.stdout
    unknown = tidegate("explain", "http://other.test/", "--dir", folder)
    assert (unknown.exit_code, "no Ingress names this host" in unknown.stdout) == (0, True)


def test_explain_of_no_url_or_no_tidegate(folder: Path) -> None:
    assert tidegate("explain", "http://[", "--dir", folder).exit_code == 2
    silent = tidegate("explain", "http://shop.test/", "--admin", "http://127.0.0.1:1")
    assert (silent.exit_code, "127.0.0.1:1" in silent.stderr) == (1, True)


def test_annotations_lists_every_setting() -> None:
    found = tidegate("annotations")
    assert (found.exit_code, found.stderr) == (0, "")
    assert "| `nginx.ingress.kubernetes.io/limit-rps` |" in found.stdout or "limit-rps" in found.stdout
    rows = json.loads(tidegate("annotations", "--output", "json").stdout)
    assert len(rows) > 100
    assert any("limit-rps" in json.dumps(row) for row in rows)
    assert yaml.safe_load(tidegate("annotations", "--output", "yaml").stdout) == rows


def test_version_names_nginx_and_its_modules() -> None:
    found = json.loads(tidegate("version", "--output", "json").stdout)
    assert found.keys() == {"tidegate", "nginx", "modules"}
    assert "lua" in found["modules"]
    assert "tidegate" in tidegate("version").stdout
    without = tidegate("version", "--nginx-binary", "no-such-nginx")
    assert (without.exit_code, "no-such-nginx" in without.stderr) == (0, True)


def test_data_and_messages_are_apart_and_plain_off_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(ODD)
    found = subprocess.run([TIDEGATE, "check", tmp_path], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0
    assert "\x1b" not in found.stdout + found.stderr
    assert len(found.stdout.splitlines()) == 1  # however long
    assert "warning" in found.stdout
    assert found.stderr == "0 errors, 1 warnings\n"


def test_no_colour_on_a_terminal_that_asks_for_none(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(ODD)
    assert "\x1b[" in on_a_terminal("check", str(tmp_path), env={})
    assert "\x1b[3" not in on_a_terminal("check", str(tmp_path), env={"NO_COLOR": "1"})


def on_a_terminal(*arguments: str, env: dict[str, str]) -> str:
    """What the command writes to a terminal."""
    keep = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(TIDEGATE, [str(TIDEGATE), *arguments], {**keep, "TERM": "xterm-256color", **env})
    output = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        output += data
    os.waitpid(pid, 0)
    os.close(terminal)
    return output.decode()
