"""Authentication by another service: what it is asked, what counts as its answer, and what nobody can get around."""

from __future__ import annotations

import base64
import itertools
import ssl
from collections.abc import Callable, Iterator

import pytest
from dataplane import Plane, Reply, Request, Server, backend, h2_client, host, policy, refusing, route, self_signed
from tidegate.model import Access, BasicAuth, ExternalAuth, KeptConnections, Policy, Question, Route

ECHO, GUARD = "ns/echo:80", "//guard.test:80"
PASSWORD = {"Authorization": "Basic " + base64.b64encode(b"ann:secret").decode()}
PLAIN = Question()


def verdict(request: Request) -> Reply:
    """Answers as the request says: a status, and headers `Name=value` separated by `;`."""
    said = [row.partition("=")[::2] for row in (request.header("X-Say") or "").split(";") if row]
    return Reply(int(request.header("X-Verdict") or 200), said, b"not for the client")


def asking(**fields: object) -> ExternalAuth:
    return ExternalAuth(**{"backend": GUARD, "host": "guard.test", "uri": ("/check",), **fields})  # type: ignore[arg-type]


def guarded(**fields: object) -> Policy:
    return policy(**{"question": PLAIN, "adds_headers": True, **fields})


def guarded_route(one: Policy, path: str = "/", **fields: object) -> Route:
    return route(path, ECHO, policy=one.digest, external=asking(answers=one.question_answers, **fields))


@pytest.fixture
def guard() -> Iterator[Server]:
    with Server("guard", verdict) as one:
        yield one


@pytest.fixture
def start(new_plane: Callable[..., Plane], guard: Server) -> Iterator[Callable[..., Plane]]:
    """Starts a plane with policies; `ECHO` is a backend, `GUARD` the service."""
    with Server() as server:

        def started(*policies: Policy) -> Plane:
            plane = new_plane(policies=policies)
            plane.put(backend(ECHO, server), backend(GUARD, guard))
            return plane

        yield started


def test_the_service_decides_and_an_answer_that_is_no_verdict_opens_nothing(
    start: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    one = guarded()
    plane = start(one)
    plane.put(host(name("a"), guarded_route(one)))
    expected = {200: 200, 204: 200, 299: 200, 401: 401, 403: 403, 300: 500, 302: 500, 400: 500, 404: 500, 503: 500}
    for said, status in expected.items():
        answer = plane.ask(name("a"), headers={"X-Verdict": str(said)})
        assert answer.status == status, said
        assert b"not for the client" not in answer.body


def test_a_service_that_cannot_be_reached_opens_nothing(
    start: Callable[..., Plane], guard: Server, name: Callable[[str], str]
) -> None:
    one = guarded()
    plane = start(one)
    with refusing() as dead:
        plane.put(
            backend("//dead.test:80", dead),
            backend("//unresolved.test:80"),
            host(name("a"), guarded_route(one, backend="//dead.test:80")),
            host(name("b"), guarded_route(one, backend="//unresolved.test:80")),
            host(name("c"), guarded_route(one, backend="//unknown.test:80")),
            host(name("d"), guarded_route(one)),
        )
        assert [plane.ask(name(label)).status for label in "abcd"] == [500, 500, 500, 200]


def test_the_service_is_told_of_the_request_and_gets_no_body(
    start: Callable[..., Plane], guard: Server, name: Callable[[str], str]
) -> None:
    one = guarded(question=Question(headers=(("X-Extra", "from-$request_method"),)))
    plane = start(one)
    told = asking(
        method="POST", uri=("/a?u=", "$uri", "&e=", "$escaped_request_uri"), redirect=("https://app/", "$args")
    )
    plane.put(host(name("a"), route("/", ECHO, policy=one.digest, external=told)))
    forged = {
        "X-Original-URI": "/x",
        "X-Extra": "x",
        "X-Forwarded-Host": "evil",
        "X-Forwarded-Proto": "https",
        "X-Auth-Request-Redirect": "x",
        "X-Original-URL": "x",
        "X-Sent-From": "x",
        "ssl-client-verify": "SUCCESS",
        "Proxy": "x",
        "Cookie": "session=1",
    }
    answer = plane.ask(name("a"), "/p%20q?x=1", "PUT", headers=forged, body=b"data")
    assert (answer.seen.method, answer.seen.body, answer.seen.target) == ("PUT", "data", "/p%20q?x=1")
    (asked,) = guard.requests
    assert (asked.method, asked.target, asked.body) == ("POST", "/a?u=/p%20q&e=%2Fp%2520q%3Fx%3D1", b"")
    assert {key: asked.header(key) for key in forged} == {
        "X-Original-URI": "/p%20q?x=1",
        "X-Extra": "from-PUT",
        "X-Forwarded-Host": None,
        "X-Forwarded-Proto": None,
        "X-Auth-Request-Redirect": "https://app/x=1",
        "X-Original-URL": f"http://{name('a')}/p%20q?x=1",
        "X-Sent-From": "nginx-ingress-controller",
        "ssl-client-verify": None,
        "Proxy": None,
        "Cookie": "session=1",
    }
    assert asked.header("Host") == "guard.test"
    assert asked.header("Content-Length") is None
    assert (asked.header("X-Original-Method"), asked.header("X-Scheme")) == ("PUT", "http")


def test_variables_of_the_client_cannot_end_the_request_line(
    start: Callable[..., Plane], guard: Server, name: Callable[[str], str]
) -> None:
    one = guarded()
    plane = start(one)
    plane.put(host(name("a"), guarded_route(one, uri=("/x", "$uri"))))
    assert plane.ask(name("a"), "/%20HTTP/1.1%0d%0aX-Evil:%201%0d%0a%0d%0a").status == 200
    (asked,) = guard.requests
    assert asked.target == "/x/%20HTTP/1.1%0D%0AX-Evil:%201%0D%0A%0D%0A"
    assert asked.header("X-Evil") is None


def test_headers_of_the_answer_take_the_place_of_the_client_s(
    start: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    one = guarded(question_answers=("X-User", "Authorization", "X_Role"))
    plane = start(one)
    plane.put(host(name("a"), guarded_route(one)))
    forged = {"X-User": "root", "x-user": "root", "Authorization": "Bearer forged", "X-Say": "X-User=ann"}
    seen = plane.ask(name("a"), headers=forged).seen
    assert (seen.all("X-User"), seen.all("Authorization")) == (["ann"], [])
    seen = plane.ask(name("a"), headers={**forged, "X-Say": "Authorization=Bearer real;X-Other=1"}).seen
    assert (seen.all("X-User"), seen.all("Authorization"), seen.all("X-Other")) == ([], ["Bearer real"], [])


def test_cookies_of_the_service_go_beside_those_of_the_backend(
    new_plane: Callable[..., Plane], guard: Server, name: Callable[[str], str]
) -> None:
    one = guarded()

    def backend_with_cookie(request: Request) -> Reply:
        return Reply(int(request.header("X-Status") or 200), [("Set-Cookie", "own=1")])

    say = {"X-Say": "Set-Cookie=one=1;Set-Cookie=two=2"}
    with Server(handler=backend_with_cookie) as server:
        plane = new_plane(policies=[one])
        plane.put(
            backend(ECHO, server),
            backend(GUARD, guard),
            host(name("a"), guarded_route(one)),
            host(name("b"), guarded_route(one, always_set_cookie=True)),
        )
        for status, label, cookies in (
            (200, "a", ["own=1", "one=1", "two=2"]),
            (302, "a", ["own=1", "one=1", "two=2"]),
            (503, "a", ["own=1"]),
            (503, "b", ["own=1", "one=1", "two=2"]),
        ):
            answer = plane.ask(name(label), headers={**say, "X-Status": str(status)})
            assert (answer.status, answer.all("Set-Cookie")) == (status, cookies)
        refused = {**say, "X-Verdict": "403"}
        assert plane.ask(name("a"), headers=refused).all("Set-Cookie") == []
        assert plane.ask(name("b"), headers=refused).all("Set-Cookie") == ["one=1", "two=2"]


def test_401_becomes_a_redirect_whose_url_the_client_cannot_break(
    start: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    one = guarded(signin=True)
    plane = start(one)
    plane.put(
        host(name("a"), guarded_route(one, signin=("http://login/?rd=", "$scheme", "://", "$http_host", "$uri"))),
        host(name("b"), guarded_route(one, signin=("/start?x=", "$escaped_request_uri"))),
    )
    challenge = "WWW-Authenticate=Bearer x"
    answer = plane.ask(name("a"), "/x%0d%0aY:z", headers={"X-Verdict": "401", "X-Say": challenge})
    assert (answer.status, answer.header("Location")) == (302, f"http://login/?rd=http://{name('a')}/x%0D%0AY:z")
    assert answer.header("WWW-Authenticate") is None
    answer = plane.ask(name("b"), "/a?b", headers={"X-Verdict": "401"})
    assert answer.header("Location") == f"http://{name('b')}/start?x=%2Fa%3Fb"
    assert plane.ask(name("a"), headers={"X-Verdict": "403"}).status == 403


def test_an_answer_that_is_kept_counts_for_its_route_and_key_alone(
    start: Callable[..., Plane], guard: Server, name: Callable[[str], str]
) -> None:
    one = guarded(question_answers=("X-User",))
    plane = start(one)

    def cached(path: str, scope: str, **more: object) -> Route:
        fields = {"cache_scope": scope, "cache_key": ("$http_a", "$http_b"), "cache_valid": (("200", 60), ("401", 60))}
        return guarded_route(one, path, **{**fields, **more})

    plane.put(
        host(name("a"), cached("/", "1"), cached("/other", "2"), cached("/silent", "3", cache_valid=())),
        host(name("b"), cached("/", "4")),
    )

    def asked(label: str, path: str = "/", **headers: str) -> tuple[int, int, list[str]]:
        before = len(guard.requests)
        answer = plane.ask(name(label), path, headers={key.replace("_", "-"): text for key, text in headers.items()})
        user = answer.seen.all("X-User") if answer.status == 200 else []
        return answer.status, len(guard.requests) - before, user

    assert asked("a", A="x", B="y", X_Say="X-User=ann") == (200, 1, ["ann"])
    assert asked("a", A="x", B="y", X_Verdict="403", X_User="forged") == (200, 0, ["ann"])
    assert asked("a", A="xy", B="", X_Verdict="403") == (403, 1, [])
    assert asked("a", A="xy", B="", X_Verdict="200") == (200, 1, [])  # a 403 is not kept
    assert asked("a", "/other", A="x", B="y", X_Verdict="403") == (403, 1, [])
    assert asked("b", A="x", B="y", X_Verdict="403") == (403, 1, [])
    assert asked("a", A="401", X_Verdict="401") == (401, 1, [])
    assert asked("a", A="401", X_Verdict="200") == (401, 0, [])
    for said in ("Cache-Control=no-store", "Cache-Control=private, max-age=9", "Set-Cookie=a=b", "Vary=*", "Expires=0"):
        assert asked("a", A=said, X_Say=said)[:2] == (200, 1)
        assert asked("a", A=said, X_Say=said)[:2] == (200, 1), said
    assert asked("a", A="vary", X_Say="Vary=X-Lang", X_Lang="de")[:2] == (200, 1)
    assert asked("a", A="vary", X_Say="Vary=X-Lang", X_Lang="fr", X_Verdict="403")[:2] == (403, 1)
    assert asked("a", A="vary", X_Say="Vary=X-Lang", X_Lang="de", X_Verdict="403")[:2] == (200, 0)
    assert asked("a", "/silent", A="1")[:2] == (200, 1)
    assert asked("a", "/silent", A="1")[:2] == (200, 1)
    assert asked("a", "/silent", A="2", X_Say="Cache-Control=max-age=60")[:2] == (200, 1)
    assert asked("a", "/silent", A="2", X_Verdict="403")[:2] == (200, 0)


def test_tls_services_at_one_address_are_told_their_own_names_and_share_no_connection(
    new_plane: Callable[..., Plane], server: Server, name: Callable[[str], str]
) -> None:
    names: list[str | None] = []
    pair = self_signed("guard.test")
    kept = Question(tls=True, kept=KeptConnections("one.test", 443, 4, 100, 60))
    one, other = guarded(question=Question(tls=True)), guarded(question=kept)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    plane = new_plane(policies=[one, other])
    (plane.run / "guard.pem").write_text(pair.chain + pair.key)
    context.load_cert_chain(plane.run / "guard.pem")
    context.sni_callback = lambda _socket, asked, _context: names.append(asked)

    def empty(_request: Request) -> Reply:
        return Reply(204)

    with Server("guard", empty, context) as guard:
        plane.put(
            backend(ECHO, server),
            backend(GUARD, guard),
            host(name("a"), guarded_route(one, host="one.test")),
            host(name("b"), guarded_route(one, host="two.test")),
            host(name("c"), guarded_route(other, host="one.test")),
        )
        for label in ("a", "b", "a", "c", "c", "c"):
            assert plane.ask(name(label)).status == 200
    assert names == ["one.test", "two.test", "one.test", "one.test"]


def test_a_path_that_is_named_like_the_question_belongs_to_the_client(
    start: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    one = guarded()
    plane = start(one)
    plane.put(host(name("a"), route("/", ECHO), guarded_route(one, "/g")))
    for target in (f"/tidegate_auth_{PLAIN.digest}", f"//tidegate_auth_{PLAIN.digest}"):
        assert plane.ask(name("a"), target).seen.target == target
    with plane.client() as client:
        client.send(f"GET tidegate_auth_{PLAIN.digest} HTTP/1.1\r\nHost: {name('a')}\r\n\r\n".encode())
        assert client.head().status == 400


def test_requests_over_http_2_are_asked_about_too(start: Callable[..., Plane], name: Callable[[str], str]) -> None:
    one = guarded()
    plane = start(one)
    plane.put(host(name("a"), guarded_route(one)), host(name("b"), guarded_route(one, host="x", uri=("/",))))
    client = h2_client(plane, name("a"))
    with client:
        assert client.ask(name("a"), "/", "POST", b"body").status == 200


GUARDS = ("list", "password", "service")
SUBSETS = [subset for size in range(4) for subset in itertools.combinations(GUARDS, size)]


def test_lists_passwords_and_services_combine_as_satisfy_says(
    start: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    policies = {
        (subset, any_): policy(
            access="list" in subset,
            auth="password" in subset,
            question=PLAIN if "service" in subset else None,
            adds_headers="service" in subset,
            satisfy_any=any_,
        )
        for subset in SUBSETS
        for any_ in (False, True)
    }
    plane = start(*policies.values())
    (plane.run / "users" / "u").write_text("ann:{PLAIN}secret\n")
    for (subset, any_), one in policies.items():
        for grants in itertools.product((False, True), repeat=3):
            granted = [guard for guard, yes in zip(GUARDS, grants, strict=True) if yes and guard in subset]
            label = "-".join((*subset, str(any_).lower(), *map(str, map(int, grants))))
            guarded_path = route(
                "/",
                ECHO,
                policy=one.digest,
                access=Access(allow=("127.0.0.1/32" if "list" in granted else "10.0.0.0/8",))
                if "list" in subset
                else None,
                auth=BasicAuth("r", "u") if "password" in subset else None,
                external=asking() if "service" in subset else None,
            )
            plane.put(host(name(label), guarded_path))
            headers = {**(PASSWORD if "password" in granted else {})}
            headers["X-Verdict"] = "200" if "service" in granted else "403"
            refused = [guard for guard in subset if guard not in granted]
            if not refused or (any_ and granted):
                expected = 200
            elif any_:
                expected = 401 if "password" in refused else 403
            else:
                expected = 401 if refused[0] == "password" else 403
            assert plane.ask(name(label), headers=headers).status == expected, label


def test_a_deny_list_alone_grants_nothing_where_any_guard_is_enough(
    start: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    one = guarded(access=True, satisfy_any=True)
    plane = start(one)
    for label, denied in (("listed", "127.0.0.0/8"), ("other", "10.0.0.0/8")):
        external = asking()
        plane.put(
            host(name(label), route("/", ECHO, policy=one.digest, access=Access(deny=(denied,)), external=external))
        )
        assert plane.ask(name(label), headers={"X-Verdict": "403"}).status == 403
        assert plane.ask(name(label), headers={"X-Verdict": "200"}).status == 200
