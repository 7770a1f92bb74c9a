"""`tidegate annotations`: the support table, from the registry that the program itself uses."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from tidegate.cli.common import Output, print_data
from tidegate.settings.reference import rows, to_markdown


class TableFormat(StrEnum):
    MARKDOWN = "markdown"
    TABLE = "table"  # the same as markdown, which reads well in a terminal
    JSON = "json"
    YAML = "yaml"


def annotations_command(
    output: Annotated[TableFormat, typer.Option("--output", help="How the table is printed.")] = TableFormat.MARKDOWN,
) -> None:
    """Print what becomes of every annotation and ConfigMap key."""
    if output in (TableFormat.JSON, TableFormat.YAML):
        print_data(rows(), Output(output.value))
    else:
        sys.stdout.write(to_markdown(rows()))
