"""What FastCGI backends are told of a request: NGINX's usual parameters, headers that no client may forge, own ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tidegate.model import FastCGI
from tidegate.render.quoting import quote_variables


@dataclass(frozen=True)
class Parameter:
    """`text` is the value as NGINX reads it. With `if_not_empty` an empty value is left out."""

    name: str
    text: str
    if_not_empty: bool = False


_USUAL: Final = (
    Parameter("QUERY_STRING", "$query_string"),
    Parameter("REQUEST_METHOD", "$request_method"),
    Parameter("CONTENT_TYPE", "$content_type"),
    Parameter("CONTENT_LENGTH", "$content_length"),
    Parameter("SCRIPT_NAME", "$fastcgi_script_name"),
    Parameter("REQUEST_URI", "$request_uri"),
    Parameter("DOCUMENT_URI", "$document_uri"),
    Parameter("DOCUMENT_ROOT", "$document_root"),
    Parameter("SERVER_PROTOCOL", "$server_protocol"),
    Parameter("REQUEST_SCHEME", "$scheme"),
    Parameter("HTTPS", "$https", if_not_empty=True),
    Parameter("GATEWAY_INTERFACE", "CGI/1.1"),
    Parameter("SERVER_SOFTWARE", "nginx/$nginx_version"),
    Parameter("REMOTE_ADDR", "$remote_addr"),
    Parameter("REMOTE_PORT", "$remote_port"),
    Parameter("REMOTE_USER", "$remote_user"),
    Parameter("SERVER_ADDR", "$server_addr"),
    Parameter("SERVER_PORT", "$server_port"),
    Parameter("SERVER_NAME", "$host"),
    Parameter("REDIRECT_STATUS", "200"),
)


def parameters(own: FastCGI, headers: Iterable[tuple[str, str]]) -> list[Parameter]:
    """Each name once: own ones take the place of the usual ones. `headers` are names and NGINX's texts of values."""
    rows = [*_USUAL]
    rows += [Parameter(f"HTTP_{name.upper().replace('-', '_')}", text, if_not_empty=True) for name, text in headers]
    taken = {name for name, _ in own.params}
    kept = [row for row in rows if row.name not in taken]
    return kept + [Parameter(name, quote_variables(value)) for name, value in own.params]
