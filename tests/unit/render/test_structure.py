"""No text in any setting changes the structure of nginx.conf: it is that of a harmless value of the same type."""

from __future__ import annotations

import re
import sys
import typing
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nginx_text import Directive, boot_values, nginx_depth, parse, shape, walk
from rendering import OWN, Wanted, wanted
from tidegate.settings.directives import Directives
from tidegate.settings.registry import ANNOTATIONS, CONFIGMAP_KEYS
from tidegate.settings.setting import Support

sys.path.append(str(Path(__file__).parents[2] / "hostile"))
import rows

MARK = "zharmless"
DIGEST = re.compile(r"_[0-9a-f]{16}(?=\$|$)")  # at the end of names that Tidegate makes
ANNOTATION_NAMES = tuple(name for name, s in ANNOTATIONS.items() if s.support is Support.SUPPORTED)
KEYS = tuple(
    name
    for name, s in CONFIGMAP_KEYS.items()
    if s.support is Support.SUPPORTED and not isinstance(s.type, Directives)  # whose value is structure
)

HOSTILE = (
    '"; } server { listen 1; } #',
    "'; return 200 'x",
    "x; return 200",
    "x\nreturn 200;",
    "x\r\n}",
    "}",
    "{",
    "#",
    "\\",
    '\\"',
    '\\\\"; deny all; "',
    "$uri",
    "${uri}",
    "$host; deny all;",
    "$nonesuch",
    "`id`",
    "$(id)",
    "]=====]",
    "]=====] os.execute('id') --[=====[",
    "\x00",
    "\x7f",
    "\u2028",
    "\ud800",
    "a" * 5000,
    "(" * 3000,
    "%0a",
    "../../etc/passwd",
    "unix:/tmp/x.sock",
    "off; load_module x.so",
    "1;",
    "1 1",
    "1m; include /etc/passwd",
    "error timeout; deny all",
    "10.0.0.0/8; deny all",
    "404 =200 /x",
    "HIGH; deny all",
    "X-Y; Z",
    "text/html; charset=x",
)
SEEDS = (
    "true",
    "false",
    "on",
    "off",
    "0",
    "1",
    "2",
    "10",
    "503",
    "8k",
    "16m",
    "HTTPS",
    "/a/$1",
    "http://a.test/b?c=d",
    "team/users",
    "users",
    "basic",
    "any",
    "$request_uri",
    "${host}-x",
    "10.0.0.0/8, ::1",
    "404,503",
    "error timeout http_502",
    "off",
    "4 8k",
    "HIGH:!aNULL",
    "text/html",
    "auto",
    "X-Client",
    "TLSv1.2 TLSv1.3",
    "30s",
    '$remote_addr "$request" \\ x',
    "warn",
    "1.0",
    "cookie",
    "301",
    "syslog:server=a",
    "/healthz, ~^/probe$, ~*[a-z]+",
    "buffer=16k flush=1m",
    "Critical",
)
FRAGMENTS = (*SEEDS, ";", "{", "}", '"', "'", "\\", "$", " ", "\n", "#", ",", "]=====]", "\x00", "é")
BESIDE = {"use-gzip": "true", "use-geoip2": "true", "enable-opentelemetry": "true", "otlp-collector-host": "a.test"}
TEXTS = st.one_of(
    st.sampled_from(SEEDS),
    st.sampled_from(HOSTILE),
    st.text(),
    st.lists(st.sampled_from(FRAGMENTS), max_size=4).map("".join),
    st.tuples(st.sampled_from(SEEDS), st.sampled_from(HOSTILE)).map("".join),
)


# -- a harmless value of the same form ----------------------------------------------------------------------------


def harmless(value: Any, kind: Any = str) -> Any:
    """The same value with a harmless text in the place of each text that is not one of a closed set."""
    if isinstance(value, msgspec.Struct):
        types = {field.name: field.type for field in msgspec.structs.fields(value)}
        changes = {name: harmless(getattr(value, name), types[name]) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **changes)
    if isinstance(value, tuple):
        inner = typing.get_args(kind)[0] if typing.get_args(kind) else str
        return tuple(harmless(item, inner) for item in value)
    if isinstance(value, str):
        if typing.get_origin(kind) is Literal:
            assert value in typing.get_args(kind)
            return value
        return MARK if value else ""
    assert value is None or isinstance(value, bool | int | float), f"{value!r} is not of a closed type"
    return value


def model_of(given_: Wanted) -> Wanted:
    return Wanted(harmless(given_.settings), {name: harmless(policy) for name, policy in given_.policies.items()})


def compare(found: tuple[Directive, ...], expected: tuple[Directive, ...]) -> None:
    """Equal but for arguments in which the harmless text stands, and what is handed to Lua."""
    assert shape(found) == shape(expected)
    for mine, other in zip(walk(found), walk(expected), strict=True):
        if mine.name == "init_by_lua_block":
            continue
        for text, model in zip(mine.args, other.args, strict=True):
            assert text == model or MARK in model or DIGEST.sub("", text) == DIGEST.sub("", model), (mine.name, text)


def check(given_: Wanted, folder: Path) -> None:
    conf = given_.conf()
    model = model_of(given_)
    found = parse(conf, folder)
    compare(found, parse(model.conf(), folder))
    assert nginx_depth(conf) == 0
    assert OWN not in conf
    boot, expected = boot_values(conf), boot_values(model.conf())
    for values, settings_ in ((boot, given_.settings), (expected, model.settings)):
        values["router"].pop("log_variables")
        values["tracing"].pop("name", None)  # text that Lua gets as such
        values["router"].pop("limit_by", None)
        blocked = values.pop("blocked")  # texts of the user, which have to arrive as they are
        assert tuple(blocked["agents"]) == settings_.blocked_agents
        assert tuple(blocked["referers"]) == settings_.blocked_referers
        values.pop("peers", None)
    assert boot == expected
    unescaped = {arg.replace("\\\\", "\\") for item in walk(found) for arg in item.args}
    for text in texts_of(given_.settings):
        assert text.replace("\n", "\\n") in unescaped or f"$http_{text.lower().replace('-', '_')}" in unescaped, text


def texts_of(settings_: Any) -> list[str]:
    """Texts of the global settings that the user wrote and that are in the configuration in any case."""
    names = ("default_type", "ssl_ciphers", "log_format", "error_log_level", "hsts")
    return [value for name in names if (value := getattr(settings_, name))] + [
        settings_.forwarded_for_header,
        settings_.forwarded_host_header,
    ]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_hostile_text_in_every_annotation_changes_nothing_but_values(text: str, tmp_path: Path) -> None:
    check(wanted({name: text} for name in ANNOTATION_NAMES), tmp_path)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_hostile_text_in_every_configmap_key_changes_nothing_but_values(text: str, tmp_path: Path) -> None:
    check(wanted([{}], dict.fromkeys(KEYS, text)), tmp_path)


@pytest.mark.parametrize("text", SEEDS, ids=ascii)
def test_a_text_that_is_valid_for_some_setting_has_the_structure_of_its_value(text: str, tmp_path: Path) -> None:
    extra = {"auth-secret": "users", "auth-type": "basic"}
    check(wanted([{name: text} for name in ANNOTATION_NAMES] + [{**extra, n: text} for n in ("satisfy",)]), tmp_path)
    check(wanted([{}], {name: text for name in KEYS if name != "annotations-risk-level"}), tmp_path)


@pytest.mark.parametrize("name", ANNOTATION_NAMES)
def test_what_a_row_takes_of_the_corpus_has_the_structure_of_its_value(name: str, tmp_path: Path) -> None:
    """With what it needs beside it, so that it gets as far as the configuration."""
    texts = [rows.sample(ANNOTATIONS[name])]
    texts += [case.text for case in rows.ANNOTATION_CASES[name] if case.problem is None]
    # Few at a time: blocks that are sorted by a digest come in another order in the model.
    for some in [[text] for text in texts] if len(texts) < 4 else [texts]:
        check(wanted({**rows.beside(name), name: text} for text in some), tmp_path)


@pytest.mark.parametrize("name", KEYS)
def test_what_a_key_takes_of_the_corpus_has_the_structure_of_its_value(name: str, tmp_path: Path) -> None:
    taken = [case.text for case in rows.KEY_CASES[name] if case.problem is None]
    for text in dict.fromkeys(taken if len(taken) < 5 else (taken[0], taken[-1], max(taken, key=len))):
        check(wanted([{}], {**BESIDE, name: text}), tmp_path)


def names_of(tree: tuple[Any, ...]) -> Iterator[str]:
    for item in tree:
        yield item.name
        yield from names_of(item.block or ())


@pytest.mark.parametrize("name", [name for name in ANNOTATION_NAMES if rows.is_code(ANNOTATIONS[name])])
def test_code_of_the_corpus_adds_its_own_directives_and_nothing_else(name: str, tmp_path: Path) -> None:
    allowed = {"allow-snippet-annotations": "true", "annotations-risk-level": "Critical"}
    usual = {**rows.beside(name), name: rows.sample(ANNOTATIONS[name])}
    plain = Counter(item.name for item in walk(parse(wanted([usual], allowed).conf(), tmp_path)))
    for case in rows.ANNOTATION_CASES[name]:
        conf = wanted([{**rows.beside(name), name: case.text}], allowed).conf()
        assert nginx_depth(conf) == 0
        more = Counter(item.name for item in walk(parse(conf, tmp_path))) - plain
        own = set(names_of(case.setting.type.parse(case.text))) if case.problem is None else set[str]()
        assert set(more) <= own, case.id


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("structure")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([dict.fromkeys(ANNOTATION_NAMES, "x")], {})
@given(
    st.lists(st.dictionaries(st.sampled_from(ANNOTATION_NAMES), TEXTS, max_size=4), max_size=4),
    st.dictionaries(st.sampled_from(KEYS), TEXTS, max_size=5),
)
def test_any_text_in_any_setting_keeps_the_structure(
    folder: Path, ingresses: list[dict[str, str]], data: dict[str, str]
) -> None:
    check(wanted(ingresses, data), folder)


def test_no_name_of_an_ingress_reaches_the_configuration(tmp_path: Path) -> None:
    every = {
        "auth-type": "basic",
        "auth-secret": "users",
        "auth-realm": "zqrealm",
        "whitelist-source-range": "10.0.0.0/8",
        "rewrite-target": "/zqtarget",
        "server-alias": "zqalias.test",
        "permanent-redirect": "https://zqelsewhere.test",
        "upstream-vhost": "zqvhost.test",
        "default-backend": "zqservice",
        "custom-http-errors": "404",
        "session-cookie-name": "zqcookie",
        "affinity": "cookie",
        "app-root": "/zqroot",
        "x-forwarded-prefix": "/zqprefix",
        "upstream-hash-by": "zq$uri",
        "limit-rps": "1",
        "limit-whitelist": "10.99.99.0/24",
    }
    conf = wanted([every]).conf()
    assert "location @policy_" in conf
    assert OWN not in conf
    assert "10.99.99.0" not in conf
    assert "10.0.0.0/8" not in conf


def test_the_proof_sees_an_injection(tmp_path: Path) -> None:
    """The test itself is tested: text that got out of its quotes is found."""
    good = wanted([{}])
    conf = good.conf()
    evil = conf.replace("default_type text/html;", 'default_type "x"; deny all;')
    assert evil != conf
    assert shape(parse(evil, tmp_path)) != shape(parse(conf, tmp_path))
    with pytest.raises(AssertionError):
        compare(parse(evil, tmp_path), parse(conf, tmp_path))


def test_equal_policies_have_equal_digests_and_names_of_hex_digits() -> None:
    policy = wanted([{"proxy-body-size": "8m"}]).policies.popitem()[1]
    again = wanted([{"proxy-body-size": "8192k"}]).policies.popitem()[1]
    assert policy.digest == again.digest
    assert len(policy.digest) == 16
    assert set(policy.digest) <= set("0123456789abcdef")
