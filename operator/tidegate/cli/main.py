"""`tidegate`: one command, one module each."""

from __future__ import annotations

import typer

from tidegate.cli import agent, check, explain, render, run, support, up, version
from tidegate.cli.goflags import FolderCommand, GoCommand

app = typer.Typer(
    name="tidegate",
    help="A Kubernetes ingress controller on NGINX: routes are data, policies are configuration.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run", cls=GoCommand)(run.run)
app.command("up", cls=FolderCommand)(up.up)
app.command("render")(render.render_command)
app.command("check")(check.check)
app.command("explain")(explain.explain_command)
app.command("annotations")(support.annotations_command)
app.command("agent")(agent.agent)
app.command("version")(version.version)


def main() -> None:
    app()
