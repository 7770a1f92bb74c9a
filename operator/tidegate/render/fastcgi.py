"""What FastCGI backends are told of a request: NGINX's usual parameters, headers that no client may forge, own ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tidegate.model import FastCGI


@dataclass(frozen=True)
class Parameter:
    """`value` is text in which `$` begins a variable. With `if_not_empty` an empty value is left out."""

    name: str
    value: str
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
    for name, text in headers:
        value = "" if text == '""' else text
        rows.append(Parameter(f"HTTP_{name.upper().replace('-', '_')}", value, if_not_empty=True))
    taken = {name for name, _ in own.params}
    return [row for row in rows if row.name not in taken] + [Parameter(name, value) for name, value in own.params]
