"""The Jinja2 environment, and `render`: configuration in, text of nginx.conf out."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path

import jinja2

from tidegate.render.configuration import Configuration
from tidegate.render.quoting import lua_text, on_off, quote, quote_lines, quote_literally, quote_variables
from tidegate.render.snippets import lines, word


@lru_cache(maxsize=1)
def template_folder() -> Path:
    """The folder of the templates and the Lua files: inside the installed package, else beside a checkout's source."""
    installed = Path(str(resources.files("tidegate"))) / "nginx-templates"
    if installed.is_dir():
        return installed
    return Path(str(resources.files("tidegate"))).parent.parent / "nginx-templates"


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template_folder()),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(quote=quote, quote_variables=quote_variables, lua_text=lua_text, on_off=on_off)
    environment.filters.update(word=word, snippet=lines)
    environment.filters.update(quote_literally=quote_literally, quote_lines=quote_lines)
    return environment


def render(configuration: Configuration) -> str:
    """The whole nginx.conf. Raises UnsafeValue for a value that has no safe form."""
    return _environment().get_template("nginx.conf.j2").render(c=configuration)
