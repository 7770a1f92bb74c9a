"""Authentication by another service: from annotations, or the ConfigMap's keys, to who is asked and how (reference:
annotations 4.2, configmap 13)."""

from __future__ import annotations

import hashlib
import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from tidegate.findings import brief
from tidegate.model import Buffers, Directive, ExternalAuth, KeptConnections, Question
from tidegate.settings import annotations as ann
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings, IngressSettings
from tidegate.settings.texts import CharClass, ObjectRef
from tidegate.settings.types import has_control
from tidegate.translate.backends import ExternalHost, is_host_name
from tidegate.translate.expressions import UnsoundExpression, check_expression, expression_parts
from tidegate.translate.globals import busy_buffers
from tidegate.translate.reader import Reader
from tidegate.translate.references import Denied, named_configmap

FRAMING: Final = frozenset(
    {
        *("connection", "content-length", "expect", "http2-settings", "keep-alive"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    }
)
"""Headers that belong to a connection: one message's must not be put on another."""

_PORTS: Final = {"http": 80, "https": 443}
_OWN_NAME: Final = re.compile(
    r"\$(?:\{(?:host|http_host|server_name)\}|(?:host|http_host|server_name)(?![A-Za-z0-9_]))"
)
_UNSAFE: Final = re.compile(r"[^\x21-\x7e]")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000}
_TIME: Final = re.compile(r"([0-9]+)(ms|[smhdwMy])?")
_PLAIN_STATUSES: Final = ("200", "301", "302")  # what NGINX means by a time without statuses
_MOST: Final = 2**31 - 1
_MOST_CONNECTIONS: Final = 10_000  # NGINX sets memory aside for each


class Asked(NamedTuple):
    """Who is asked, the configuration that this needs, and the backend whose addresses are wanted."""

    auth: ExternalAuth
    question: Question
    target: ExternalHost


class _Wish(NamedTuple):
    """What was asked for, wherever it was written; `field` names the URL's setting."""

    field: str
    url: str
    method: str
    signin: str
    signin_param: str
    answers: tuple[str, ...]
    redirect: str
    cache_key: str
    cache_durations: tuple[str, ...]
    always_set_cookie: bool
    headers: ObjectRef | None = None
    kept: tuple[int, int, int] = (0, 0, 0)  # connections, requests, seconds
    snippet: tuple[Directive, ...] = ()
    common_snippet: bool = False


def _of_ingress(settings: IngressSettings) -> _Wish | None:
    url = settings.get(ann.AUTH_URL)
    if not url:
        return None
    return _Wish(
        field="auth-url",
        url=url,
        method=settings.get(ann.AUTH_METHOD) if settings.is_set(ann.AUTH_METHOD) else "",
        signin=settings.get(ann.AUTH_SIGNIN),
        signin_param=settings.get(ann.AUTH_SIGNIN_REDIRECT_PARAM),
        answers=settings.get(ann.AUTH_RESPONSE_HEADERS),
        redirect=settings.get(ann.AUTH_REQUEST_REDIRECT),
        cache_key=settings.get(ann.AUTH_CACHE_KEY),
        cache_durations=settings.get(ann.AUTH_CACHE_DURATION),
        always_set_cookie=settings.get(ann.AUTH_ALWAYS_SET_COOKIE),
        headers=settings.get(ann.AUTH_PROXY_SET_HEADERS),
        kept=(
            settings.get(ann.AUTH_KEEPALIVE),
            settings.get(ann.AUTH_KEEPALIVE_REQUESTS),
            settings.get(ann.AUTH_KEEPALIVE_TIMEOUT),
        ),
        snippet=settings.get(ann.AUTH_SNIPPET),
    )


def _of_configmap(globals_: GlobalSettings) -> _Wish | None:
    url = globals_.get(cm.GLOBAL_AUTH_URL)
    if not url:
        return None
    return _Wish(
        field="global-auth-url",
        url=url,
        method=globals_.get(cm.GLOBAL_AUTH_METHOD),
        signin=globals_.get(cm.GLOBAL_AUTH_SIGNIN),
        signin_param=globals_.get(cm.GLOBAL_AUTH_SIGNIN_REDIRECT_PARAM),
        answers=globals_.get(cm.GLOBAL_AUTH_RESPONSE_HEADERS),
        redirect=globals_.get(cm.GLOBAL_AUTH_REQUEST_REDIRECT),
        cache_key=globals_.get(cm.GLOBAL_AUTH_CACHE_KEY),
        cache_durations=globals_.get(cm.GLOBAL_AUTH_CACHE_DURATION),
        always_set_cookie=globals_.get(cm.GLOBAL_AUTH_ALWAYS_SET_COOKIE),
        common_snippet=bool(globals_.get(cm.GLOBAL_AUTH_SNIPPET)),
    )


def _parts(text: str, field: str, more: frozenset[str]) -> tuple[str, ...]:
    try:
        return expression_parts(text, more)
    except UnsoundExpression as error:
        raise Denied(field, str(error)) from None


def _target(wish: _Wish, host: str) -> tuple[bool, ExternalHost, str]:
    """Whether the URL asks for TLS, its host and port, and path with query.

    The host has to be known beforehand, to be resolved: of variables only those that stand for the route's own host,
    where that is one name. (What the client says its host is must not choose who is asked.)
    """
    scheme, _, rest = wish.url.partition("://")
    if scheme.lower() not in _PORTS:
        raise Denied(wish.field, f"found the scheme {brief(scheme)}, allowed: http and https")
    place = re.split(r"[/?]", rest, maxsplit=1)[0]
    name, _, port = _OWN_NAME.sub(host, place).partition(":")
    if "$" in place and (not host or "*" in host or "$" in name):
        raise Denied(
            wish.field,
            f"found the host {brief(place)}, allowed: a name, or $host on a host that is neither a wildcard nor "
            "left out",
        )
    if not is_host_name(name.lower()):
        raise Denied(wish.field, f"found the host {brief(place)}, allowed: a DNS name or an IPv4 address")
    number = int(port) if re.fullmatch("[0-9]{1,5}", port) else _PORTS[scheme.lower()] if not port else 0
    if not 0 < number < 65536:
        raise Denied(wish.field, f"found the port {brief(port)}, allowed: 1 to 65535")
    path = rest[len(place) :]
    return scheme.lower() == "https", ExternalHost(name.lower(), number), path if path.startswith("/") else f"/{path}"


def _escaped(text: str) -> str:
    """What cannot stand in a request line is percent-encoded."""
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text)


def _signin(wish: _Wish) -> str:
    """The URL of the sign-in page, with the wanted URL in its query unless it has such a parameter already."""
    if not wish.signin:
        return ""
    parameter = wish.signin_param or "rd"
    query = parse_qsl(urlsplit(wish.signin).query, keep_blank_values=True)
    if any(name == parameter and value for name, value in query):
        return _escaped(wish.signin)
    joint = "&" if query else "?"
    wanted = "$pass_access_scheme://$http_host$escaped_request_uri"
    return f"{_escaped(wish.signin)}{joint}{parameter}={wanted}"


def _durations(items: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """Seconds by status; the first that names a status counts, `any` is for those that nobody names."""
    found: dict[str, int] = {}
    for item in items:
        *statuses, time = item.split(" ")
        matched = _TIME.fullmatch(time)
        assert matched is not None
        number, unit = int(matched[1]), matched[2] or "s"
        seconds = -(-number // 1000) if unit == "ms" else number * _SECONDS[unit]
        for status in statuses or _PLAIN_STATUSES:
            found.setdefault(status, min(seconds, _MOST))
    return tuple(found.items())


def _check_answers(wish: _Wish) -> None:
    for name in wish.answers:
        if name.lower() in FRAMING:
            field = wish.field.replace("url", "response-headers")
            raise Denied(field, f"found {name!r}, which belongs to one connection and is not passed on")


def _headers(
    reference: ObjectRef | None, namespace: str, globals_: GlobalSettings, reader: Reader
) -> tuple[tuple[str, str], ...]:
    """The headers that a ConfigMap sets on the question."""
    field = "auth-proxy-set-headers"
    if reference is None:
        return ()
    configmap = named_configmap(field, reference, namespace, globals_, reader)
    for name, value in configmap.data.items():
        if not name or not CharClass.WORD.matches(name) or name.lower() in FRAMING:
            raise Denied(
                field, f"found the header {name!r} in ConfigMap {reference}, allowed: letters, digits, - and _"
            )
        if has_control(value):
            raise Denied(field, f"found a control character in the header {name!r} of ConfigMap {reference}")
        try:
            check_expression(value, globals_.own_variables)
        except UnsoundExpression as error:
            raise Denied(field, f"ConfigMap {reference}, header {name!r}: {error}") from None
        if "escaped_request_uri" in value:
            raise Denied(field, f"ConfigMap {reference}, header {name!r}: found $escaped_request_uri, not known here")
    return tuple(sorted(configmap.data.items()))


def _kept(wish: _Wish, target: ExternalHost) -> KeptConnections | None:
    connections, requests, seconds = wish.kept
    if min(wish.kept) <= 0:
        return None
    return KeptConnections(
        target.host, target.port, min(connections, _MOST_CONNECTIONS), min(requests, _MOST), min(seconds, _MOST // 1000)
    )


def _buffers(settings: IngressSettings, globals_: GlobalSettings) -> Buffers | None:
    """Those of the route's own answers, where they are not those of the ConfigMap."""
    number, size = settings.get(ann.PROXY_BUFFERS_NUMBER), settings.get(ann.PROXY_BUFFER_SIZE)
    busy = settings.get(ann.PROXY_BUSY_BUFFERS_SIZE) or 0
    usual = (
        globals_.get(cm.PROXY_BUFFERS_NUMBER),
        globals_.get(cm.PROXY_BUFFER_SIZE),
        globals_.get(cm.PROXY_BUSY_BUFFERS_SIZE) or 0,
    )
    return None if (number, size, busy) == usual else Buffers(number, size, busy_buffers(number, size, busy))


def _cache_scope(wish: _Wish, question: Question, target: ExternalHost, host: str, path: str, scope: str) -> str:
    """What keeps answers apart: nothing that the service is told or asked may differ, nor whom the answer is for."""
    texts = (scope, host, path, str(target), wish.url, wish.method, wish.redirect, ",".join(wish.answers))
    return hashlib.sha256("\0".join((*texts, question.digest)).encode()).hexdigest()[:32]


class Place(NamedTuple):
    """The route that is guarded: its host (empty for none, `*.` for a wildcard), path and Ingress."""

    host: str
    path: str
    namespace: str
    scope: str  # a digest of the Ingress


def external_auth(settings: IngressSettings, globals_: GlobalSettings, place: Place, reader: Reader) -> Asked | None:
    """Who is asked about the requests of a route; None when nobody is. Raises Denied when it cannot be done."""
    wish = _of_ingress(settings)
    if wish is None and settings.get(ann.ENABLE_GLOBAL_AUTH):
        wish = _of_configmap(globals_)
    if wish is None:
        return None
    tls, target, uri = _target(wish, place.host)
    _check_answers(wish)
    question = Question(
        tls,
        _headers(wish.headers, place.namespace, globals_, reader),
        _kept(wish, target),
        wish.snippet,
        wish.common_snippet,
        _buffers(settings, globals_),
    )
    cached, more = bool(wish.cache_key), globals_.own_variables
    auth = ExternalAuth(
        backend=str(target),
        host=target.host,
        uri=_parts(_escaped(uri), wish.field, more),
        method=wish.method,
        redirect=_parts(wish.redirect, wish.field.replace("url", "request-redirect"), more),
        signin=_parts(_signin(wish), wish.field.replace("url", "signin"), more),
        answers=wish.answers,
        always_set_cookie=wish.always_set_cookie,
        cache_scope=_cache_scope(wish, question, target, place.host, place.path, place.scope) if cached else "",
        cache_key=_parts(wish.cache_key, wish.field.replace("url", "cache-key"), more),
        cache_valid=_durations(wish.cache_durations) if cached else (),
    )
    return Asked(auth, question, target)
