"""The Lua matcher against a small reference in Python: random rule sets, host names and URIs, through real NGINX.

Each route is a redirect that names itself, so that an answer says which route was taken; the host whose single route
takes everything goes to a backend, because the matcher has a short way for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from urllib.parse import unquote_to_bytes

import pytest
from dataplane import Answer, Nginx, Plane, Server, backend, host, route, running, values_of
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from tidegate.model import Host, Labels, Match, Redirect, Route
from tidegate.report.matching import FoundRoute, find_host, find_route, normalize

BACKEND = "ns/echo:80"


# -- the reference -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What a request comes to: the number of a route, a status, or (301) the path with a slash at its end."""

    route: int | None = None
    status: int = 0
    moved: bytes = b""


def normal(path: str) -> bytes | None:
    """The decoded, merged, resolved path; None where NGINX refuses the request."""
    if re.search("%(?![0-9A-Fa-f]{2})", path):
        return None
    decoded = unquote_to_bytes(path.encode("latin-1"))
    if b"\0" in decoded:
        return None
    segments: list[bytes] = []
    parts = decoded.split(b"/")[1:]
    for part in parts:
        if part == b"..":
            if not segments:
                return None
            segments.pop()
        elif part not in (b"", b"."):
            segments.append(part)
    folder = parts[-1] in (b"", b".", b"..")
    return b"/" + b"/".join(segments) + (b"/" if folder and segments else b"")


def number_of(one: Route) -> int:
    return int(one.labels.port)


def match_plain(routes: tuple[Route, ...], path: bytes) -> Outcome:
    """The rules of Kubernetes, and NGINX's redirect to a path that is declared with a slash at its end."""
    exact = {one.path.encode(): one for one in routes if one.match == Match.EXACT}
    prefixes = {one.path.encode(): one for one in routes if one.match == Match.PREFIX}
    if path in exact:
        return Outcome(number_of(exact[path]))
    if path in prefixes:
        return Outcome(number_of(prefixes[path]))
    if path + b"/" in prefixes:
        return Outcome(moved=path + b"/")
    below = [text for text in prefixes if path.startswith(text if text.endswith(b"/") else text + b"/")]
    # of `/a` and `/a/` the latter is the longer one
    return Outcome(number_of(prefixes[max(below, key=len)])) if below else Outcome(status=404)


def match_regex(routes: tuple[Route, ...], path: bytes) -> Outcome:
    for one in routes:
        if re.search(b"^" + one.path.encode("latin-1"), path, re.IGNORECASE):
            return Outcome(number_of(one))
    return Outcome(status=404)


def expected(hosts: dict[str, Host], name: str, path: str) -> Outcome:
    plain = normal(path)
    if plain is None:
        return Outcome(status=400)
    name = name.split(":")[0].rstrip(".").lower()
    label, _, rest = name.partition(".")
    found = None if name.startswith("*") else hosts.get(name)
    if found is None and rest and re.fullmatch(r"[A-Za-z0-9_-]+", label):
        found = hosts.get(f"*.{rest}")
    found = found or hosts.get("_")
    if found is not None and found.alias_of:
        found = hosts.get(found.alias_of)
    if (found is None or found.name == "_") and plain.startswith(b"/healthz"):
        return Outcome(status=200)
    if found is None:
        return Outcome(status=404)
    return (match_regex if found.regex else match_plain)(found.routes, plain)


# -- what is tried -----------------------------------------------------------------------------------------------------

SEGMENTS = ["a", "b", "foo", "foobar", "Foo", "x.y", "...", "é", "a b", "%", "healthz", "~"]

plain_paths = st.builds(
    lambda parts, slash: "/" + "/".join(parts) + ("/" if slash and parts else ""),
    st.lists(st.sampled_from(SEGMENTS), max_size=3),
    st.booleans(),
)
pieces = st.sampled_from(
    ["a", "b", "foo", "F", "/", "/", ".", ".*", "[a-c]", "(a|b)", "(foo)?", "o?", "b+", "\\.", "\\d", "x{1,2}", "%"]
)
patterns = st.builds(
    lambda parts, end: "/" + "".join(parts) + end, st.lists(pieces, max_size=6), st.sampled_from(["", "$", "/", "|/b"])
)


@st.composite
def plain_routes(draw: st.DrawFn) -> list[tuple[Match, str]]:
    pairs = st.tuples(st.sampled_from([Match.EXACT, Match.PREFIX]), plain_paths)
    return draw(st.lists(pairs, min_size=3, max_size=10, unique=True))


regex_routes = st.lists(st.tuples(st.just(Match.REGEX), patterns), min_size=1, max_size=6, unique=True)
rule_sets = st.one_of(plain_routes(), plain_routes(), regex_routes)


def escaped(path: str, chance: Random) -> str:
    """The path as a client may write it: some letters encoded or of the other case, slashes doubled, dots inserted."""
    text = ""
    for index, character in enumerate(path):
        if character == "/":
            variants = ["/", "/", "//"] if index == 0 else ["/", "/", "/", "//", "/./", "/q/../", "%2F", "%2f", "/%2e/"]
            text += chance.choice(variants)
        elif not re.fullmatch(r"[A-Za-z0-9._~-]", character) or chance.random() < 0.1:
            text += f"%{ord(character):02X}"
        else:
            text += character.swapcase() if chance.random() < 0.1 else character
    return text


ENDS = ["", "", "", "/", "/a", "bar", "/foo/", "1", "/.."]
ODD = ["/", "//", "/..", "/a/../..", "/%", "/%zz", "/%00", "/.", "/...", "/%2e%2e", "/healthz", "/healthzz/x", "/a%0ab"]


def request_path(declared: list[str], chance: Random) -> str:
    """A URI near the declared paths, or an odd one."""
    if chance.random() < 0.1:
        return chance.choice(ODD)
    if declared and chance.random() < 0.7:
        base = chance.choice(declared)
        base = (base.rstrip("/") or "/") if chance.random() < 0.3 else base
    else:
        base = "/" + "/".join(chance.choices(SEGMENTS, k=chance.randint(0, 3)))
    return escaped((base + chance.choice(ENDS)).encode().decode("latin-1"), chance)


NAMES = ["a.test", "b.test", "*.test", "*.a.test", "x.a.test", "_", "c.other"]
ASKED = [
    "a.test",
    "A.TEST",
    "b.test",
    "b.test.",
    "b.test:81",
    "new.test",
    "new.a.test",
    "x.a.test",
    "y.x.a.test",
    "test",
]
ASKED += ["*.test", "a_b.test", "-.test", "a!b.test", "c.other", "127.0.0.1", "_", "alias.test", "w.alias.test"]


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Host], list[tuple[str, str]]]:
    hosts: dict[str, Host] = {}
    declared: dict[str, list[str]] = {}
    names = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=6, unique=True))
    count = 0
    for name in names:
        rules = draw(rule_sets)
        routes = []
        for match, path in rules:
            routes.append(route(path, "", match, redirect=Redirect(302, f"http://route/{count}"), labels=labels(count)))
            count += 1
        regex = bool(rules) and rules[0][0] == Match.REGEX
        hosts[name] = host(name, *routes, regex=regex)
        declared[name] = [] if regex else [path for _, path in rules]
    if draw(st.booleans()):
        hosts["alias.test"] = Host("alias.test", alias_of=draw(st.sampled_from(names)))
    if draw(st.booleans()):
        hosts["*.alias.test"] = Host("*.alias.test", alias_of=draw(st.sampled_from(names)))
    everything = [path for paths in declared.values() for path in paths]
    chance = Random(draw(st.integers(0, 2**32)))  # drawn one by one, they would take longer than the requests
    return hosts, [(chance.choice(ASKED), request_path(everything, chance)) for _ in range(150)]


def labels(number: int) -> Labels:
    return Labels("ns", "ingress", "service", str(number), "/")


# -- the comparison ----------------------------------------------------------------------------------------------------


def outcome(answer: Answer) -> Outcome:
    if answer.status == 302:
        return Outcome(int((answer.header("Location") or "").rpartition("/")[2]))
    if answer.status == 301:
        location = answer.header("Location") or ""
        found = re.fullmatch(r"http://[^/]+(/[^?]*)\?q=1", location)
        assert found, location
        return Outcome(moved=unquote_to_bytes(found[1]))
    return Outcome(status=answer.status)


@pytest.fixture(scope="module")
def plane(nginx: Nginx) -> Iterator[Plane]:
    """Without the default backend's record, so that nothing but the rules answers."""
    with running(nginx, default=False) as one:
        yield one


def ask_all(plane: Plane, asked: list[tuple[str, str]]) -> list[Answer]:
    """Requests on as few connections as NGINX allows: it closes one after a request that it refuses."""
    answers: list[Answer] = []
    while len(answers) < len(asked):
        rest = asked[len(answers) :]
        with plane.client() as client:
            client.send(
                b"".join(f"GET {path}?q=1 HTTP/1.1\r\nHost: {name}\r\n\r\n".encode("latin-1") for name, path in rest)
            )
            for _ in rest:
                answers.append(client.answer())
                if answers[-1].header("Connection") == "close":
                    break
    return answers


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
@given(case=cases())
def test_matcher_agrees_with_the_reference(plane: Plane, case: tuple[dict[str, Host], list[tuple[str, str]]]) -> None:
    hosts, asked = case
    former: dict[str, bytes | None] = dict.fromkeys(
        [f"h:{name}" for name in (*NAMES, "alias.test", "*.alias.test") if name not in hosts]
    )
    plane.push({**former, **values_of(*hosts.values())})
    answers = ask_all(plane, asked)
    for (name, path), answer in zip(asked, answers, strict=True):
        wanted = expected(hosts, name, path)
        event("moved" if wanted.moved else "route" if wanted.route is not None else str(wanted.status))
        assert outcome(answer) == wanted, (name, path)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases())
def test_explain_finds_what_the_reference_finds(case: tuple[dict[str, Host], list[tuple[str, str]]]) -> None:
    hosts, asked = case
    patterned = any(one.regex for one in hosts.values())
    for name, path in asked[:10] if patterned else asked:  # patterns are tried in a process of their own
        assert explained(hosts, name, path) == expected(hosts, name, path), (name, path)


def explained(hosts: dict[str, Host], name: str, path: str) -> Outcome:
    plain = normalize(path)
    if plain is None:
        return Outcome(status=400)
    found = find_host(hosts, name.split(":")[0]).routed
    if (found is None or found.name == "_") and plain.startswith("/healthz"):
        return Outcome(status=200)
    one, moved = find_route(found, plain) if found else FoundRoute()
    if one is None:
        return Outcome(status=404)
    return Outcome(moved=f"{plain}/".encode()) if moved else Outcome(number_of(one))


def test_lone_prefix_of_everything_takes_every_uri(plane: Plane) -> None:
    with Server() as server:
        plane.put(backend(BACKEND, server), host("lone.test", route(backend=BACKEND)))
        for path in ("/", "/a", "//a/../b", "/%2F", "/%2e/x"):
            assert plane.ask("lone.test", path).status == 200
        assert plane.ask("lone.test", "/..").status == 400


@pytest.mark.parametrize(
    ("declared", "asked", "wanted"),
    [
        ([("prefix", "/foo")], "/foobar", 404),
        ([("prefix", "/foo")], "/foo", 0),
        ([("prefix", "/foo")], "/foo/bar", 0),
        ([("prefix", "/foo/")], "/foo", 301),
        ([("prefix", "/foo/")], "/foo/", 0),
        ([("prefix", "/foo/"), ("prefix", "/foo")], "/foo", 1),
        ([("prefix", "/foo/"), ("prefix", "/foo")], "/foo/x", 0),
        ([("prefix", "/foo"), ("exact", "/foo")], "/foo", 1),
        ([("prefix", "/foo"), ("exact", "/foo")], "/foo/", 0),
        ([("exact", "/foo")], "/foo/", 404),
        ([("exact", "/foo")], "/Foo", 404),
        ([("exact", "/")], "/x", 404),
        ([("prefix", "/"), ("prefix", "/a"), ("prefix", "/a/b")], "/a/bc", 1),
        ([("prefix", "/"), ("prefix", "/a"), ("prefix", "/a/b")], "/a/b/c", 2),
        ([("regex", "/foo")], "/FOObar", 0),
        ([("regex", "/foo$"), ("regex", "/foo")], "/foo/x", 1),
        ([("regex", "/a|/b")], "/x/b", 0),
    ],
)
def test_documented_matches(plane: Plane, declared: list[tuple[str, str]], asked: str, wanted: int) -> None:
    routes = [
        route(path, "", Match(kind), redirect=Redirect(302, f"http://route/{number}"))
        for number, (kind, path) in enumerate(declared)
    ]
    plane.put(host("documented.test", *routes, regex=declared[0][0] == "regex"))
    answer = plane.ask("documented.test", asked)
    if answer.status == 302:
        assert answer.header("Location") == f"http://route/{wanted}"
    else:
        assert answer.status == wanted
