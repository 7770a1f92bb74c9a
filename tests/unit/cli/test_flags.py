"""`tidegate run` takes every flag of the retired controller: it works, or says why it has no effect or is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from tidegate.cli import goflags
from tidegate.cli.goflags import FolderCommand, GoCommand
from tidegate.cli.main import app
from typer.testing import CliRunner

TABLE = [line for line in Path(__file__).with_name("flags.txt").read_text().split("\n") if line.startswith("-")]


def options(command: str = "run") -> set[str]:
    group: Any = typer.main.get_command(app)
    found = group.commands[command].params
    return {option for parameter in found for option in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("flag", TABLE)
def test_each_flag_is_known(flag: str) -> None:
    plain = flag.lstrip("-")
    tables = (goflags.WITHOUT_EFFECT, goflags.SWITCHES_WITHOUT_EFFECT, goflags.REFUSED)
    reasons = [table[plain] for table in tables if plain in table]
    known = flag in options()
    assert known or reasons, f"{flag} would be an unknown flag"
    assert not (known and reasons), f"{flag} works and has no effect"
    assert all(len(reason) > 10 for reason in reasons)


@pytest.mark.parametrize("flag", [flag for flag in TABLE if flag != "--version"])
def test_each_flag_is_known_without_a_cluster(flag: str) -> None:
    plain = flag.lstrip("-")
    tables = (FolderCommand.without_effect, FolderCommand.switches_without_effect, goflags.REFUSED)
    known = flag in options("up")
    assert known != any(plain in table for table in tables), flag


@pytest.fixture
def probe() -> Iterator[typer.Typer]:
    """A command with a few flags, that prints what it got."""
    one = typer.Typer()

    def show(
        update: bool = typer.Option(True, "--update/--no-update"),
        strict: bool = typer.Option(False, "--strict"),
        verbosity: int = typer.Option(0, "--v", "-v"),
        text: str = typer.Option("", "--text"),
    ) -> None:
        print(update, strict, verbosity, text)

    one.command("show", cls=GoCommand)(show)
    yield one


def said(probe: typer.Typer, *words: str) -> Any:
    return CliRunner().invoke(probe, list(words))


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ((), "True False 0 "),
        (("--update=false", "--strict=true"), "False True 0 "),
        (("--update=F", "--strict=0"), "False False 0 "),
        (("--update", "--strict"), "True True 0 "),
        (("-v=3",), "True False 3 "),
        (("-v2",), "True False 2 "),
        (("--v=2",), "True False 2 "),
        (("--text=false",), "True False 0 false"),
        (("--logtostderr", "--vmodule=a=1", "--log_dir", "/tmp", "--strict"), "True True 0 "),
        (("--status-port=10246", "--default-server-port", "8181"), "True False 0 "),
        (("--maxmind-license-key=",), "True False 0 "),
        (("--bucket-factor=0",), "True False 0 "),
    ],
)
def test_flags_are_read_as_go_reads_them(probe: typer.Typer, words: tuple[str, ...], printed: str) -> None:
    done = said(probe, *words)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == printed


def test_a_flag_without_effect_says_why(probe: typer.Typer) -> None:
    done = said(probe, "--sync-rate-limit=0.3")
    assert "--sync-rate-limit has no effect: changes are pushed as they come" in done.output + done.stderr


@pytest.mark.parametrize("words", [("--maxmind-license-key=abc",), ("--bucket-factor", "1.1")])
def test_a_flag_for_what_is_not_done_is_refused_with_the_reason(probe: typer.Typer, words: tuple[str, ...]) -> None:
    done = said(probe, *words)
    assert done.exit_code == 2
    assert words[0].partition("=")[0] in done.output + done.stderr


@pytest.mark.parametrize("words", [("--strict=maybe",), ("--nonsense",), ("--update=yes",)])
def test_what_is_no_flag_is_wrong_usage(probe: typer.Typer, words: tuple[str, ...]) -> None:
    assert said(probe, *words).exit_code == 2
