"""Regex mode and its order, rewrites, canaries, aliases and the names that hosts claim."""

from __future__ import annotations

import pytest
from tidegate.resources.model import Ingress, IngressPath
from world import BAD, World, configmap, endpoints, ingress, path, service

FREE = "ImplementationSpecific"


def pattern(text: str, name: str = "app") -> IngressPath:
    return path(text, name, kind=FREE)


# -- the order of patterns ----------------------------------------------------------------------------------------


def test_without_patterns_nothing_is_one() -> None:
    world = World(ingress("web", "/x", path("/y", kind="Exact"), pattern("/z")), service())
    assert not world.host().regex
    assert {match for match, _, _ in world.routes()} == {"prefix", "exact"}


def test_patterns_are_tried_longest_first_then_by_descending_text() -> None:
    world = World(ingress("web", "/b", "/a", "/aaa", pattern("/[a-z]"), use_regex="true"), service())
    assert [text for _, text, _ in world.routes()] == ["/[a-z]", "/aaa", "/b", "/a", "/"]


def test_length_counts_bytes_as_nginx_does() -> None:
    world = World(ingress("web", "/éé", "/abc", use_regex="true"), service())
    assert [text for _, text, _ in world.routes()] == ["/éé", "/abc", "/"]


@pytest.mark.parametrize("kinds", [("Exact", "Prefix"), ("Prefix", "Exact")])
def test_of_one_text_the_path_that_is_declared_first_is_tried_first(kinds: tuple[str, str]) -> None:
    paths = [path("/foo", kind, kind=kind) for kind in kinds]
    world = World(ingress("web", *paths, use_regex="true"), service())
    found = [route.backend for route in world.host().routes if route.path == "/foo"]
    assert found == [f"n/{kind}:80" for kind in kinds]


@pytest.mark.parametrize("kinds", [("Exact", "Prefix"), ("Prefix", "Exact")])
def test_a_prefix_beside_an_exact_path_is_a_pattern_for_what_is_below_it(kinds: tuple[str, str]) -> None:
    plain = ingress("plain", *(path("/foo", kind, kind=kind) for kind in kinds))
    world = World(ingress("patterns", pattern("/x"), use_regex="true", created=1), plain, service())
    texts = {"Exact": "/foo", "Prefix": "/foo/"}
    found = [(route.path, route.backend) for route in world.host().routes if route.path.startswith("/foo")]
    assert found == [(texts[kind], f"n/{kind}:80") for kind in kinds]


def test_logs_metrics_and_cookies_name_the_path_that_was_declared() -> None:
    plain = ingress("plain", path("/foo", kind="Exact"), "/foo", affinity="cookie")
    world = World(ingress("patterns", pattern("/x"), use_regex="true", created=1), plain, service())
    route = world.route("/foo/")
    assert (route.labels.path, route.affinity and route.affinity.path) == ("/foo", "/foo")


def test_an_exact_root_comes_behind_the_root_that_every_host_has() -> None:
    world = World(ingress("web", path("/", "exact", kind="Exact"), "/x", use_regex="true", default="all"), service())
    assert [route.backend for route in world.host().routes if route.path == "/"] == ["n/all:80", "n/exact:80"]


def test_one_ingress_with_patterns_turns_all_paths_of_the_host_into_patterns() -> None:
    world = World(
        ingress("patterns", pattern("/x"), use_regex="true"),
        ingress("plain", "/y", path("/z", kind="Exact"), created=1),
        ingress("elsewhere", host="b.test"),
        service(),
    )
    assert world.host().regex
    assert {match for match, _, _ in world.routes()} == {"regex"}
    assert not world.host("b.test").regex


def test_regex_mode_ends_with_the_ingress_that_asked_for_it() -> None:
    asking = ingress("patterns", pattern("/x"), use_regex="true")
    world = World(asking, ingress("plain", "/y", created=1), service())
    world.delete(asking)
    assert not world.host().regex
    assert world.routes() == [("prefix", "/y", "plain"), ("prefix", "/", "plain")]


def test_an_ingress_that_is_not_accepted_makes_no_patterns() -> None:
    world = World(ingress("bad", "/x", use_regex="true", server_alias=BAD), ingress("good", "/y", created=1), service())
    assert not world.host().regex


# -- rewrites -----------------------------------------------------------------------------------------------------


def rewrites(world: World) -> dict[str, tuple[str, str] | None]:
    return {
        route.path: (route.rewrite.pattern, route.rewrite.target) if route.rewrite else None
        for route in world.host().routes
    }


@pytest.mark.parametrize(
    ("text", "kind", "target", "expected"),
    [
        ("/same", "Prefix", "/same", {"/same/": ("/same/", "/same"), "/same": None, "/": ("/", "/same")}),
        ("/same/", "Prefix", "/same/", {"/same/": None, "/": ("/", "/same/")}),
        ("/same", "Exact", "/same", {"/same": None, "/": ("/", "/same")}),
        ("/", "Prefix", "/", {"/": None}),
        ("/x", "Prefix", "/y", {"/x": ("/x", "/y"), "/": ("/", "/y")}),
        ("/", "Prefix", "/y", {"/": ("/", "/y")}),
        ("/x", "Prefix", "/", {"/x": ("/x", "/"), "/": None}),
    ],
)
def test_a_target_equal_to_the_path_rewrites_only_the_other_forms_of_it(
    text: str, kind: str, target: str, expected: dict[str, tuple[str, str] | None]
) -> None:
    world = World(ingress("web", path(text, kind=kind), rewrite_target=target), service())
    assert rewrites(world) == expected
    assert world.host().regex is any(expected.values())


def test_the_prefix_header_is_sent_only_where_something_is_rewritten() -> None:
    world = World(ingress("web", "/x", rewrite_target="/", x_forwarded_prefix="/x"), service())
    rewrite = world.route("/x").rewrite
    assert rewrite is not None
    assert rewrite.forwarded_prefix == "/x"
    assert world.route("/").rewrite is None


def test_a_rewrite_is_told_of_variables_that_stay_empty() -> None:
    known = ingress("web", pattern("/(?<rest>.*)/(a)"), rewrite_target="/$rest/$1/$host/$service_name")
    world = World(known, service())
    assert world.findings() == ()
    world.put(ingress("web", pattern("/(?<rest>.*)"), rewrite_target="/$other", x_forwarded_prefix="/$nonesuch"))
    found = {(finding.field.rpartition("/")[2], finding.message.split()[3]) for finding in world.findings()}
    assert found == {("rewrite-target]", "$other,"), ("x-forwarded-prefix]", "$nonesuch,")}
    world.put(configmap(http_snippet="map $host $other { default a; }\nmap $host $nonesuch { default b; }"))
    assert world.findings() == ()


def test_a_backend_for_everything_is_neither_rewritten_nor_redirected() -> None:
    world = World(
        ingress(
            rules=(),
            default="app",
            rewrite_target="/x",
            permanent_redirect="https://b.test",
            force_ssl_redirect="true",
            app_root="/y",
            proxy_read_timeout="3",
        ),
        service(),
    )
    route = world.route("/", "_")
    assert (route.rewrite, route.redirect, route.tls_redirect, route.read_timeout) == (None, None, None, 3)
    assert (world.host("_").regex, world.host("_").app_root) == (False, "")


def test_a_backend_for_everything_beats_a_rule_for_the_root_whatever_its_age() -> None:
    world = World(ingress("rule", host=""), ingress("all", rules=(), default="app", created=9), service())
    assert world.routes("_") == [("prefix", "/", "all")]
    assert [item.reason for item in world.findings("rule")] == ["Conflict"]


def test_the_second_backend_for_everything_is_told_that_it_is_not_used() -> None:
    world = World(ingress("b", rules=(), default="app"), ingress("a", rules=(), default="app", created=1), service())
    assert world.routes("_") == [("prefix", "/", "b")]
    assert [item.reason for item in world.findings("a")] == ["Conflict"]


# -- canaries -----------------------------------------------------------------------------------------------------


def canaries(world: World, host: str = "a.test") -> dict[tuple[str, str], str]:
    return {
        (route.match.value, route.path): " ".join(canary.backend for canary in route.canaries)
        for route in world.host(host).routes
        if route.canaries
    }


def canary(*paths: IngressPath | str, name: str = "canary", created: int = 1, **annotations: str) -> Ingress:
    settings = {"canary": "true", "canary_weight": "10", **annotations}
    return ingress(name, *paths, created=created, **settings)


def test_a_canary_attaches_to_the_same_path_and_type_alone() -> None:
    world = World(
        ingress("main", "/x", path("/x", kind="Exact"), "/y"),
        canary(path("/x", "new"), path("/y", "new", kind="Exact"), path("/z", "new")),
    )
    assert canaries(world) == {("prefix", "/x"): "n/new:80"}
    assert not any(text == "/z" for _, text, _ in world.routes())


def test_a_canary_alone_makes_no_host() -> None:
    assert World(canary()).translator.hosts == {}


def test_a_canary_may_be_older_than_what_it_attaches_to() -> None:
    world = World(canary(path("/", "new"), created=0), ingress("main", created=5))
    assert canaries(world) == {("prefix", "/"): "n/new:80"}


def test_all_canaries_of_a_path_count_in_the_order_of_their_age() -> None:
    world = World(
        ingress("main"), canary(path("/", "second"), created=3), canary(path("/", "first"), name="other", created=2)
    )
    assert canaries(world) == {("prefix", "/"): "n/first:80 n/second:80"}
    assert world.findings("canary") == world.findings("other") == ()


def test_a_canary_that_names_a_path_twice_counts_once() -> None:
    world = World(ingress("main"), canary(path("/", "first"), path("/", "second")))
    assert canaries(world) == {("prefix", "/"): "n/first:80"}


def test_a_canary_that_older_ones_leave_less_than_its_weight_is_told_so() -> None:
    world = World(
        ingress("main"),
        canary(name="one", created=2, canary_weight="70"),
        canary(name="two", created=3, canary_weight="200", canary_weight_total="400"),
    )
    assert world.findings("one") == ()
    (finding,) = world.findings("two")
    assert (finding.reason, finding.field) == (
        "Conflict",
        "metadata.annotations[nginx.ingress.kubernetes.io/canary-weight]",
    )
    assert "asks for 50% of the requests for host" in finding.message
    assert "its older canaries leave 30%" in finding.message


def test_a_canary_of_another_namespace_brings_its_own_service() -> None:
    world = World(ingress("main"), ingress("c", path("/", "new"), namespace="m", canary="true", canary_weight="5"))
    assert canaries(world) == {("prefix", "/"): "m/new:80"}


def test_the_default_backend_has_no_canary() -> None:
    world = World(ingress("main", "/x"), canary(path("/", "new")))
    assert canaries(world) == {}
    assert "n/new:80" not in world.translator.backends


def test_a_default_backend_of_the_ingress_has_one() -> None:
    world = World(ingress("main", "/x", default="app"), canary(path("/", "new")))
    assert canaries(world) == {("prefix", "/"): "n/new:80"}


def test_a_default_backend_of_a_canary_attaches_to_all_paths_without_host() -> None:
    item = ingress("new", rules=(), default="new", created=1, canary="true", canary_weight="10")
    world = World(ingress("all", rules=(), default="app"), ingress("some", "/x", host=""), ingress("other"), item)
    assert canaries(world, "_") == {("prefix", "/"): "n/new:80", ("prefix", "/x"): "n/new:80"}
    assert canaries(world) == {}
    world.delete(item)
    assert canaries(world, "_") == {}


def test_a_canary_with_rules_gives_its_default_backend_to_paths_without_host() -> None:
    world = World(ingress("all", rules=(), default="app"), ingress("main"), canary(path("/", "new"), name="c"))
    assert (canaries(world), canaries(world, "_")) == ({("prefix", "/"): "n/new:80"}, {})
    world.put(ingress("c", path("/", "new"), default="else", created=1, canary="true", canary_weight="10"))
    assert (canaries(world), canaries(world, "_")) == ({("prefix", "/"): "n/new:80"}, {("prefix", "/"): "n/else:80"})


def test_a_default_backend_of_a_canary_alone_makes_no_catch_all() -> None:
    assert World(ingress(rules=(), default="new", canary="true")).translator.hosts == {}


def test_a_refused_canary_gets_no_traffic_and_a_refused_main_no_canary() -> None:
    assert canaries(World(ingress("main"), canary(path("/", "new"), server_alias=BAD))) == {}
    assert canaries(World(ingress("main", server_alias=BAD), canary(path("/", "new")))) == {}


def test_a_canary_leaves_without_a_trace() -> None:
    item = canary(path("/", "new"))
    world = World(ingress("main"), item)
    world.delete(item)
    assert canaries(world) == {}
    assert set(world.translator.backends) == {"n/app:80"}


def test_a_weight_total_below_a_hundred_counts_as_a_hundred() -> None:
    world = World(ingress("main"), canary(path("/", "new"), canary_weight="5", canary_weight_total="10"))
    (rule,) = world.route().canaries
    assert (rule.weight, rule.total) == (5, 100)


def test_canary_annotations_without_canary_make_an_ordinary_ingress() -> None:
    world = World(ingress("main"), ingress("web", created=1, canary_weight="50"), service(), endpoints())
    assert canaries(world) == {}
    assert [item.reason for item in world.findings()] == ["Conflict"]


def test_a_canary_brings_no_server_settings() -> None:
    world = World(
        ingress("main"),
        canary(
            path("/", "new"), server_alias="alias.test", app_root="/x", use_regex="true", from_to_www_redirect="true"
        ),
    )
    assert set(world.translator.hosts) == {"a.test"}
    assert (world.host().app_root, world.host().regex) == ("", False)


# -- claimed names ------------------------------------------------------------------------------------------------


def test_an_alias_loses_to_a_host_also_to_one_that_comes_later_and_wins_again_when_it_goes() -> None:
    world = World(ingress(server_alias="b.test"), service())
    assert world.host("b.test").alias_of == "a.test"
    later = ingress("later", host="b.test", created=5)
    world.put(later)
    assert world.host("b.test").alias_of == ""
    world.delete(later)
    assert world.host("b.test").alias_of == "a.test"


@pytest.mark.parametrize("alias", ["_", "a.test"])
def test_an_alias_cannot_be_the_catch_all_or_the_host_itself(alias: str) -> None:
    world = World(ingress(server_alias=alias), service())
    assert set(world.translator.hosts) == {"a.test"}


def test_an_alias_may_be_a_pattern_whose_case_is_kept() -> None:
    world = World(ingress(server_alias=r"~^pr-\d+\.A\.test$"), service())
    assert world.host(r"~^pr-\d+\.A\.test$").alias_of == "a.test"
    assert world.translator.default_route().host_patterns == (r"~^pr-\d+\.A\.test$",)


def test_a_pattern_that_is_none_is_left_out_with_the_reason() -> None:
    world = World(ingress(server_alias="~^pr-(,b.test"), service())
    assert set(world.translator.hosts) == {"a.test", "b.test"}
    (finding,) = [item for item in world.translator.findings() if "server-alias" in item.field]
    assert finding.reason == "InvalidValue" and "not a valid regular expression" in finding.message


@pytest.mark.parametrize(
    ("alias", "names"),
    [
        ("*.B.test", {"*.b.test", r"~^.+\.b\.test$"}),
        (".b.test", {"b.test", "*.b.test", r"~^.+\.b\.test$"}),
        ("www.b.*", {r"~^www\.b\..+$"}),
    ],
)
def test_a_wildcard_alias_takes_names_of_any_number_of_labels(alias: str, names: set[str]) -> None:
    world = World(ingress(server_alias=alias), service())
    assert set(world.translator.hosts) == {"a.test", *names}
    assert {world.host(name).alias_of for name in names} == {"a.test"}


def test_of_wildcard_aliases_the_longest_is_tried_first_and_patterns_come_behind() -> None:
    world = World(ingress(server_alias="*.b.test,*.zz.b.test,~^a"), service())
    assert world.translator.default_route().host_patterns == (r"~^.+\.zz\.b\.test$", r"~^.+\.b\.test$", "~^a")


@pytest.mark.parametrize("alias", ["a*.test", "*", "*.*.test", ".", ".*", "*.b.*"])
def test_an_alias_that_is_no_name_is_left_out_with_the_reason(alias: str) -> None:
    world = World(ingress(server_alias=f"{alias},b.test"), service())
    assert set(world.translator.hosts) == {"a.test", "b.test"}
    (finding,) = [item for item in world.translator.findings() if "server-alias" in item.field]
    assert finding.reason == "InvalidValue" and "allowed: a name, *.name, .name" in finding.message


@pytest.mark.parametrize("alias", ["~^x", "x.*"])
def test_a_host_with_a_server_of_its_own_has_no_pattern_as_an_alias(alias: str) -> None:
    """NGINX would have to choose the server by that pattern, which the catch-all one could then not serve."""
    world = World(ingress(server_alias=alias, ssl_ciphers="AES128-SHA"), service())
    assert set(world.translator.hosts) == {"a.test"}
    assert any("cannot have as an alias" in item.message for item in world.translator.findings())


def test_a_wildcard_alias_of_a_host_with_a_server_of_its_own_takes_one_label() -> None:
    world = World(ingress(server_alias=".b.test", ssl_ciphers="AES128-SHA"), service())
    assert set(world.translator.hosts) == {"a.test", "b.test", "*.b.test"}


def test_the_first_ingress_with_aliases_brings_them() -> None:
    world = World(
        ingress("none", "/0"),
        ingress("first", "/1", created=1, server_alias="one.test"),
        ingress("second", "/2", created=2, server_alias="two.test"),
        service(),
    )
    assert set(world.translator.hosts) == {"a.test", "one.test"}


def test_a_www_name_redirects_with_the_code_of_the_configmap() -> None:
    host = World(ingress(from_to_www_redirect="true"), service()).host("www.a.test")
    assert (host.redirect_to, host.redirect_status, host.routes) == ("a.test", 308, ())


@pytest.mark.parametrize("owner", ["a.test", "0.test"])
def test_a_www_name_redirects_also_where_it_is_an_alias(owner: str) -> None:
    redirecting = ingress("web", from_to_www_redirect="true")
    world = World(ingress("other", host=owner, server_alias="www.a.test", created=1), redirecting)
    assert (world.host("www.a.test").redirect_to, world.host("www.a.test").alias_of) == ("a.test", "")
    world.delete(redirecting)
    assert world.host("www.a.test").alias_of == owner


def test_a_wildcard_host_has_no_www_name() -> None:
    world = World(ingress(host="*.a.test", from_to_www_redirect="true"), service())
    assert set(world.translator.hosts) == {"*.a.test"}
