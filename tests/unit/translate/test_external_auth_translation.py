"""Authentication by another service: who is asked, and what denies instead of opening."""

from __future__ import annotations

import msgspec
import pytest
from tidegate.findings import ObjectKey
from tidegate.resources.changes import Change, Resolution
from tidegate.resources.model import ConfigMap, Metadata
from tidegate.translate.options import Options
from world import OPTIONS, World, configmap, endpoints, ingress, service

GUARD = "http://guard.test:81/check"


def world(*more: object, options: Options = OPTIONS, **annotations: str) -> World:
    return World(ingress(**annotations), service(), endpoints(), *more, options=options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "backend", "uri", "tls"),
    [
        ("http://auth.$host:/x", "//auth.a.test:80", ("/x",), False),
        ("http://guard.test", "//guard.test:80", ("/",), False),
        ("https://Guard.test?x=1", "//guard.test:443", ("/?x=1",), True),
        ("http://192.0.2.1:81/a/b", "//192.0.2.1:81", ("/a/b",), False),
        ("https://$host/check", "//a.test:443", ("/check",), True),
        ("https://$http_host:8443/", "//a.test:8443", ("/",), True),
        ("http://guard.test/a b", "//guard.test:80", ("/a%20b",), False),
        ("http://guard.test/$request_uri-x", "//guard.test:80", ("/", "$request_uri", "-x"), False),
    ],
)
def test_the_service_and_what_it_is_asked_come_from_the_url(
    url: str, backend: str, uri: tuple[str, ...], tls: bool
) -> None:
    made = world(auth_url=url)
    external = made.route().external
    assert external is not None
    assert (external.backend, external.uri) == (backend, uri)
    policy = made.translator.policies()[0][made.route().policy]
    assert policy.question is not None and policy.question.tls is tls


@pytest.mark.parametrize(
    "url",
    [
        "http://$http_x_target/",
        "http://$hostile/",
        "ftp://guard.test/",
        "http://guard.test:0/",
        "http://guard.test:65536/",
        "http://a_b-.test/",
        "http://guard.test/$",
        "http://guard.test/$tidegate_users",
        "http://guard.test/$1",
    ],
)
def test_a_url_that_makes_no_sense_denies(url: str) -> None:
    made = world(auth_url=url)
    assert (made.route().status, made.route().external) == (503, None)


@pytest.mark.parametrize("host", ["*.a.test", ""])
def test_the_client_s_idea_of_its_host_never_chooses_who_is_asked(host: str) -> None:
    made = world(host=host, auth_url="https://$host/check")
    assert made.route("/", host or "_").status == 503


def test_a_name_is_resolved_and_its_addresses_are_endpoints() -> None:
    made = world(auth_url=GUARD)
    assert made.translator.dns_names() == {"guard.test"}
    assert made.translator.backends["//guard.test:81"].endpoints == ()
    made.translator.update(made.store, made.store.resolve(Resolution("guard.test", ("192.0.2.5", "2001:db8::5"))))
    found = made.translator.backends["//guard.test:81"].endpoints
    assert [(item.address, item.port) for item in found] == [("192.0.2.5", 81), ("[2001:db8::5]", 81)]
    made.put(ingress())
    assert made.translator.dns_names() == frozenset()
    assert "//guard.test:81" not in made.translator.backends


def test_this_machine_is_not_asked_where_names_may_not_lead_to_it() -> None:
    strict = msgspec.structs.replace(OPTIONS, loopback_endpoints=False)
    for name in ("127.0.0.1", "localhost"):
        assert world(auth_url=f"http://{name}:9/").translator.backends[f"//{name}:9"].endpoints
        assert not world(auth_url=f"http://{name}:9/", options=strict).translator.backends[f"//{name}:9"].endpoints


def test_headers_of_the_question_follow_their_configmap() -> None:
    headers = ConfigMap(Metadata("headers", "n"), {"X-Team": "shop", "X-Was": "$request_method"})
    made = world(headers, auth_url=GUARD, auth_proxy_set_headers="n/headers")

    def question() -> object:
        policy = made.translator.policies()[0][made.route().policy]
        return policy.question.headers if policy.question else None

    assert question() == (("X-Team", "shop"), ("X-Was", "$request_method"))
    made.put(msgspec.structs.replace(headers, data={"X-Team": "other"}))
    assert question() == (("X-Team", "other"),)
    made.put(msgspec.structs.replace(headers, data={"X Team": "other"}))
    assert made.route().status == 503
    made.change(Change(ObjectKey("ConfigMap", "n", "headers"), None))
    assert made.route().status == 503


def test_an_ingress_chooses_between_the_global_service_its_own_and_none() -> None:
    common = configmap(global_auth_url="http://global.test/", no_auth_locations="/free")
    made = World(
        common,
        ingress("web", "/", "/free/x"),
        ingress("own", host="own.test", auth_url=GUARD),
        ingress("out", host="out.test", enable_global_auth="false"),
        service(),
        endpoints(),
    )

    def asked(path: str = "/", host: str = "a.test") -> str:
        external = made.route(path, host).external
        return external.backend if external else ""

    assert [asked(), asked("/free/x"), asked(host="own.test"), asked(host="out.test")] == [
        "//global.test:80",
        "",
        "//guard.test:81",
        "",
    ]


def test_answers_are_kept_apart_by_everything_that_could_make_them_differ() -> None:
    key = {"auth_cache_key": "$cookie_a"}

    def scope(path: str = "/", host: str = "a.test", **more: str) -> str:
        made = World(ingress("web", "/", "/x", host=host, **{"auth_url": GUARD, **key, **more}), service(), endpoints())
        external = made.route(path, host).external
        assert external is not None
        return external.cache_scope

    scopes = [
        scope(),
        scope("/x"),
        scope(host="b.test"),
        scope(auth_url=f"{GUARD}?x"),
        scope(auth_method="POST"),
        scope(auth_response_headers="X-User"),
        scope(auth_request_redirect="/x"),
    ]
    assert len(set(scopes)) == len(scopes)
    assert scope(auth_cache_key="") == ""


def test_a_refused_change_of_the_service_leaves_the_former_guard_in_force() -> None:
    made = world(auth_url=GUARD)
    made.put(ingress(auth_url="http://guard.test/a;b"))
    assert made.route().external is not None and made.route().status == 0
    made.put(ingress(auth_url="http://guard.test/a;b", allowlist_source_range="10.0.0.0/8"))
    assert made.route().status == 503
