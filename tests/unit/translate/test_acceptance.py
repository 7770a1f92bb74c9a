"""Which Ingresses are served, and what stands in for a revision that is not accepted."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.resources.model import IngressClass, IngressRule, Metadata
from tidegate.settings.patterns import pattern_fault
from tidegate.translate.acceptance import Hold
from tidegate.translate.options import Options
from world import BAD, OPTIONS, World, configmap, endpoints, ingress, path, service

KEY = ObjectKey("Ingress", "n", "web")
LIST = "10.0.0.0/8"


def is_served(world: World, name: str = "web") -> bool:
    return ObjectKey("Ingress", "n", name) in world.translator.views


def options(**changes: Any) -> Options:
    return msgspec.structs.replace(OPTIONS, **changes)


# -- classes ------------------------------------------------------------------------------------------------------


def test_the_class_field_counts_and_the_annotation_does_not_next_to_it() -> None:
    assert is_served(World(ingress(class_name="nginx", class_annotation="other")))
    assert not is_served(World(ingress(class_name="other", class_annotation="nginx")))


def test_a_class_of_another_controller_is_not_ours() -> None:
    other = IngressClass(Metadata("other"), "example.test/other")
    assert not is_served(World(other, ingress(class_name="other")))


def test_a_class_known_by_name_alone_is_ours_where_that_is_asked_for() -> None:
    named = IngressClass(Metadata("named"), "example.test/other")
    by_name = options(ingress_class="named", ingress_class_by_name=True)
    assert is_served(World(named, ingress(class_name="named"), options=by_name))
    assert not is_served(World(named, ingress(class_name="named"), options=options(ingress_class="named")))


@pytest.mark.parametrize(("annotation", "served"), [("nginx", True), ("other", False), ("", False)])
def test_without_the_field_the_annotation_counts(annotation: str, served: bool) -> None:
    classless = options(watch_ingress_without_class=True)
    assert is_served(World(ingress(class_name=None, class_annotation=annotation), options=classless)) is served


@pytest.mark.parametrize("watch", [True, False])
def test_without_any_class_the_flag_decides(watch: bool) -> None:
    world = World(ingress(class_name=None), options=options(watch_ingress_without_class=watch))
    assert is_served(world) is watch


def test_an_ingress_waits_for_its_class_and_leaves_with_it() -> None:
    late = IngressClass(Metadata("late"), "k8s.io/ingress-nginx")
    world = World(ingress(class_name="late"))
    assert not is_served(world)
    world.put(late)
    assert is_served(world)
    world.delete(late)
    assert not is_served(world)
    assert world.translator.hosts == {}


def test_a_class_that_changes_to_a_foreign_one_takes_the_ingress_away() -> None:
    world = World(ingress())
    world.put(ingress(class_name="other"))
    assert not is_served(world)
    assert world.accepted == {}


def test_other_namespaces_are_not_watched_when_one_is_named() -> None:
    assert not is_served(World(ingress(), options=options(watch_namespace="m")))


# -- rejected revisions -------------------------------------------------------------------------------------------


def test_a_rejected_first_revision_holds_its_paths_for_the_default_backend() -> None:
    world = World(ingress("web", "/", "/x", server_alias=BAD), service(), endpoints())
    assert world.view().hold is Hold.NOT_FOUND
    assert [(route.refused, route.status, route.backend) for route in world.host().routes] == [(True, 0, "")] * 2
    assert world.accepted == {}


def test_a_rejected_first_revision_takes_no_path_from_a_younger_ingress() -> None:
    world = World(ingress(server_alias=BAD), ingress("young", created=9), service(), endpoints())
    assert world.routes() == [("prefix", "/", "young")]
    assert world.findings()[-1].reason in ("Conflict", "InvalidValue")


def test_a_rejected_first_revision_brings_no_certificate_alias_or_balancing() -> None:
    world = World(
        ingress(server_alias=BAD, load_balance="ewma", from_to_www_redirect="true", app_root="/x"),
        ingress("young", "/y", created=9),
        service(),
    )
    assert world.translator.backends["n/app:80"].algorithm == "round_robin"
    assert set(world.translator.hosts) == {"a.test"}
    assert world.host().app_root == ""


def test_a_rejected_change_keeps_the_last_accepted_revision() -> None:
    world = World(ingress("web", "/old", proxy_read_timeout="3"), service(), endpoints())
    world.put(ingress("web", "/new", host="b.test", server_alias=BAD))
    assert set(world.translator.hosts) == {"a.test"}
    assert world.route("/old").read_timeout == 3
    assert not world.view().accepted
    assert world.view().hold is Hold.NONE
    assert world.accepted[KEY] == ingress("web", "/old", proxy_read_timeout="3")


def test_the_next_good_revision_ends_a_hold() -> None:
    world = World(ingress("web", "/old"), service(), endpoints())
    world.put(ingress("web", "/new", server_alias=BAD))
    world.put(ingress("web", "/new"))
    assert ("prefix", "/new", "web") in world.routes()
    assert world.view().accepted
    assert world.findings() == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"whitelist_source_range": LIST}),
        ({"whitelist_source_range": LIST}, {"whitelist_source_range": "192.0.2.0/24"}),
        ({"whitelist_source_range": LIST}, {}),
        ({"auth_type": "basic"}, {"auth_type": "basic", "auth_secret": "users"}),
        ({}, {"limit_rps": "5"}),
        ({}, {"limit_rps": "many"}),
    ],
)
def test_a_rejected_change_of_security_settings_closes_the_paths(before: dict[str, str], after: dict[str, str]) -> None:
    world = World(ingress("web", "/old", **before), service(), endpoints())
    world.put(ingress("web", "/new", server_alias=BAD, **after))
    assert world.view().hold is Hold.CLOSED
    assert {route.path: route.status for route in world.host().routes} == {"/old": 503, "/new": 503, "/": 503}
    assert all(route.backend == "" for route in world.host().routes)


def test_closed_paths_are_not_released_to_another_ingress() -> None:
    world = World(ingress("web", "/old"), ingress("other", "/", "/new", created=1), service(), endpoints())
    world.put(ingress("web", "/new", server_alias=BAD, whitelist_source_range=LIST))
    assert {route.path: (route.labels.ingress, route.status) for route in world.host().routes} == {
        "/old": ("web", 503),
        "/new": ("web", 503),
        "/": ("other", 0),
    }


def test_a_closed_default_backend_keeps_the_catch_all() -> None:
    world = World(ingress(rules=(), default="app"), ingress("hostless", host="", created=1), service(), endpoints())
    assert world.route("/", "_").backend == "n/app:80"
    world.put(ingress(rules=(), default="app", server_alias=BAD, whitelist_source_range=LIST))
    assert (world.route("/", "_").labels.ingress, world.route("/", "_").status) == ("web", 503)


def test_a_rejected_change_of_other_settings_next_to_unchanged_security_keeps_the_old() -> None:
    world = World(ingress(whitelist_source_range=LIST), service(), endpoints())
    world.put(ingress(whitelist_source_range=LIST, server_alias=BAD))
    assert world.view().hold is Hold.NONE
    assert world.route().access is not None


def test_what_was_accepted_survives_a_restart() -> None:
    earlier = World(ingress("web", "/old"), service(), endpoints())
    world = World(ingress("web", "/new", server_alias=BAD), service(), endpoints(), accepted=earlier.accepted)
    assert world.routes() == [("prefix", "/old", "web"), ("prefix", "/", "web")]
    assert world.accepted == earlier.accepted


def test_a_changed_security_setting_is_noticed_over_a_restart() -> None:
    earlier = World(ingress("web", "/old"), service(), endpoints())
    changed = ingress("web", "/old", server_alias=BAD, whitelist_source_range=LIST)
    world = World(changed, service(), endpoints(), accepted=earlier.accepted)
    assert world.view().hold is Hold.CLOSED


def test_what_is_gone_after_a_restart_is_forgotten() -> None:
    earlier = World(ingress("web", "/old"), service())
    world = World(service(), accepted=earlier.accepted)
    assert world.accepted == {}
    world.put(ingress("web", "/new", server_alias=BAD))
    assert world.view().hold is Hold.NOT_FOUND


def test_a_deleted_ingress_leaves_no_revision_behind() -> None:
    world = World(ingress("web", "/old"), service())
    world.delete(ingress())
    world.put(ingress("web", "/new", server_alias=BAD))
    assert world.view().hold is Hold.NOT_FOUND


def test_an_accepted_ingress_that_a_lower_risk_level_forbids_is_not_served_without_its_guards() -> None:
    world = World(ingress(whitelist_source_range=LIST), service(), endpoints())
    world.put(configmap(annotations_risk_level="Low"))
    assert world.route().status == 503
    world.put(configmap())
    assert world.route().access is not None


def test_a_refusal_by_the_data_plane_goes_back_to_the_revision_before() -> None:
    world = World(ingress(proxy_read_timeout="3"), service(), endpoints())
    world.put(ingress(proxy_body_size="8m"))
    bad = world.route().policy
    keys = world.translator.refuse([bad], "no such thing")
    delta = world.translator.update(world.store, keys)
    assert delta.accepted == {KEY: ingress(proxy_read_timeout="3")}
    assert world.route().read_timeout == 3
    assert [finding.message for finding in world.findings()] == ["NGINX says: no such thing"]


def test_a_refusal_of_the_first_revision_by_the_data_plane_is_remembered_as_none() -> None:
    world = World(ingress(proxy_body_size="8m"), service(), endpoints())
    delta = world.translator.update(world.store, world.translator.refuse([world.route().policy], "no"))
    assert delta.accepted == {KEY: None}
    assert world.route().refused


# -- what refuses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["/etc/passwd", "/x/ETC/shadow", "/var/run/secrets/x", "/content_by_lua_block", "/x;alias /;", "/root /etc;"],
)
def test_deep_inspection_refuses_paths_that_reach_for_the_server(text: str) -> None:
    world = World(ingress("web", path(text, kind="ImplementationSpecific")), service())
    assert world.view().hold is Hold.NOT_FOUND
    assert [(item.severity, item.field) for item in world.findings()] == [
        (Severity.ERROR, "spec.rules[0].http.paths[0].path")
    ]
    relaxed = World(ingress("web", path(text)), service(), options=options(deep_inspect=False))
    assert relaxed.view().hold is Hold.NONE


def test_a_default_backend_is_refused_where_catch_alls_are_disabled() -> None:
    world = World(ingress(default="app"), service(), options=options(disable_catch_all=True))
    assert world.view().hold is Hold.NOT_FOUND


def test_an_ingress_that_becomes_a_catch_all_leaves_nothing_of_itself_where_they_are_disabled() -> None:
    world = World(ingress(), service(), options=options(disable_catch_all=True))
    assert world.view().accepted
    world.put(ingress(default="app", rules=()))
    assert world.view().hold is Hold.NOT_FOUND
    assert "a.test" not in world.translator.hosts
    assert world.accepted == {}


def test_a_broken_pattern_is_refused_only_where_it_is_one() -> None:
    assert World(ingress("web", "/a(b"), service()).view().accepted
    world = World(ingress("web", "/a(b", use_regex="true"), service())
    assert world.view().hold is Hold.NOT_FOUND
    assert world.findings()[0].field == "spec.rules[0].http.paths[0].path"


@pytest.mark.parametrize("text", ["/a(b", "/a[", "/a)", "/a**", "*", "/a\\", "/[z-a]", r"/\\(", "(" * 5000])
def test_patterns_that_no_engine_takes_have_a_fault(text: str) -> None:
    assert pattern_fault(text)


@pytest.mark.parametrize(
    "text",
    [
        "/a/(.*)",
        r"/(?<id>[0-9]+)/\w",
        "/(?'id'x)",
        r"/\p{L}+\h",
        "/(?i)x",
        "/(?|a|b)",
        "/a*+b",
        r"/\Q(\E",
        "/[[:alpha:]]",
        "/(?R)?",
        r"/\\\(",
        "/(?<=a)b(?<!c)",
        "/[(?R)]",
    ],
)
def test_patterns_of_pcre_that_python_does_not_know_have_none(text: str) -> None:
    assert pattern_fault(text) == ""


def test_a_blocked_word_rejects() -> None:
    world = World(configmap(annotation_value_word_blocklist="evil"), ingress(app_root="/evil"), service())
    assert world.view().hold is Hold.NOT_FOUND


def test_findings_of_a_rejected_revision_name_the_ingress_and_the_field() -> None:
    world = World(ingress(server_alias=BAD), service())
    (finding,) = world.findings()
    assert isinstance(finding, Finding)
    assert finding.object == KEY
    assert finding.field == "metadata.annotations[nginx.ingress.kubernetes.io/server-alias]"
    assert repr(BAD) in finding.message


def test_of_the_same_second_the_larger_name_counts_as_the_older() -> None:
    world = World(ingress("alpha"), ingress("beta"), ingress("alph"), service())
    assert world.routes() == [("prefix", "/", "beta")]
    world.delete(ingress("beta"))
    assert world.routes() == [("prefix", "/", "alpha")]


def test_a_rule_without_paths_declares_its_host() -> None:
    world = World(ingress(rules=(IngressRule("a.test", None),), default="app"), service())
    assert world.route().backend == "n/app:80"


def test_another_configmap_is_not_read() -> None:
    world = World(ingress(), service(), options=options(configmap=ObjectKey("ConfigMap", "x", "y")))
    world.put(configmap(proxy_read_timeout="3"))
    assert world.translator.globals.read_timeout == 60
