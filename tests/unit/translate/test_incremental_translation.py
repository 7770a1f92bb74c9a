"""Translating only what a change touches gives what translating everything anew would give."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_pairs import pair_for
from tidegate.findings import ObjectKey
from tidegate.resources.changes import Change, Resolution
from tidegate.resources.model import (
    Endpoint,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    Ingress,
    IngressClass,
    IngressRule,
    IngressTLS,
    Metadata,
    Namespace,
    Resource,
    ServicePort,
)
from tidegate.store import Store
from tidegate.translate.delta import Delta
from tidegate.translate.engine import Translator
from tidegate.translate.options import Options
from world import BAD, CONFIGMAP, NGINX, World, configmap, endpoints, ingress, path, secret, service

OPTIONS = Options(
    configmap=CONFIGMAP,
    default_backend=ObjectKey("Service", "n", "fallback"),
    default_certificate=ObjectKey("Secret", "n", "cert-default"),
)

HOSTS = ("", "a.test", "b.test", "www.a.test", "*.b.test")
SERVICES = ("app", "web", "fallback")
PATHS = ("/", "/x", "/x/", "/x/[0-9]+", "/.well-known/acme-challenge")
ANNOTATIONS: tuple[dict[str, str], ...] = (
    {"server_alias": "b.test,c.test"},
    {"server_alias": BAD},
    {"from_to_www_redirect": "true"},
    {"use_regex": "true"},
    {"rewrite_target": "/x"},
    {"canary": "true", "canary_weight": "20"},
    {"whitelist_source_range": "10.0.0.0/8"},
    {"whitelist_source_range": "nobody"},
    {"auth_type": "basic", "auth_secret": "users"},
    {"auth_type": "digest", "auth_secret": "users"},
    {"default_backend": "fallback"},
    {"default_backend": "web", "custom_http_errors": "404"},
    {"limit_rps": "5"},
    {"limit_rps": "many"},
    {"proxy_body_size": "8m"},
    {"proxy_read_timeout": "3"},
    {"load_balance": "ewma"},
    {"upstream_hash_by": "$uri"},
    {"service_upstream": "true"},
    {"affinity": "cookie"},
    {"app_root": "/x"},
    {"permanent_redirect": "https://elsewhere.test"},
    {"force_ssl_redirect": "true"},
    {"enable_cors": "true"},
    {"auth_url": "http://login.test/"},
)
DATA: tuple[dict[str, str], ...] = (
    {"proxy_body_size": "8m"},
    {"whitelist_source_range": "10.0.0.0/8"},
    {"whitelist_source_range": "nobody"},
    {"annotations_risk_level": "Low"},
    {"annotation_value_word_blocklist": "basic"},
    {"load_balance": "ewma"},
    {"no_tls_redirect_locations": "/x"},
    {"no_auth_locations": "/x"},
    {"proxy_read_timeout": "3"},
    {"custom_http_errors": "404"},
    {"http_redirect_code": "301"},
)


def together(choices: tuple[dict[str, str], ...], most: int) -> st.SearchStrategy[dict[str, str]]:
    return st.lists(st.sampled_from(choices), max_size=most).map(
        lambda found: {k: v for d in found for k, v in d.items()}
    )


def paths() -> st.SearchStrategy[Any]:
    one = st.builds(
        path,
        st.sampled_from(PATHS),
        st.sampled_from((*SERVICES, "nowhere", "")),
        st.sampled_from((80, 81, "web")),
        st.sampled_from(("Exact", "Prefix", "ImplementationSpecific")),
    )
    return st.none() | st.lists(one, min_size=1, max_size=3).map(tuple)


RULES = st.lists(st.builds(IngressRule, st.sampled_from(HOSTS), paths()), max_size=2).map(tuple)
TLS = st.lists(
    st.builds(
        IngressTLS,
        st.lists(st.sampled_from(HOSTS[1:]), max_size=1).map(tuple),
        st.sampled_from(("", "cert-a", "cert-b", "gone")),
    ),
    max_size=1,
)


@st.composite
def ingresses(draw: st.DrawFn) -> Resource:
    return ingress(
        draw(st.sampled_from(("one", "two", "three"))),
        namespace=draw(st.sampled_from(("n", "n", "m"))),
        created=draw(st.integers(0, 2)),
        rules=draw(RULES),
        tls=draw(TLS),
        default=draw(st.sampled_from(("", "", *SERVICES))),
        class_name=draw(st.sampled_from(("nginx", "nginx", "nginx", "other", "late", None))),
        class_annotation=draw(st.sampled_from((None, None, "nginx"))),
        **draw(together(ANNOTATIONS, 3)),
    )


SERVICE = st.builds(
    lambda name, ports, fields: service(name, *ports, **fields),
    st.sampled_from(SERVICES),
    st.sampled_from(
        (
            (),
            (ServicePort(80, "web", target_port=8080), ServicePort(81, "two", target_port=80)),
            (ServicePort(81, "web", target_port="x"),),
            (ServicePort(80, protocol="UDP"),),
        )
    ),
    st.sampled_from(
        ({}, {"cluster_ip": "10.9.9.9"}, {"cluster_ip": "None"}, {"type": "ExternalName", "external_name": "ext.test"})
    ),
)
SLICES = st.builds(
    lambda name, of, addresses: endpoints(of, *addresses, name=name),
    st.sampled_from(("slice-1", "slice-2")),
    st.sampled_from(SERVICES),
    st.sampled_from((("10.0.0.1",), ("10.0.0.1", "10.0.0.2"), ("10.0.0.3",))),
)
ENDPOINTS = st.builds(
    lambda name, address: Endpoints(
        Metadata(name, "n"), (EndpointSubset((EndpointPort("", 8080),), (Endpoint((address,)),)),)
    ),
    st.sampled_from(SERVICES),
    st.sampled_from(("10.1.0.1", "10.1.0.2")),
)
SECRETS = st.one_of(
    st.builds(
        lambda name, names: secret(name, **pair_for(names)),
        st.sampled_from(("cert-a", "cert-b", "cert-default")),
        st.sampled_from(("a.test", "a.test, b.test, c.test", "*.b.test", "")),
    ),
    st.sampled_from(("ann:x", "bob:y\nann:z")).map(lambda text: secret("users", auth=text)),
    st.just(secret("users", other="x")),
)
CLASSES = st.builds(
    IngressClass,
    st.sampled_from(("nginx", "late", "other")).map(Metadata),
    st.sampled_from(("k8s.io/ingress-nginx", "example.test/other")),
)
CONFIGMAPS = together(DATA, 3).map(lambda data: configmap(**data))
RESOURCES = st.one_of(
    ingresses(),
    ingresses(),
    ingresses(),
    ingresses(),
    SERVICE,
    SLICES,
    ENDPOINTS,
    SECRETS,
    CLASSES,
    CONFIGMAPS,
    st.just(Namespace(Metadata("n"))),
)
CHANGES = st.tuples(RESOURCES, st.sampled_from((True, True, True, False))).map(
    lambda item: Change(item[0].key, item[0] if item[1] else None)
)


class Edit(NamedTuple):
    """One of the Ingresses that are there gets other annotations and keeps the rest, or goes."""

    which: int
    annotations: dict[str, str] | None

    def change(self, resources: dict[ObjectKey, Resource]) -> list[Change]:
        there = [item for _, item in sorted(resources.items()) if isinstance(item, Ingress)]
        if not there:
            return []
        item = there[self.which % len(there)]
        if self.annotations is None:
            return [Change(item.key, None)]
        annotations = ingress(**self.annotations).metadata.annotations
        metadata = msgspec.structs.replace(item.metadata, annotations=annotations)
        return [Change(item.key, msgspec.structs.replace(item, metadata=metadata))]


WEIGHTED = st.one_of(SECRETS, CLASSES, CONFIGMAPS, SERVICE, SLICES).flatmap(
    lambda item: st.sampled_from((Change(item.key, item), Change(item.key, item), Change(item.key, None)))
)
EDITS = st.builds(Edit, st.integers(0, 5), st.none() | together(ANNOTATIONS, 3))
RESOLUTIONS = st.builds(Resolution, st.just("ext.test"), st.sampled_from(((), ("192.0.2.1",), ("192.0.2.1", "::1"))))
BATCHES = st.lists(
    st.one_of(
        st.lists(CHANGES, min_size=1, max_size=5), WEIGHTED.map(lambda change: [change]), EDITS, EDITS, RESOLUTIONS
    ),
    min_size=1,
    max_size=8,
)
BASE: tuple[Resource, ...] = (
    NGINX,
    IngressClass(Metadata("late"), "k8s.io/ingress-nginx"),
    ingress("one", "/", path("/x", "web"), tls=[IngressTLS(("a.test",), "cert-a")], server_alias="c.test"),
    ingress("two", path("/x", "web"), "/", host="b.test", class_name="late", auth_type="basic", auth_secret="users"),
    ingress("three", "/y", namespace="m", default="app", default_backend="fallback", limit_rps="5"),
    service("app"),
    service("web", type="ExternalName", external_name="ext.test"),
    service("fallback"),
    endpoints("app", name="slice-1"),
    secret("users", auth="ann:x"),
    secret("cert-a", **pair_for("a.test")),
)
"""Objects that depend on each other, so that a change of any of them matters."""

START = st.tuples(st.sampled_from((BASE, BASE, (NGINX,))), st.lists(RESOURCES, max_size=6)).map(
    lambda item: [*item[0], *item[1]]
)


def outcome(translator: Translator) -> dict[str, Any]:
    """Everything that others may read from a translator."""
    policies, users = translator.policies()
    return {
        "hosts": dict(translator.hosts),
        "backends": translator.backends,
        "certificates": dict(translator.certificates),
        "certificate infos": translator.certificate_infos,
        "policies": policies,
        "policy users": users,
        "users": translator.users(),
        "dns names": translator.dns_names(),
        "findings": translator.findings(),
        "globals": translator.globals,
        "default route": translator.default_route(),
        "default backend": translator.default_backend,
        "views": {
            key: (view.ingress, view.wanted, view.last, view.accepted, view.hold, view.findings)
            for key, view in translator.views.items()
        },
    }


def note(kept: dict[str, dict[Any, Any]], delta: Delta) -> None:
    for kind in ("hosts", "backends", "certificates", "accepted"):
        for name, value in getattr(delta, kind).items():
            if value is None:
                del kept[kind][name]
            else:
                assert kept[kind].get(name) != value
                kept[kind][name] = value


@settings(max_examples=250, deadline=None)
@given(start=START, batches=BATCHES)
def test_incremental_translation_equals_translation_from_scratch(start: list[Resource], batches: list[Any]) -> None:
    store, translator = Store(), Translator(OPTIONS)
    kept: dict[str, dict[Any, Any]] = {"hosts": {}, "backends": {}, "certificates": {}, "accepted": {}}
    resources: dict[ObjectKey, Resource] = {}
    resolutions: list[Resolution] = []
    for batch in [[Change(item.key, item) for item in start], *batches]:
        if isinstance(batch, Resolution):
            resolutions.append(batch)
            touched = store.resolve(batch)
        else:
            changes = batch.change(resources) if isinstance(batch, Edit) else batch
            touched = store.apply(changes)
            for change in changes:
                if change.resource is None:
                    resources.pop(change.key, None)
                else:
                    resources[change.key] = change.resource
        delta = translator.update(store, touched)
        note(kept, delta)
        assert kept["hosts"] == dict(translator.hosts)
        assert kept["backends"] == translator.backends
        assert kept["certificates"] == dict(translator.certificates)

    fresh_store, fresh = Store(), Translator(OPTIONS, kept["accepted"])
    for resolution in resolutions:
        fresh_store.resolve(resolution)
    fresh.update(fresh_store, fresh_store.apply(Change(key, resource) for key, resource in sorted(resources.items())))
    assert outcome(translator) == outcome(fresh)


def test_a_change_that_changes_nothing_changes_nothing() -> None:
    world = World(ingress(proxy_body_size="8m"), service(), endpoints())
    assert world.put(ingress(proxy_body_size="8m")).empty


def test_an_endpoint_change_touches_its_backend_alone() -> None:
    world = World(ingress(), ingress("other", host="b.test"), service(), endpoints())
    delta = world.put(endpoints("app", "10.0.0.2"))
    assert (set(delta.backends), delta.hosts, delta.views, delta.globals_changed) == (
        {"n/app:80"},
        {},
        frozenset(),
        False,
    )


def test_a_new_ingress_touches_its_hosts_alone() -> None:
    world = World(ingress(), service(), endpoints())
    delta = world.put(ingress("other", host="b.test"))
    assert (set(delta.hosts), delta.backends) == ({"b.test"}, {})


def test_a_renewed_certificate_touches_the_hosts_that_show_it() -> None:
    tls = [IngressTLS(("a.test",), "cert")]
    world = World(ingress(tls=tls), ingress("other", host="b.test"), service(), secret("cert", **pair_for("a.test")))
    delta = world.put(secret("cert", **pair_for("a.test, more.test")))
    assert (set(delta.certificates), delta.hosts) == ({"a.test"}, {})


def test_another_way_of_balancing_changes_the_backend_and_no_host() -> None:
    world = World(ingress(), service(), endpoints())
    delta = world.put(ingress(load_balance="ewma"))
    assert (set(delta.backends), delta.hosts) == ({"n/app:80"}, {})
    assert world.translator.backends["n/app:80"].algorithm == "ewma"


@pytest.mark.parametrize("name", ["hosts", "backends"])
def test_when_all_ingresses_go_nothing_is_left(name: str) -> None:
    everything = [
        ingress(server_alias="c.test", from_to_www_redirect="true"),
        ingress("two", canary="true", canary_weight="1"),
        ingress("three", host="", default_backend="app"),
    ]
    world = World(*everything, service(), endpoints())
    delta = world.delete(*everything)
    assert getattr(world.translator, name) == {}
    assert set(getattr(delta, name).values()) == {None}
    assert world.translator.findings() == ()


def test_the_translator_remembers_nothing_of_units_that_are_gone() -> None:
    """Memory does not grow with what once was."""
    world = World(service())
    before = sizes(world.translator)
    for number in range(3):
        item = ingress(f"i{number}", path("/", f"s{number}"), host=f"h{number}.test", server_alias=f"x{number}.test")
        world.put(item)
        world.delete(item)
    assert ObjectKey("Service", "n", "s0") in world.translator.take_released()
    assert sizes(world.translator) == before


def sizes(translator: Translator) -> dict[str, int]:
    found = {
        name: len(value) for name, value in vars(translator).items() if isinstance(value, dict) and name != "_claims"
    }
    dependencies = vars(translator._dependencies)
    return found | {name: len(value) for name, value in dependencies.items()}


def test_results_are_frozen_values() -> None:
    world = World(ingress(), service(), endpoints())
    assert isinstance(world.host(), msgspec.Struct)
    with pytest.raises((AttributeError, dataclasses.FrozenInstanceError)):
        world.host().tls = True  # type: ignore[misc]
