"""What NGINX's configuration and its log look like when no manifest has got into them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import crossplane
from tidegate.render.template import template_folder

# What would show that text of a manifest has become something else than a value.
PAYLOADS = re.compile(r"inject|evil|pwn|hostile|shadow|passwd|os\.ex|innocent|\.test\b", re.IGNORECASE)
BAD_LOG = re.compile(r"\[(?:emerg|alert|crit)\]|lua entry thread aborted|runtime error|failed to run|stack traceback")
NAMES = {
    "upstream": r"tidegate_[a-z_]+(?:_[0-9a-f]{16})?",
    "limit_req_zone": r"\$tidegate_limit_key|zone=tidegate_rate_[0-9a-z_]+:\d+m|rate=\d+r/[sm]",
    "limit_conn_zone": r"\$tidegate_limit_key|zone=tidegate_connections_[0-9a-z_]+:\d+m",
    "location": r"/|=|/\./http2|/push|/status|/zones|/metrics|/connections|@policy_[0-9a-f]{16}|@?tidegate_[a-z0-9_]+",
    "proxy_pass": r"(?:https?|\$scheme)://tidegate_(?:[a-z_]|\$\{scheme\})+(?:_[0-9a-f]{16})?(?:\$tidegate_[a-z_]+)?",
    "grpc_pass": r"grpcs?://tidegate_[a-z]+(?:_[0-9a-f]{16})?",
    "fastcgi_pass": r"tidegate_fcgi",
    "server_name": "_",
}
VALUE = re.compile(
    r"(?:default|on|443|~\*h2c|~\^\(\?<tidegate_first_host>\[\^, \]\+\))? ?"
    r"(?:\$[a-z_]+|\d+|[a-z]*|max-age=\d+(?:; includeSubDomains)?(?:; preload)?)"
)


def directives(block: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in block:
        yield one
        yield from directives(one.get("block", []))


def template_names() -> set[str]:
    """The directives that the templates write; a name is also one behind the prefix of a module, or one of a list."""
    names: set[str] = set()
    for file in template_folder().glob("*.j2"):
        text = file.read_text()
        names |= set(re.findall(r"^\s*([a-z][a-z0-9_]*)[ ;]", text, re.MULTILINE))
        for name in re.findall(r"^\s*\{\{ (?:p\.)?module \}\}(_[a-z_]+) ", text, re.MULTILINE):
            names |= {module + name for module in ("proxy", "grpc", "fastcgi")}
    names |= {f"{kind}_temp_path" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")}
    hashes = ("server_names", "variables", "proxy_headers", "map")
    return names | {f"{kind}_hash_{what}_size" for kind in hashes for what in ("max", "bucket")}


def parse(file: Path) -> Iterator[dict[str, Any]]:
    """Each directive of a configuration."""
    copy = file.parent.parent.parent / "parsed.conf"  # crossplane does not know this directive to hold Lua
    text = file.read_text().replace("exit_worker_by_lua_block", "init_worker_by_lua_block")
    copy.write_text(text.replace(str(template_folder()), "/templates"))  # which may lie in a folder of any name
    parsed = crossplane.parse(str(copy), comments=True, single=True)
    assert parsed["status"] == "ok", parsed["errors"]
    return directives(parsed["config"][0]["parsed"])


def check_words(file: Path) -> None:
    """What the corpus has behind an end of a directive, of a block or of a line is never a word by itself."""
    for one in parse(file):
        assert "inject" not in (one["directive"], *one["args"]), one


def check_configuration(file: Path) -> None:
    """Each directive is one of the template's, each name one of a closed form, no comment and no argument a payload."""
    allowed = template_names()
    for one in parse(file):
        name, arguments = one["directive"], one["args"]
        assert not PAYLOADS.search(f"{one.get('comment', '')} {name} {arguments}"), one
        if name == "#":
            continue
        if name in NAMES:
            assert all(re.fullmatch(NAMES[name], argument) for argument in arguments), one
        if name == "map":  # the lines inside are no directives
            assert all(VALUE.fullmatch(" ".join([line["directive"], *line["args"]])) for line in one["block"]), one
            one["block"] = []
        assert name in allowed, one
