"""One location of a host, with the settings of its Ingress, to a route and its policy."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tidegate.findings import Finding, Severity
from tidegate.model import (
    Affinity,
    AnswerRewrites,
    BasicAuth,
    DigestAuth,
    Labels,
    Match,
    Policy,
    Redirect,
    Rewrite,
    Route,
    TLSRedirect,
    Verification,
)
from tidegate.settings import annotations as ann
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings, IngressSettings
from tidegate.settings.variables import unknown_variable
from tidegate.translate import limits
from tidegate.translate.acceptance import Hold, View
from tidegate.translate.additions import Additions, additions_of
from tidegate.translate.answers import answer_rewrites
from tidegate.translate.authentication import Users
from tidegate.translate.backend_tls import TLSSettings
from tidegate.translate.backends import BackendName, Target, hash_parts
from tidegate.translate.canaries import CanaryBackend, rules_of
from tidegate.translate.external_auth import Place
from tidegate.translate.fastcgi import Refused
from tidegate.translate.firewall import with_firewall, without_effect
from tidegate.translate.globals import busy_buffers, next_upstream, temp_file_size
from tidegate.translate.guards import Guards, guards_of
from tidegate.translate.mirror import Mirrored, NoMirror, mirrored
from tidegate.translate.options import Options
from tidegate.translate.pem import PemFile
from tidegate.translate.reader import Reader
from tidegate.translate.references import Denied
from tidegate.translate.snippets import GROUP, with_snippets
from tidegate.translate.tracing import trace_of
from tidegate.translate.upstreams import UpstreamResult, upstream_of


class Location(NamedTuple):
    """A path of a host and who declared it; `backend` is None for the default backend.

    `fixed`: redirects and rewrites of its Ingress do not count (reference: behaviour 3). `declared`: its path in the
    Ingress where that is another one.
    """

    path: str
    exact: bool
    view: View
    backend: BackendName | None
    fixed: bool = False
    declared: str = ""


class RouteResult(NamedTuple):
    """A route, and what it needs besides."""

    route: Route
    policy: Policy | None  # None: the default one
    backends: tuple[Target, ...]
    users: Users | None
    findings: tuple[Finding, ...]
    files: tuple[PemFile, ...] = ()


class RouteContext(NamedTuple):
    """What all routes of one translation share; `tls` is what their host says about TLS to backends.

    `refused` are verifications of clients that NGINX has not taken, each with its words.
    """

    globals: GlobalSettings
    default_policy: Policy
    options: Options
    reader: Reader
    refused: Mapping[Verification, str] = {}
    tls: TLSSettings | Denied | None = None
    host: str = ""  # the name of the host that is translated
    passed: BackendName | None = None  # the backend that its TLS is to be passed through to


def scope_of(view: View) -> str:
    """What counters of one Ingress begin with: 16 hex digits of its namespace, name and UID."""
    meta = view.ingress.metadata
    return hashlib.sha256(f"{meta.namespace}/{meta.name}/{meta.uid}".encode()).hexdigest()[:16]


def rewrites(location: Location) -> bool:
    """Whether the path of this location is replaced; a target that equals the path says nothing."""
    target = location.view.settings.get(ann.REWRITE_TARGET)
    return bool(target) and target != location.path and not location.fixed


def field_of(view: View, name: str, context: RouteContext) -> str:
    """Where an annotation of this Ingress stands, for findings."""
    return f"metadata.annotations[{context.options.annotations_prefix}/{name}]"


def _denial(view: View, denied: Denied, context: RouteContext) -> Finding:
    message = f"{denied}; its paths answer 503"
    if denied.field.startswith("global-"):  # a key of the ConfigMap, which guards this Ingress
        return Finding(view.ingress.key, "", Severity.ERROR, "DeniedByConfigMap", f"{denied.field}: {message}")
    field = field_of(view, denied.field, context) if denied.field else ""
    return Finding(view.ingress.key, field, Severity.ERROR, "Denied", message)


def redirects_nothing(settings: IngressSettings) -> bool:
    """Whether the Ingress has a temporal-redirect to a URL of another scheme: then it has no other redirect, either."""
    return settings.is_set(ann.TEMPORAL_REDIRECT) and not settings.get(ann.TEMPORAL_REDIRECT)


def _redirect(settings: IngressSettings) -> Redirect | None:
    relative = settings.get(ann.RELATIVE_REDIRECTS)
    if target := settings.get(ann.TEMPORAL_REDIRECT):
        code = settings.get(ann.TEMPORAL_REDIRECT_CODE)
        return Redirect(code if 300 <= code <= 307 else 302, target, relative)
    if redirects_nothing(settings):
        return None
    if target := settings.get(ann.PERMANENT_REDIRECT):
        code = settings.get(ann.PERMANENT_REDIRECT_CODE)
        return Redirect(code if 300 <= code <= 308 else 301, target, relative)
    return None


def _tls_redirect(location: Location, context: RouteContext) -> TLSRedirect | None:
    settings = location.view.settings
    force = settings.get(ann.FORCE_SSL_REDIRECT)
    if not force and not settings.get(ann.SSL_REDIRECT):
        return None
    if location.path.startswith(context.globals.get(cm.NO_TLS_REDIRECT_LOCATIONS)):
        return None
    return TLSRedirect(
        status=context.globals.get(cm.HTTP_REDIRECT_CODE),
        force=force,
        keep_slash=settings.get(ann.PRESERVE_TRAILING_SLASH),
        port=context.options.https_port if settings.get(ann.USE_PORT_IN_REDIRECTS) else 0,
    )


def _rewrite(location: Location) -> Rewrite | None:
    if not rewrites(location):
        return None
    settings = location.view.settings
    return Rewrite(location.path, settings.get(ann.REWRITE_TARGET), settings.get(ann.X_FORWARDED_PREFIX) or "")


def _empty_variables(location: Location) -> tuple[tuple[str, str], ...]:
    """Variables of a rewrite that the path does not capture and NGINX does not know: annotation and message."""
    if location.backend is None or not rewrites(location):
        return ()
    captured = set(GROUP.findall(location.path))
    more = location.view.settings.globals.own_variables
    return tuple(
        (
            setting.name,
            f"has the variable ${name}, which the path does not capture and NGINX does not know: it is empty",
        )
        for setting in (ann.REWRITE_TARGET, ann.X_FORWARDED_PREFIX)
        for name in re.findall(r"\$([A-Za-z_]\w*)", location.view.settings.get(setting))
        if name not in captured and unknown_variable(f"${name}", more=more)
    )


def _affinity(location: Location) -> Affinity | None:
    settings = location.view.settings
    if settings.get(ann.AFFINITY) != "cookie":
        return None
    return Affinity(
        cookie=settings.get(ann.SESSION_COOKIE_NAME),
        path=settings.get(ann.SESSION_COOKIE_PATH) or location.declared or location.path,
        mode="persistent" if settings.get(ann.AFFINITY_MODE) == "persistent" else "balanced",
        domain=settings.get(ann.SESSION_COOKIE_DOMAIN),
        expires=settings.get(ann.SESSION_COOKIE_EXPIRES),
        max_age=settings.get(ann.SESSION_COOKIE_MAX_AGE),
        secure=settings.get(ann.SESSION_COOKIE_SECURE),
        same_site=settings.get(ann.SESSION_COOKIE_SAMESITE),
        conditional_same_site=settings.get(ann.SESSION_COOKIE_CONDITIONAL_SAMESITE_NONE),
        change_on_failure=settings.get(ann.SESSION_COOKIE_CHANGE_ON_FAILURE),
    )


def _replaced(settings: IngressSettings, *, signin: bool) -> tuple[int, ...]:
    """The statuses that others take the place of: with a sign-in page those of the Ingress alone, as NGINX's locations
    inherit all error pages or none."""
    return settings.get(ann.CUSTOM_HTTP_ERRORS) if settings.is_set(ann.CUSTOM_HTTP_ERRORS) or not signin else ()


def _replaces_errors_of_backends(settings: IngressSettings, globals_: GlobalSettings) -> bool:
    """Whether not only NGINX's own statuses are replaced; an Ingress cannot undo what the ConfigMap's list asks for."""
    everywhere = not globals_.get(cm.DISABLE_PROXY_INTERCEPT_ERRORS)
    if not settings.is_set(ann.CUSTOM_HTTP_ERRORS):
        return everywhere
    asked = bool(globals_.get(cm.CUSTOM_HTTP_ERRORS)) and everywhere
    return asked or not settings.get(ann.DISABLE_PROXY_INTERCEPT_ERRORS)


def _policy(
    location: Location,
    reached: UpstreamResult,
    context: RouteContext,
    guards: Guards,
    additions: Additions,
    copied: Mirrored | None,
) -> Policy:
    settings = location.view.settings
    number, size = settings.get(ann.PROXY_BUFFERS_NUMBER), settings.get(ann.PROXY_BUFFER_SIZE)
    buffering = settings.get(ann.PROXY_BUFFERING)
    http = reached.upstream.protocol in ("http", "https", "auto")
    count = limits.replicas(settings, context.globals, context.options, context.reader)
    return Policy(
        body_limit=settings.get(ann.PROXY_BODY_SIZE),
        buffering=buffering,
        request_buffering=settings.get(ann.PROXY_REQUEST_BUFFERING),
        buffers_number=number,
        buffer_size=size,
        busy_buffers_size=busy_buffers(number, size, settings.get(ann.PROXY_BUSY_BUFFERS_SIZE) or 0),
        max_temp_file_size=temp_file_size(settings.get(ann.PROXY_MAX_TEMP_FILE_SIZE), size),
        client_body_buffer_size=settings.get(ann.CLIENT_BODY_BUFFER_SIZE),
        http_version="1.0" if settings.get(ann.PROXY_HTTP_VERSION) == "1.0" else "1.1",
        next_upstream=next_upstream(settings.get(ann.PROXY_NEXT_UPSTREAM), context.globals),
        next_upstream_timeout=settings.get(ann.PROXY_NEXT_UPSTREAM_TIMEOUT),
        tries=settings.get(ann.PROXY_NEXT_UPSTREAM_TRIES),
        upstream=reached.upstream,
        rates=limits.rates(settings, count),
        connections=limits.connections(settings, count),
        limit_rate=max(settings.get(ann.LIMIT_RATE), 0) if buffering else 0,
        limit_rate_after=max(settings.get(ann.LIMIT_RATE_AFTER), 0) if buffering else 0,
        access=guards.access is not None,
        auth=isinstance(guards.auth, BasicAuth),
        digest_auth=isinstance(guards.auth, DigestAuth),
        question=guards.asked.question if guards.asked else None,
        question_answers=guards.asked.auth.answers if guards.asked else (),
        signin=guards.signin,
        adds_headers=guards.asked is not None or additions.any,
        own_host=bool(settings.get(ann.UPSTREAM_VHOST)),
        connection=settings.get(ann.CONNECTION_PROXY_HEADER) if http else "",  # type: ignore[arg-type]
        answers=answer_rewrites(settings) if http else AnswerRewrites(),
        fastcgi=reached.fastcgi,
        mirroring=copied.mirroring if copied else None,
        satisfy_any=guards.satisfy_any,
        intercept=_replaced(settings, signin=guards.signin),
        intercept_backend=_replaces_errors_of_backends(settings, context.globals),
        intercept_pages=guards.signin and bool(context.default_policy.intercept),
        access_log=settings.get(ann.ENABLE_ACCESS_LOG),
    )


def labels_of(location: Location) -> Labels:
    """What logs and metrics call the route."""
    meta = location.view.ingress.metadata
    backend = location.backend
    return Labels(
        meta.namespace,
        meta.name,
        backend.service if backend else "",
        str(backend.port) if backend else "",
        location.declared or location.path,
    )


def _differing(value: int, default: int) -> int | None:
    return None if value == default else value


def held_route(location: Location, match: Match) -> RouteResult:
    """What stands on a path whose Ingress is not accepted, or whose security settings cannot be carried out."""
    closed = location.view.hold is not Hold.NOT_FOUND
    route = Route(match, location.path, labels_of(location), status=503 if closed else 0, refused=not closed)
    return RouteResult(route, None, (), None, ())


def denied_route(location: Location, match: Match, denied: Denied, context: RouteContext) -> RouteResult:
    """What stands on a path that a guard should protect which cannot be had."""
    route = Route(match, location.path, labels_of(location), status=503)
    return RouteResult(route, None, (), None, (_denial(location.view, denied, context),))


def build_route(
    location: Location, match: Match, canaries: Sequence[CanaryBackend], context: RouteContext
) -> RouteResult:
    """The route of an accepted Ingress; a security setting that cannot be carried out makes it answer 503."""
    view, settings = location.view, location.view.settings
    if view.hold is not Hold.NONE or settings.denied_at(location.path):
        return held_route(location, match)
    namespace = view.ingress.metadata.namespace
    try:
        upstream = upstream_of(
            view,
            location.backend,
            context.tls,
            context.globals,
            context.reader,
            over_tls=location.backend == context.passed,
        )
        place = Place(context.host, location.path, namespace, scope_of(view))
        guards = guards_of(settings, context.globals, place, context.reader)
        additions = additions_of(settings, context.globals, namespace, context.reader)
    except Denied as denied:
        return denied_route(location, match, denied, context)
    except Refused as refused:
        field = field_of(view, refused.field, context)
        finding = Finding(view.ingress.key, field, Severity.ERROR, "Rejected", f"{refused}; its paths are not served")
        return RouteResult(Route(match, location.path, labels_of(location), refused=True), None, (), None, (finding,))

    copied, complaints = None, upstream.without_effect + without_effect(settings) + _empty_variables(location)
    try:
        copied = mirrored(settings)
    except NoMirror as reason:
        complaints += ((reason.field, str(reason)),)
    policy = _policy(location, upstream, context, guards, additions, copied)
    policy = with_snippets(policy, settings, context.globals, match, location.path)
    try:
        policy = with_firewall(policy, settings, context.globals, context.options.nginx)
    except Denied as denied:
        return denied_route(location, match, denied, context)
    own_policy = None if policy == context.default_policy else policy
    fallback = _fallback(settings, namespace, context)
    own_errors = settings.is_set(ann.CUSTOM_HTTP_ERRORS)
    limited = bool(policy.rates or policy.connections)
    globals_ = context.globals
    route = Route(
        match=match,
        path=location.path,
        labels=labels_of(location),
        backend=str(location.backend) if location.backend else "",
        policy=own_policy.digest if own_policy else "",
        redirect=None if location.fixed else _redirect(settings),
        tls_redirect=None if location.fixed else _tls_redirect(location, context),
        rewrite=_rewrite(location),
        rewrite_log=bool(_rewrite(location)) and settings.get(ann.ENABLE_REWRITE_LOG),
        body_limit=_differing(policy.body_limit, context.default_policy.body_limit),
        connect_timeout=_differing(settings.get(ann.PROXY_CONNECT_TIMEOUT), globals_.get(cm.PROXY_CONNECT_TIMEOUT)),
        send_timeout=_differing(settings.get(ann.PROXY_SEND_TIMEOUT), globals_.get(cm.PROXY_SEND_TIMEOUT)),
        read_timeout=_differing(settings.get(ann.PROXY_READ_TIMEOUT), globals_.get(cm.PROXY_READ_TIMEOUT)),
        tries=_differing(settings.get(ann.PROXY_NEXT_UPSTREAM_TRIES), globals_.get(cm.PROXY_NEXT_UPSTREAM_TRIES)),
        canaries=tuple(rules_of(canary) for canary in canaries),
        affinity=_affinity(location) if location.backend else None,
        limit_scope=scope_of(view) if limited else "",
        limit_exempt=settings.get(ann.LIMIT_ALLOWLIST) if limited else (),
        access=guards.access,
        auth=guards.auth if isinstance(guards.auth, BasicAuth) else None,
        digest_auth=guards.auth if isinstance(guards.auth, DigestAuth) else None,
        external=guards.asked.auth if guards.asked else None,
        mirror=copied.mirror if copied else None,
        cors=additions.cors,
        headers=additions.headers,
        upstream_host=hash_parts(settings.get(ann.UPSTREAM_VHOST)),
        port_in_redirects=settings.get(ann.USE_PORT_IN_REDIRECTS),
        relative_redirects=settings.get(ann.RELATIVE_REDIRECTS),
        fallback=str(fallback) if fallback and location.backend else "",
        error_backend=str(fallback) if fallback and location.backend and own_errors else "",
        intercepts=bool(policy.intercept),
        trace=trace_of(settings),
        snippet=bool(policy.snippet or policy.common_snippet),
        quiet=not policy.access_log,
    )
    asked = guards.asked.target if guards.asked else None
    target = copied.target if copied else None
    others = (canary.backend for canary in canaries)
    backends = [item for item in (location.backend, *others, fallback, asked, target) if item]
    findings: tuple[Finding, ...] = ()
    if guards.complaint:
        field = field_of(view, "auth-secret", context)
        findings += (Finding(view.ingress.key, field, Severity.WARNING, "InvalidUsers", guards.complaint),)
    for name, message in complaints:
        findings += (Finding(view.ingress.key, field_of(view, name, context), Severity.WARNING, "NoEffect", message),)
    return RouteResult(route, own_policy, tuple(backends), guards.users, findings, upstream.files)


def _fallback(settings: IngressSettings, namespace: str, context: RouteContext) -> BackendName | None:
    """The Service of the default-backend annotation with its first port; None when there is no such Service."""
    name = settings.get(ann.DEFAULT_BACKEND)
    if not name:
        return None
    service = context.reader.service(namespace, name)
    if service is None or not service.ports:
        return None
    return BackendName(namespace, name, service.ports[0].port)
