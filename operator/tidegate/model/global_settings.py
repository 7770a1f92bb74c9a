"""What holds for every route and stream: configuration."""

from __future__ import annotations

from typing import Literal

import msgspec

from tidegate.model.policies import Directive, Firewall, Policy


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
    hsts_of_routes: bool = False  # whether headers of a route may take its place
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
