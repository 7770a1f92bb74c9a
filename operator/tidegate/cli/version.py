"""`tidegate version`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from tidegate import __version__
from tidegate.apply.nginx import NginxMissingError, probe
from tidegate.cli.common import Output, OutputOption, err, out, print_data


def version(
    nginx_binary: Annotated[str, typer.Option("--nginx-binary", help="The NGINX to ask.")] = "nginx",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the versions of Tidegate and NGINX, and NGINX's modules."""
    rows = {"tidegate": __version__, "nginx": "", "modules": ""}
    try:
        features = asyncio.run(probe(nginx_binary))
    except NginxMissingError as error:
        err.print(str(error), style="yellow", markup=False)
    else:
        rows["nginx"] = ".".join(map(str, features.version))
        rows["modules"] = " ".join(Path(module).stem for module in features.modules)
    if output is not Output.TABLE:
        print_data(rows, output)
        return
    for name, value in rows.items():
        out.print(f"{name:9} {value or '-'}", markup=False)
