"""Routes and hosts: data. Each host is encoded as one JSON record and pushed to running workers.

A field that equals its default is left out of the encoding, so that the records of ordinary routes stay small.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec


class Match(StrEnum):
    """How a path is compared with the decoded, merged URI of a request."""

    EXACT = "exact"
    PREFIX = "prefix"  # whole segments: `/foo` takes `/foo` and `/foo/...`, `/foo/` what begins with it
    REGEX = "regex"  # case-insensitive, anchored at the start


class Redirect(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Answer `status` with `location`; one that begins with `/` is made absolute unless `relative`."""

    status: int
    location: str
    relative: bool = False


class Rewrite(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Replace the whole URI by `target` (with `$1`..`$9`, `$name`) where `pattern` matches, ignoring case."""

    pattern: str
    target: str
    forwarded_prefix: str = ""


class TLSRedirect(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Send plain requests to https: always when `force`, else when the request's host has TLS."""

    status: int = 308
    force: bool = False
    keep_slash: bool = False
    port: int = 0  # named in the target when not 0


class Canary(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """When a request goes to `backend` instead; the first rule that decides wins (header, cookie, weight).

    Of several for one route, what a header or cookie says of any of them comes before the weights.
    """

    backend: str
    header: str = ""
    header_value: str = ""
    header_pattern: str = ""
    cookie: str = ""
    weight: int = 0
    total: int = 100
    sticky: bool = True  # a client that holds an affinity cookie of this backend stays here


class Affinity(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A cookie that keeps a client on its endpoint. Ages are seconds, None leaves the attribute out."""

    cookie: str
    path: str
    mode: Literal["balanced", "persistent"] = "balanced"
    domain: str = ""
    expires: int | None = None
    max_age: int | None = None
    secure: bool = False
    same_site: str = ""
    conditional_same_site: bool = False
    change_on_failure: bool = False


class Access(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Networks in CIDR form; `deny` wins over `allow`, an empty `allow` lets everybody pass."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class BasicAuth(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """`users` names a file of htpasswd lines by the digest of its content."""

    realm: str
    users: str


class Cors(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Cross-origin requests: `origins` as they are written, `*` for all. Empty texts are headers left out."""

    origins: tuple[str, ...]
    max_age: int  # seconds
    methods: str = ""
    headers: str = ""
    expose: str = ""
    credentials: bool = False


class ExternalAuth(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The service that is asked about each request: `backend` has its addresses, `host` is its name.

    `uri`, `redirect` (empty: the request's URI), `signin` (empty: a 401 stays one) and `cache_key` are made for each
    request of literals and, with a leading `$`, variables. Without a `cache_scope` no answer is kept; `cache_valid`
    says for how many seconds, by status, where the service does not say so itself.
    """

    backend: str
    host: str
    uri: tuple[str, ...]
    method: str = ""  # empty: GET, and the service is told less about the request
    redirect: tuple[str, ...] = ()
    signin: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()  # headers of the service's answer that the backend gets
    always_set_cookie: bool = False
    cache_scope: str = ""
    cache_key: tuple[str, ...] = ()
    cache_valid: tuple[tuple[str, int], ...] = ()


class Mirror(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Where copies of requests go: `backend` has the addresses of `name`.

    URI and Host header are made for each request of literals and, with a leading `$`, variables.
    """

    backend: str
    name: str
    uri: tuple[str, ...]
    host: tuple[str, ...]


class DigestAuth(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """`users` names a file of lines `user:realm:hash` by the digest of its content."""

    realm: str
    users: str


class Labels(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a request is counted and logged under."""

    namespace: str = ""
    ingress: str = ""
    service: str = ""
    port: str = ""
    path: str = ""


class Trace(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A route that is traced. `distrust`: a client's trace is not continued; `name`: of its spans."""

    distrust: bool = False
    name: str = ""


class Route(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One location of a host. Durations are seconds, sizes bytes; `policy` is a digest, empty for the default one."""

    match: Match
    path: str
    labels: Labels
    backend: str = ""
    policy: str = ""
    status: int = 0  # answer this and nothing else (a route that is denied)
    refused: bool = False  # held for an Ingress that is not accepted: the default backend answers
    redirect: Redirect | None = None
    tls_redirect: TLSRedirect | None = None
    rewrite: Rewrite | None = None
    rewrite_log: bool = False  # whether what `rewrite` does is told in the error log
    body_limit: int | None = None  # None: the global one; 0: none
    connect_timeout: int | None = None
    send_timeout: int | None = None
    read_timeout: int | None = None
    tries: int | None = None
    canaries: tuple[Canary, ...] = ()  # the oldest Ingress first
    affinity: Affinity | None = None
    limit_scope: str = ""
    limit_exempt: tuple[str, ...] = ()
    access: Access | None = None
    auth: BasicAuth | None = None
    digest_auth: DigestAuth | None = None
    external: ExternalAuth | None = None
    mirror: Mirror | None = None
    cors: Cors | None = None
    headers: tuple[tuple[str, str], ...] = ()  # of each answer, in place of the backend's; an empty value removes one
    upstream_host: tuple[str, ...] = ()  # the Host header for backends: literals and, with a leading `$`, variables
    port_in_redirects: bool = False  # NGINX's own redirects name the port
    relative_redirects: bool = False  # NGINX's own redirects, but the one to HTTPS, are paths alone
    fallback: str = ""  # backend asked when the own one has no endpoint
    error_backend: str = ""  # backend that answers intercepted errors
    intercepts: bool = False  # the policy replaces some statuses
    trace: Trace | None = None
    snippet: bool = False  # lines of the policy run before redirects, rewrites and the choice of an endpoint
    quiet: bool = False  # requests leave no line in the access log


class ClientRules(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What follows from a client's certificate, once NGINX has looked at it."""

    match: str = ""  # a pattern that its subject must match
    error_page: str = ""  # a path, `@location` or URL for clients that are refused
    forward: bool = False  # whether backends get the certificate itself


class Host(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Everything a request for one name can meet.

    Routes stand in the order in which regular expressions are tried. A host that only sends its requests to another
    name (`alias_of`, `redirect_to`) has no routes.
    """

    name: str
    routes: tuple[Route, ...] = ()
    tls: bool = False
    regex: bool = False
    app_root: str = ""
    alias_of: str = ""
    profile: str = ""  # digest of the server profile it needs; `_`: the catch-all server has to name it
    guarded: bool = False  # whether that profile verifies clients: such a host is served nowhere else
    closed: int = 0  # answer everything with this status
    client: ClientRules | None = None
    redirect_to: str = ""
    redirect_status: int = 0
