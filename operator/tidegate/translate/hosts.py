"""All Ingresses that mention a host, merged into one (reference: behaviour 1 to 3).

The oldest Ingress wins a path, and it alone brings the host's certificate, aliases and implicit `/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from tidegate.findings import Finding, Severity, brief
from tidegate.model import CATCH_ALL, Certificate, CertificateInfo, Host, Match, Policy
from tidegate.resources.changes import Wish
from tidegate.resources.model import IngressPath, ServiceBackend
from tidegate.settings import annotations as ann
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import IngressSettings
from tidegate.translate.acceptance import Hold, View
from tidegate.translate.aliases import UnsoundAlias, names_of
from tidegate.translate.authentication import Users
from tidegate.translate.backend_tls import tls_of_host
from tidegate.translate.backends import BackendName, Target, name_of
from tidegate.translate.canaries import CanaryBackend, beyond_the_whole
from tidegate.translate.host_certificates import HostCertificates, find_certificates
from tidegate.translate.passthrough import backend_of_passthrough, passthrough_of
from tidegate.translate.pem import PemFile
from tidegate.translate.profiles import OwnServer, own_server
from tidegate.translate.routes import (
    Location,
    RouteContext,
    RouteResult,
    build_route,
    held_route,
    redirects_nothing,
    rewrites,
)


class Claim(NamedTuple):
    """A further name that a host would like to have: an alias, or one that only redirects."""

    record: Host
    certificate: Certificate | None


class HostResult(NamedTuple):
    """What one host became. `policies` are those its routes name; `own` is what it needs of its server."""

    host: Host
    certificate: Certificate | None
    claims: dict[str, Claim]
    policies: dict[str, Policy]
    backends: frozenset[Target]
    users: frozenset[Users]
    files: frozenset[PemFile]
    certificates: tuple[CertificateInfo, ...]
    wishes: frozenset[Wish]
    findings: tuple[Finding, ...]
    own: OwnServer
    passthrough: BackendName | None = None


PathKey = tuple[str, bool]


def server_name(host: str) -> str:
    """The name under which a rule's host is served: the catch-all for a rule without host."""
    return host or CATCH_ALL


def hosts_of(view: View) -> set[str]:
    """The hosts that a change of this Ingress touches."""
    names = {server_name(rule.host) for rule in view.ingress.rules}
    if not view.ingress.rules or (view.canary and view.ingress.default_backend):
        names.add(CATCH_ALL)
    return names


def _paths(view: View, name: str) -> Iterable[tuple[str, IngressPath]]:
    for number, rule in enumerate(view.ingress.rules):
        if server_name(rule.host) == name:
            for place, path in enumerate(rule.paths or ()):
                yield f"spec.rules[{number}].http.paths[{place}]", path


def _conflict(view: View, field: str, name: str, path: str, owner: View) -> Finding:
    meta = owner.ingress.metadata
    why = "the older Ingress" if owner.order < view.order else "the accepted Ingress"
    message = f"host {name!r} and path {brief(path)} belong to {why} {meta.namespace}/{meta.name}"
    return Finding(view.wanted.key, field, Severity.WARNING, "Conflict", message)


def _merge(name: str, views: list[View]) -> tuple[dict[PathKey, Location], list[Finding]]:
    """The locations declared for a host, each with the oldest Ingress that declares it."""
    locations: dict[PathKey, Location] = {}
    findings: list[Finding] = []
    # An Ingress that was never accepted takes no path away from one that is.
    ordered = sorted(views, key=lambda view: view.hold is Hold.NOT_FOUND)
    for view in ordered:
        namespace = view.ingress.metadata.namespace
        for field, path in _paths(view, name):
            if path.backend is None and view.hold is Hold.NONE:
                message = "a backend of the kind `resource` cannot be served; the path is left to the host's default"
                findings.append(Finding(view.wanted.key, f"{field}.backend", Severity.WARNING, "Ignored", message))
                continue
            key = (path.path or "/", path.path_type == "Exact")
            if key in locations:
                if locations[key].view.wanted.key != view.wanted.key:
                    findings.append(_conflict(view, field, name, path.path, locations[key].view))
                continue
            backend = name_of(namespace, path.backend) if path.backend else None
            locations[key] = Location(key[0], key[1], view, backend)
    return locations, findings


ROOT: PathKey = ("/", False)
EXACT_ROOT: PathKey = ("/", True)


def _add_implicit_root(views: list[View], locations: dict[PathKey, Location]) -> None:
    """A named host answers everything: with the default backend and the settings of its oldest Ingress."""
    known = [view for view in views if view.hold is not Hold.NOT_FOUND]
    if ROOT in locations or not known:
        return
    oldest = known[0]
    backend = oldest.ingress.default_backend
    named = name_of(oldest.ingress.metadata.namespace, backend) if backend else None
    locations[ROOT] = Location("/", False, oldest, named)


def _add_catch_all_root(views: list[View], locations: dict[PathKey, Location]) -> list[Finding]:
    """The oldest Ingress of nothing but a default backend takes the root of the catch-all, whatever rules say."""
    findings: list[Finding] = []
    owner: View | None = None
    for view in views:
        backend = view.ingress.default_backend
        if backend is None or view.ingress.rules or view.hold is Hold.NOT_FOUND:
            continue
        if owner is not None:
            findings.append(_conflict(view, "spec.defaultBackend", CATCH_ALL, "/", owner))
            continue
        owner = view
        loser = locations.get(ROOT)
        if loser is not None and loser.view.hold is Hold.NONE:
            meta = view.ingress.metadata
            message = f"requests for unknown hosts belong to {meta.namespace}/{meta.name}, which is a default backend"
            findings.append(Finding(loser.view.wanted.key, "spec.rules", Severity.WARNING, "Conflict", message))
        named = name_of(view.ingress.metadata.namespace, backend)
        locations[ROOT] = Location("/", False, view, named, fixed=True)
    return findings


def _needs_patterns(location: Location) -> bool:
    if location.view.hold is not Hold.NONE or location.fixed:
        return False
    return location.view.settings.get(ann.USE_REGEX) or any(rewrites(form) for form in _forms(location))


def _forms(location: Location) -> list[Location]:
    """A Prefix path that is not used as a pattern stands for itself and for the same with a slash at its end."""
    settings = location.view.settings
    if location.exact or location.path.endswith("/") or settings.get(ann.USE_REGEX) or rewrites(location):
        return [location]
    return [location, location._replace(path=location.path + "/", declared=location.path)]


def _by_length(location: Location) -> tuple[int, bytes, bool]:
    """The longest text first, then the larger one; of the same path the one that was declared first.

    A host has its Prefix `/` before any Ingress declares a path.
    """
    path = location.path.encode()
    return (-len(path), bytes(255 - byte for byte in path), (location.path, location.exact) == EXACT_ROOT)


def _canaries(name: str, views: list[View], locations: dict[PathKey, Location]) -> dict[PathKey, list[CanaryBackend]]:
    """The canaries of each location, the oldest first."""
    found: dict[PathKey, list[CanaryBackend]] = {}
    for view in views:
        if view.hold is not Hold.NONE:
            continue
        for key, backend in _attachments(name, view, locations):
            primary = locations.get(key)
            if primary is None or primary.backend is None or backend is None:
                continue
            others = found.setdefault(key, [])
            if all(other.view is not view for other in others):
                others.append(CanaryBackend(view, name_of(view.ingress.metadata.namespace, backend)))
    return found


def _attachments(
    name: str, view: View, locations: Iterable[PathKey]
) -> Iterator[tuple[PathKey, ServiceBackend | None]]:
    """Where the backends of a canary Ingress attach: a default backend to all paths of the catch-all."""
    if name == CATCH_ALL and view.ingress.default_backend:
        for key in locations:
            yield key, view.ingress.default_backend
    for _, path in _paths(view, name):
        yield (path.path or "/", path.path_type == "Exact"), path.backend


def _owned(name: str, views: list[View], context: RouteContext) -> tuple[list[View], list[Finding]]:
    """With `--host-ownership namespace`, those of the namespace that named the host first, and what others are told."""
    if context.options.host_ownership == "merge" or name == CATCH_ALL:
        return views, []
    owner = next((view for view in views if view.hold is not Hold.NOT_FOUND), views[0]).ingress.metadata.namespace
    message = f"host {name!r} belongs to namespace {owner!r}, which named it first (--host-ownership namespace)"
    foreign = [view for view in views if view.ingress.metadata.namespace != owner]
    findings = [Finding(view.wanted.key, "spec.rules", Severity.ERROR, "Conflict", message) for view in foreign]
    return [view for view in views if view not in foreign], findings


def _claims(
    name: str, views: list[View], shown: HostCertificates, own: OwnServer, context: RouteContext
) -> tuple[dict[str, Claim], list[Finding]]:
    claims: dict[str, Claim] = {}
    findings: list[Finding] = []
    accepted = [view for view in views if view.hold is Hold.NONE]
    owner = next((view for view in accepted if view.settings.get(ann.SERVER_ALIAS)), None)
    for alias in owner.settings.get(ann.SERVER_ALIAS) if owner else ():
        try:
            names = names_of(alias, own_server=bool(own.digest))
        except UnsoundAlias as fault:
            assert owner is not None
            field = f"metadata.annotations[{context.options.annotations_prefix}/{ann.SERVER_ALIAS.name}]"
            message = f"found {brief(alias)}, {fault}; it is left out"
            findings.append(Finding(owner.ingress.key, field, Severity.WARNING, "InvalidValue", message))
            continue
        for text in names:
            certificate = shown.of(text)
            record = Host(
                text,
                alias_of=name,
                profile=own.digest,
                guarded=own.clients.guarded,
                tls=certificate is not None,
            )
            claims[text] = Claim(record, certificate)
    for unnamed in (name, CATCH_ALL):
        claims.pop(unnamed, None)
    plain = name != CATCH_ALL and not name.startswith("*.")
    if plain and any(_redirects_www(view.settings) for view in accepted):
        other = name.removeprefix("www.") if name.startswith("www.") else f"www.{name}"
        record = Host(other, redirect_to=name, redirect_status=context.globals.get(cm.HTTP_REDIRECT_CODE))
        claims[other] = Claim(record, shown.of(other))  # also where that is an alias
    return claims, findings


def _redirects_www(settings: IngressSettings) -> bool:
    return settings.get(ann.FROM_TO_WWW_REDIRECT) and not redirects_nothing(settings)


def _app_root(locations: list[Location]) -> str:
    """That of the longest path that has one."""
    for location in locations:
        if location.view.hold is not Hold.NONE or location.fixed:
            continue
        if root := location.view.settings.get(ann.APP_ROOT):
            return root
    return ""


def translate_host(name: str, views: list[View], context: RouteContext) -> HostResult | None:
    """Merge the Ingresses (oldest first) that mention a host; None when nothing of them is left to serve."""
    views, foreign = _owned(name, views, context)
    ordinary = [view for view in views if not view.canary]
    locations, findings = _merge(name, ordinary)
    if name == CATCH_ALL:
        findings += _add_catch_all_root(ordinary, locations)
    else:
        _add_implicit_root(ordinary, locations)
    if not locations and not ordinary:
        return None
    canaries = _canaries(name, [view for view in views if view.canary], locations)
    patterns = any(_needs_patterns(location) for location in locations.values())
    ordered = sorted(locations.values(), key=_by_length)
    root = next((locations[key] for key in (ROOT, EXACT_ROOT) if key in locations and locations[key].backend), None)
    context = context._replace(
        tls=tls_of_host(ordinary, context.globals, context.reader), passed=backend_of_passthrough(ordinary, root)
    )
    results = [
        result
        for location in ordered
        for result in _routes(
            location,
            patterns,
            canaries.get((location.path, location.exact), ()),
            context,
            below=(location.path, True) in locations,
        )
    ]
    for (path, _), attached in canaries.items():
        findings += beyond_the_whole(name, path, attached, context.options.annotations_prefix)
    shown = find_certificates(name, ordinary, context)
    certificate = shown.of(name)
    own = own_server(name, ordinary, context)
    routes = tuple(result.route for result in results)
    if own.clients.closed:  # what is closed waits for no configuration
        routes = tuple(msgspec.structs.replace(route, policy="") for route in routes)
    host = Host(
        name,
        routes=routes,
        tls=name != CATCH_ALL and any(view.ingress.tls for view in ordinary if view.hold is not Hold.NOT_FOUND),
        regex=patterns,
        app_root=_app_root(ordered),
        profile=own.digest,
        guarded=own.clients.guarded,
        closed=own.clients.closed,
        client=own.clients.rules,
    )
    claims, more = _claims(name, ordinary, shown, own, context)
    passthrough, ordinary_tls = passthrough_of(name, ordinary, root, context)
    findings += [*more, *own.findings, *ordinary_tls]
    return HostResult(
        host,
        certificate,
        claims,
        {result.policy.digest: result.policy for result in results if result.policy},
        frozenset(backend for result in results for backend in result.backends),
        frozenset(result.users for result in results if result.users),
        frozenset([*own.clients.files, *(file for result in results for file in result.files)]),
        tuple(bundle.info for bundle in shown.bundles),
        frozenset(shown.wishes),
        tuple(foreign + findings) + shown.findings + tuple(item for result in results for item in result.findings),
        own,
        passthrough,
    )


def _routes(
    location: Location, patterns: bool, canaries: Sequence[CanaryBackend], context: RouteContext, *, below: bool
) -> list[RouteResult]:
    """The routes of a location; `below`: the path itself is another one's, an Exact one's."""
    if location.view.hold is not Hold.NONE:
        return [held_route(location, _match(location, patterns))]
    if not patterns:
        return [build_route(location, _match(location, patterns), canaries, context)]
    forms = _forms(location)
    if len(forms) == 2 and below:
        forms = forms[1:]
    elif len(forms) == 2 and not rewrites(forms[1]):
        forms = forms[:1]  # as a pattern the bare path takes the other form as well
    return [build_route(form, Match.REGEX, canaries, context) for form in reversed(forms)]


def _match(location: Location, patterns: bool) -> Match:
    if patterns:
        return Match.REGEX
    return Match.EXACT if location.exact else Match.PREFIX
