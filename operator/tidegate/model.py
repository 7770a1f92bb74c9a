"""The model: what the data plane shall do, in frozen values that know neither Kubernetes nor NGINX.

`Host`, `Backend` and `Certificate` are *data*: each is encoded as one JSON record and pushed to running workers.
`Policy`, `ServerProfile` and `Listener` are *configuration*: each distinct one is rendered once. A `Stream` is both:
its listener is configuration, its endpoints are data. A field that equals its default is left out of the encoding, so
that the records of ordinary routes stay small.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Literal

import msgspec

CATCH_ALL = "_"
"""The name of the host that takes requests for names nobody declared."""

PATTERN = "~"
"""Begins the name of an alias that is a regular expression."""


def is_pattern(name: str) -> bool:
    return name.startswith(PATTERN)


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


class SessionCookie(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What is needed to follow an affinity cookie that another route gives."""

    cookie: str
    mode: Literal["balanced", "persistent"] = "balanced"


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


class Endpoint(msgspec.Struct, frozen=True, omit_defaults=True, order=True, gc=False):
    address: str
    port: int


class Backend(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The ready endpoints of one Service port; `id` is `namespace/service:port` as the Ingress wrote it."""

    id: str
    endpoints: tuple[Endpoint, ...] = ()
    algorithm: Literal["round_robin", "ewma", "hash"] = "round_robin"
    hash_by: tuple[str, ...] = ()  # literals and, with a leading `$`, variables, joined for the key
    subset_size: int = 0
    follows: tuple[SessionCookie, ...] = ()  # that routes without affinity follow, if a client shows one


class KeyPair(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """PEM texts: the chain with the leaf first, and its private key.

    `staple` is an OCSP answer in base64 that holds until `staple_until`, seconds since the epoch.
    """

    chain: str
    key: str
    staple: str = ""
    staple_until: int = 0


class Certificate(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What is shown for one SNI name (exact or `*.domain`)."""

    name: str
    pairs: tuple[KeyPair, ...]


class CertificateInfo(msgspec.Struct, frozen=True, gc=False):
    """What may be told about a certificate: never the key."""

    secret: str
    names: tuple[str, ...]
    issuer: str
    not_after: int
    serial: str
    fingerprint: str
    organization: str = ""  # of the issuer
    algorithm: str = ""  # of the public key
    not_before: int = 0


class Directive(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One directive of a snippet: words as NGINX reads them, without quotes; `block` is None where it has none."""

    name: str
    args: tuple[str, ...] = ()
    block: tuple[Directive, ...] | None = None


def listens_of(lines: Iterable[Directive]) -> Iterator[str]:
    """The addresses that `listen` directives name, at any depth."""
    for line in lines:
        if line.name == "listen" and line.args:
            yield line.args[0]
        yield from listens_of(line.block or ())


class RateLimit(msgspec.Struct, frozen=True, order=True, gc=False):
    rate: int
    unit: Literal["s", "m"]
    burst: int


Protocol = Literal["http", "https", "auto", "grpc", "grpcs", "fcgi"]
"""What a backend speaks; `auto` is http or https, as the client does."""


class BackendTLS(msgspec.Struct, frozen=True, gc=False):
    """TLS to a backend. `certificate` and `trusted` name PEM files by the digests of their contents."""

    certificate: str = ""  # shown to the backend; empty: none
    trusted: str = ""
    verify: bool = False
    depth: int = 1
    name: str = ""  # that the backend's certificate is for; may hold variables
    server_name: bool = False  # whether the backend is told the name
    protocols: tuple[str, ...] = ("TLSv1.2",)
    ciphers: str = "DEFAULT"


class Upstream(msgspec.Struct, frozen=True, gc=False):
    """What makes a kept-alive connection to an endpoint reusable: the protocol and all of its TLS settings."""

    protocol: Protocol = "http"
    tls: BackendTLS | None = None  # None: nothing is shown and nothing verified


class BackendRedirect(msgspec.Struct, frozen=True, gc=False):
    """Location headers of a backend that begin with `old` (empty: the name it was asked by; `~...`: a pattern).

    A `new` that begins with `/` is made absolute unless `relative`, with the port if `port`.
    """

    old: str
    new: str
    relative: bool = False
    port: bool = False


class AnswerRewrites(msgspec.Struct, frozen=True, gc=False):
    """What is replaced in answers of HTTP backends; pairs are what to replace (`~...`: a pattern), and with what."""

    redirect: BackendRedirect | None = None
    cookie_domain: tuple[str, str] | None = None
    cookie_path: tuple[str, str] | None = None


class Mirroring(msgspec.Struct, frozen=True, gc=False):
    """How requests are copied, as far as that is configuration."""

    tls: bool = False
    body: bool = True


class FastCGI(msgspec.Struct, frozen=True, gc=False):
    """What FastCGI backends are told besides what all are: values may have variables."""

    index: str = ""  # the file that stands for a directory
    params: tuple[tuple[str, str], ...] = ()


class KeptConnections(msgspec.Struct, frozen=True, gc=False):
    """Idle connections to one service that a worker keeps; `timeout` is seconds."""

    host: str
    port: int
    connections: int
    requests: int
    timeout: int

    @property
    def digest(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


class Question(msgspec.Struct, frozen=True, gc=False):
    """How an authentication service is asked, as far as that is configuration.

    `headers` are set on the question, their values may have variables. Without `kept` connections in clear text
    are kept like those to any backend, and TLS ones are not. `common_snippet`: the lines of the global settings count.
    """

    tls: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    kept: KeptConnections | None = None
    snippet: tuple[Directive, ...] = ()
    common_snippet: bool = False

    @property
    def digest(self) -> str:
        """A name for this kind of question, the same in every process."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


class Firewall(msgspec.Struct, frozen=True, gc=False):
    """What ModSecurity applies to requests. `common`: the rules of the global settings, else the recommended ones."""

    rules: str = ""  # lines of the Ingress, which count before all others
    common: bool = False
    base: bool = False  # the recommended rules
    core: bool = False  # the OWASP core rules
    transaction_id: str = ""  # may hold variables


class Policy(msgspec.Struct, frozen=True, gc=False):
    """What NGINX only takes as configuration. Sizes are bytes, durations seconds."""

    body_limit: int
    buffering: bool
    request_buffering: bool
    buffers_number: int
    buffer_size: int
    busy_buffers_size: int
    max_temp_file_size: int
    client_body_buffer_size: int
    http_version: Literal["1.0", "1.1"]
    next_upstream: tuple[str, ...]
    next_upstream_timeout: int
    tries: int = 3  # 0: no limit
    upstream: Upstream = Upstream()
    rates: tuple[RateLimit, ...] = ()
    connections: int = 0
    limit_rate: int = 0
    limit_rate_after: int = 0
    access: bool = False
    auth: bool = False
    digest_auth: bool = False
    question: Question | None = None
    question_answers: tuple[str, ...] = ()  # headers that the backend gets from the service asked, not the client
    signin: bool = False  # a 401 becomes a redirect
    adds_headers: bool = False  # the route has a say in the headers of its answers
    own_host: bool = False  # the Host header sent upstream is the route's
    connection: Literal["", "close", "keep-alive"] = ""  # the Connection header sent upstream; empty: as called for
    answers: AnswerRewrites = AnswerRewrites()
    fastcgi: FastCGI = FastCGI()
    mirroring: Mirroring | None = None
    satisfy_any: bool = False
    intercept: tuple[int, ...] = ()
    intercept_backend: bool = True
    access_log: bool = True
    snippet: tuple[Directive, ...] = ()
    captures: str = ""  # a pattern, where the snippet uses what it captures
    common_snippet: bool = False  # the location snippet of the global settings counts here
    firewall: Firewall | None = None

    @property
    def digest(self) -> str:
        """A name for this policy, the same in every process."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


class Listener(msgspec.Struct, frozen=True, order=True, gc=False):
    """Where a TCP or UDP service is reached; a change of the set of these is one reload."""

    protocol: Literal["tcp", "udp"]
    port: int
    read_proxy: bool = False  # clients begin with a PROXY line
    send_proxy: bool = False  # the endpoint is sent one

    @property
    def name(self) -> str:
        return f"{self.protocol}-{self.port}"


class Stream(msgspec.Struct, frozen=True, gc=False):
    """A TCP or UDP service. Nothing listens without endpoints; a change of them is data.

    `service` is `namespace/service:port` as the ConfigMap has it.
    """

    listener: Listener
    service: str
    endpoints: tuple[Endpoint, ...] = ()
    by_address: bool = False  # a client's address decides which endpoint it gets


class Passthrough(msgspec.Struct, frozen=True, gc=False):
    """A host whose TLS goes to the endpoints of a backend undecrypted; data."""

    host: str
    service: str
    endpoints: tuple[Endpoint, ...] = ()


class Compression(msgspec.Struct, frozen=True, gc=False):
    """How answers are compressed. `types` are media types besides text/html; `disabled` is a pattern of User-Agents."""

    level: int
    min_length: int
    types: tuple[str, ...]
    disabled: str = ""


class Geo(msgspec.Struct, frozen=True, gc=False):
    """Databases of client addresses, by path. `reload_minutes`: 0 for never."""

    databases: tuple[str, ...]
    reload_minutes: int = 0


class Tuning(msgspec.Struct, frozen=True, gc=False):
    """NGINX's processes and hash tables; sizes of hash tables are grown where they are too small."""

    cpu_affinity: tuple[str, ...] = ()
    open_files: int = 0  # 0: as many as the system allows
    map_bucket: int = 0
    names_max: int = 0
    names_bucket: int = 0
    variables_max: int = 0
    variables_bucket: int = 0


class StreamSettings(msgspec.Struct, frozen=True, gc=False):
    """What holds for every TCP and UDP service. Durations are milliseconds."""

    timeout: int = 600_000
    next_upstream: bool = True
    next_upstream_timeout: int = 600_000
    tries: int = 3  # 0: no limit
    responses: int = 1
    proxy_header_timeout: int = 5000  # how long the front of TLS passthrough waits for a PROXY line
    access_log: str = ""  # a path or a syslog server; empty: none
    access_log_parameters: tuple[str, ...] = ()
    log_format: str = ""
    snippet: tuple[Directive, ...] = ()


Sampler = Literal["AlwaysOn", "AlwaysOff", "TraceIdRatioBased"]


class Tracing(msgspec.Struct, frozen=True, gc=False):
    """How what is traced is sampled and named; `export`: whether somebody takes spans, of which `most` may wait."""

    sampler: Sampler = "AlwaysOn"
    ratio: float = 0.01
    parent_based: bool = True
    name: tuple[str, ...] = ()  # of literals and, with a leading `$`, variables; empty: the path of the route
    export: bool = False
    most: int = 2048


class Globals(msgspec.Struct, frozen=True, gc=False):
    """What holds for every route. Sizes are bytes, durations seconds; a change of one of these is one reload."""

    default_policy: Policy
    connect_timeout: int = 5
    send_timeout: int = 60
    read_timeout: int = 60
    tries: int = 3
    workers: int = 0  # 0: one per core
    shutdown_timeout: float = 240
    connections: int = 16384  # of one worker; 0: three quarters of its open files
    keep_alive: int = 75
    keep_alive_requests: int = 1000
    client_header_buffer_size: int = 1024
    large_client_header_buffers: tuple[int, int] = (4, 8192)
    client_header_timeout: int = 60
    client_body_timeout: int = 60
    upstream_keepalive: int = 320
    upstream_keepalive_time: float = 3600
    upstream_keepalive_timeout: int = 60
    upstream_keepalive_requests: int = 10000
    grpc_buffer_size: int = 0  # 0: NGINX's own
    proxy_headers_hash_max_size: int = 512
    proxy_headers_hash_bucket_size: int = 64
    hsts: str = "max-age=31536000; includeSubDomains"  # empty: the header of the backend passes
    generate_request_id: bool = True
    add_original_uri: bool = False
    use_forwarded_headers: bool = False
    enable_real_ip: bool = False
    forwarded_for_header: str = "X-Forwarded-For"
    forwarded_client_header: str = "X-Forwarded-For-Proxy-Protocol"
    forwarded_host_header: str = "X-Forwarded-Host"
    trusted_networks: tuple[str, ...] = ("0.0.0.0/0",)
    full_forwarded_for: bool = False
    use_proxy_protocol: bool = False
    http2: bool = True
    http2_max_concurrent_streams: int = 128
    server_tokens: bool = False
    reuse_port: bool = True
    multi_accept: bool = True
    ipv6: bool = True
    bind_ipv4: tuple[str, ...] = ()  # in place of the wildcard of their family
    bind_ipv6: tuple[str, ...] = ()
    hidden_headers: tuple[str, ...] = ()  # of backends' answers
    pass_server_header: bool = False
    added_headers: tuple[tuple[str, str], ...] = ()  # of every answer; values have variables, an empty one removes
    proxied_headers: tuple[tuple[str, str], ...] = ()  # the same of every request to a backend
    ssl_protocols: tuple[str, ...] = ("TLSv1.2", "TLSv1.3")
    ssl_ciphers: str = ""
    ssl_session_cache_size: int = 10 * 1024 * 1024  # 0: no cache
    ssl_session_timeout: int = 600
    ssl_session_tickets: bool = False
    ssl_ticket_keys: tuple[str, ...] = ()  # digests of files; the first encrypts
    ssl_dh_param: str = ""  # digest of a file; empty: none
    ssl_ecdh_curve: str = "auto"
    ssl_early_data: bool = False
    ssl_buffer_size: int = 4096
    ssl_reject_handshake: bool = False
    underscores_in_headers: bool = False
    ignore_invalid_headers: bool = True
    default_type: str = "text/html"
    limit_req_status: int = 503
    limit_conn_status: int = 503
    access_log: str = ""  # a path or syslog server; empty: none
    access_log_parameters: tuple[str, ...] = ()
    unlogged_uris: tuple[str, ...] = ()  # texts, and patterns that begin with ~ or ~*
    log_format: str = ""
    blocked_networks: tuple[str, ...] = ()
    blocked_agents: tuple[str, ...] = ()  # User-Agent: texts, or patterns after `~` or `~*`
    blocked_referers: tuple[str, ...] = ()
    status_readers: tuple[str, ...] = ("127.0.0.1/32", "::1/128")  # networks that may read NGINX's own counters
    log_default_backend: bool = False  # whether requests that nobody declares are logged
    log_questions: bool = False  # those to authentication services
    log_escape: str = ""  # empty, json or none
    error_log_level: str = "notice"
    stream: StreamSettings = StreamSettings()
    gzip: Compression | None = None
    brotli: Compression | None = None
    geo: Geo | None = None
    tuning: Tuning = Tuning()
    serial_reloads: bool = False
    limit_by: tuple[str, ...] = ()  # what limits take for a client, as a backend's `hash_by`; empty: its address
    error_log: str = ""  # a path or syslog server besides the log in the run directory
    debug_connections: tuple[str, ...] = ()
    main_snippet: tuple[Directive, ...] = ()
    http_snippet: tuple[Directive, ...] = ()
    server_snippet: tuple[Directive, ...] = ()
    location_snippet: tuple[Directive, ...] = ()
    auth_snippet: tuple[Directive, ...] = ()  # of questions to the global authentication service
    firewall: Firewall | None = None  # of requests that nobody's route takes
    tracing: Tracing = Tracing()
    firewall_rules: str = ""  # in place of the recommended ones where a firewall is `common`
    relative_redirects: bool = False  # of redirects that lines of snippets make


VerifyMode = Literal["on", "off", "optional", "optional_no_ca"]


class Verification(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How certificates of clients are verified. `authorities` and `revocations` name PEM files by digest."""

    authorities: str
    revocations: str = ""
    depth: int = 1
    mode: VerifyMode = "on"


class ServerProfile(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What needs a native `server` of its own: verified clients, ciphers, lines of a server snippet.

    One with lines for the `stream` block has nothing else, and no hosts.
    """

    snippet: tuple[Directive, ...] = ()
    stream: tuple[Directive, ...] = ()
    verification: Verification | None = None
    ciphers: str = ""  # empty: the global ones
    prefer_server_ciphers: bool | None = None  # None: as globally

    @property
    def digest(self) -> str:
        """A name for this profile, the same in every process."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


class Server(msgspec.Struct, frozen=True, gc=False):
    """A native server: which names it takes, and the policies that routes of these names name."""

    profile: ServerProfile
    hosts: tuple[str, ...]
    policies: tuple[str, ...] = ()


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """The whole wanted state, keyed by the names that the data plane looks things up by."""

    hosts: dict[str, Host]
    backends: dict[str, Backend]
    certificates: dict[str, Certificate]
    policies: dict[str, Policy]
    servers: dict[str, Server]
    streams: dict[str, Stream] = {}
    passthrough: dict[str, Passthrough] = {}
