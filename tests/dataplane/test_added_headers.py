"""Headers that a route adds to its answers, whoever made them: for other origins, and those of a ConfigMap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dataplane import Nginx, Plane, Reply, Request, Server, backend, host, policy, refusing, route, running
from tidegate.model import Access, Cors, Redirect, Rewrite, Route, TLSRedirect

APP, NOBODY, DEAD, PAGES = "ns/app:80", "ns/nobody:80", "ns/dead:80", "ns/pages:80"
ADDING = policy(adds_headers=True)
LISTED = policy(adds_headers=True, access=True)
REPLACING = policy(adds_headers=True, intercept=(404, 503))
ALL = Cors(("*",), 5, methods="GET, PUT", headers="X-A,X-B", expose="X-C", credentials=True)
SOME = Cors(("https://One.test:8443", "http://*.two.test", "null", "app://*.x.y"), 5)
ALLOW = "Access-Control-Allow-Origin"


def app(request: Request) -> Reply:
    """Answers with a status and headers of its own that the route has an opinion about."""
    status = int(request.target.partition("_status=")[2] or 200)
    own = [(ALLOW, "http://backend.test"), ("X-Frame-Options", "SAMEORIGIN"), ("X-Frame-Options", "second")]
    return Reply(status, own, b"from the backend")


@pytest.fixture(scope="module")
def plane(nginx: Nginx) -> Iterator[Plane]:
    with (
        running(nginx, policies=[ADDING, LISTED, REPLACING]) as one,
        Server("app", app) as server,
        Server("pages", lambda _request: Reply(200, body=b"page")) as pages,
        refusing() as dead,
    ):
        one.put(backend(APP, server), backend(NOBODY), backend(DEAD, dead), backend(PAGES, pages))
        yield one


def adding(backend_name: str = APP, **fields: Any) -> Route:
    one = fields.pop("policy", ADDING)
    return route(fields.pop("path", "/"), backend_name, policy=one.digest, **fields)


def test_every_answer_of_a_route_tells_other_origins_the_same(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(
        host(name("app"), adding(cors=ALL)),
        host(name("nobody"), adding(NOBODY, cors=ALL)),
        host(name("dead"), adding(DEAD, cors=ALL)),
        host(name("listed"), adding(cors=ALL, access=Access(allow=("10.0.0.0/8",)), policy=LISTED)),
        host(name("moved"), adding(cors=ALL, redirect=Redirect(301, "http://else.test/"))),
        host(name("https"), adding(cors=ALL, tls_redirect=TLSRedirect(force=True))),
        host(name("away"), adding(cors=ALL, rewrite=Rewrite("/", "http://else.test/"))),
        host(name("large"), adding(cors=ALL, body_limit=1)),
    )
    expected = {"app": 200, "nobody": 503, "dead": 502, "listed": 403, "moved": 301, "https": 308, "away": 302}
    for label, status in expected.items():
        answer = plane.ask(name(label))
        assert (answer.status, answer.all(ALLOW)) == (status, ["*"]), label
    for status in (201, 304, 404, 500):
        answer = plane.ask(name("app"), f"/?_status={status}")
        assert (answer.status, answer.all(ALLOW)) == (status, ["*"])
    answer = plane.ask(name("large"), method="POST", body=b"too much")
    assert (answer.status, answer.all(ALLOW)) == (413, ["*"])
    sent = {key: value for key, value in plane.ask(name("app")).headers if key.startswith("Access-Control")}
    assert sent == {
        ALLOW: "*",
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Methods": "GET, PUT",
        "Access-Control-Allow-Headers": "X-A,X-B",
        "Access-Control-Expose-Headers": "X-C",
        "Access-Control-Max-Age": "5",
    }


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        ("https://one.test:8443", True),
        ("HTTPS://ONE.test:8443", True),
        ("https://one.test", False),
        ("https://one.test:84430", False),
        ("xhttps://one.test:8443", False),
        ("https://one.test:8443.evil.test", False),
        ("http://a.two.test", True),
        ("http://two.test", False),
        ("http://.two.test", False),
        ("http://*.two.test", False),
        ("http://a.b.two.test", False),
        ("http://a.two.test:80", False),
        ("http://evil.test/.two.test", False),
        ("null", True),
        ("app://z.x.y", True),
        ("", False),
    ],
)
def test_an_origin_is_echoed_only_if_it_is_one_of_those_listed(
    plane: Plane, name: Callable[[str], str], origin: str, admitted: bool
) -> None:
    plane.put(host(name("a"), adding(cors=SOME)))
    for method in ("GET", "OPTIONS"):
        answer = plane.ask(name("a"), method=method, headers={"Origin": origin})
        wanted = [origin] if admitted else ["http://backend.test"]
        assert answer.all(ALLOW) == wanted
        assert answer.status == (204 if admitted and method == "OPTIONS" else 200)
    assert plane.ask(name("a"), method="OPTIONS").status == 200


def test_a_preflight_is_answered_before_redirects_and_guards_and_has_no_body(
    plane: Plane, name: Callable[[str], str]
) -> None:
    plane.put(
        host(name("listed"), adding(cors=ALL, access=Access(allow=("10.0.0.0/8",)), policy=LISTED)),
        host(name("moved"), adding(cors=ALL, redirect=Redirect(301, "http://else.test/"))),
        host(name("nobody"), adding(NOBODY, cors=ALL)),
        host(name("denied"), adding(cors=ALL, status=503)),
    )
    for label in ("listed", "moved", "nobody"):
        with plane.client() as client:
            answer = client.ask(name(label), "/x", "OPTIONS")
            assert (answer.status, answer.body, answer.header("Location")) == (204, b"", None)
            assert answer.all(ALLOW) == ["*"]
            assert client.ask(name(label), "/x", "OPTIONS", body=b"with a body").status == 204
    denied = plane.ask(name("denied"), method="OPTIONS")
    assert (denied.status, denied.all(ALLOW)) == (503, [])


def test_answers_of_an_error_backend_carry_nothing_of_the_route(plane: Plane, name: Callable[[str], str]) -> None:
    fields: dict[str, Any] = {"cors": ALL, "headers": (("X-Frame-Options", "DENY"),), "intercepts": True}
    plane.put(
        host(name("a"), adding(policy=REPLACING, error_backend=PAGES, **fields)),
        host(name("b"), adding(NOBODY, policy=REPLACING, error_backend=PAGES, **fields)),
    )
    for label, target in (("a", "/?_status=404"), ("b", "/")):
        answer = plane.ask(name(label), target)
        assert (answer.status, answer.body) == (200, b"page")
        assert (answer.all(ALLOW), answer.all("X-Frame-Options")) == ([], [])
    assert plane.ask(name("a"), "/?_status=500").all(ALLOW) == ["*"]


def test_headers_of_a_route_take_the_place_of_the_backend_s_on_every_status(
    plane: Plane, name: Callable[[str], str]
) -> None:
    own = (("X-Frame-Options", "DENY"), ("X-Text", 'a, b; c="$remote_addr"'))
    plane.put(
        host(name("a"), adding(headers=own), route("/other", APP)),
        host(name("gone"), adding(NOBODY, headers=own)),
        host(name("cleared"), adding(headers=(("X-Frame-Options", ""),))),
    )
    for status in (200, 304, 404, 503):
        answer = plane.ask(name("a"), f"/?_status={status}")
        assert (answer.status, answer.all("X-Frame-Options")) == (status, ["DENY"])
        assert answer.header("X-Text") == 'a, b; c="$remote_addr"'
    assert plane.ask(name("gone")).all("X-Frame-Options") == ["DENY"]
    assert plane.ask(name("cleared")).all("X-Frame-Options") == []
    other = plane.ask(name("a"), "/other")
    assert (other.all("X-Frame-Options"), other.header("X-Text")) == (["SAMEORIGIN", "second"], None)
