"""Global settings to the model: what holds for every route, and the policy of a route that says nothing."""

from __future__ import annotations

from tidegate.model import Geo, Globals, Policy, StreamSettings, Tuning, Upstream
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings
from tidegate.translate.answers import default_rewrites
from tidegate.translate.backends import hash_parts
from tidegate.translate.client_tls import NO_CLIENT_TLS, ClientTLS
from tidegate.translate.compression import brotli, gzip
from tidegate.translate.firewall import global_rules, usable_firewall
from tidegate.translate.header_sets import NO_HEADERS, HeaderSets
from tidegate.translate.logs import (
    access_log,
    access_log_parameters,
    debug_connections,
    error_log,
    log_escape,
    stream_log,
)
from tidegate.translate.options import GEOIP2, HEADERS_MORE, Options
from tidegate.translate.tracing import tracing_of


def next_upstream(conditions: tuple[str, ...], settings: GlobalSettings) -> tuple[str, ...]:
    """The conditions for another try; `non_idempotent` joins them when the ConfigMap says so, and comes last."""
    found = [item for item in conditions if item != "non_idempotent"]
    if "off" in found:
        return ("off",)
    if "non_idempotent" in conditions or settings.get(cm.RETRY_NON_IDEMPOTENT):
        found.append("non_idempotent")
    return tuple(found)


def busy_buffers(number: int, size: int, busy: int) -> int:
    """0 for NGINX's own choice, or a size that it takes next to these buffers: at least one, at most all but one."""
    if not busy:
        return size if number < 3 else 0  # its own choice, two buffers, does not fit
    return max(size, min(busy, (number - 1) * size))


def default_policy(settings: GlobalSettings) -> Policy:
    """The policy of routes whose Ingress overrides nothing; their location is the outer one.

    It guards nothing: a route with address lists names a policy of its own, so that it is never served where NGINX
    has refused the global settings that came with the lists.
    """
    number, size = settings.get(cm.PROXY_BUFFERS_NUMBER), settings.get(cm.PROXY_BUFFER_SIZE)
    buffering = settings.get(cm.PROXY_BUFFERING)
    return Policy(
        body_limit=settings.get(cm.PROXY_BODY_SIZE),
        buffering=buffering,
        request_buffering=settings.get(cm.PROXY_REQUEST_BUFFERING),
        buffers_number=number,
        buffer_size=size,
        busy_buffers_size=busy_buffers(number, size, settings.get(cm.PROXY_BUSY_BUFFERS_SIZE) or 0),
        max_temp_file_size=temp_file_size(settings.get(cm.PROXY_MAX_TEMP_FILE_SIZE), size),
        client_body_buffer_size=settings.get(cm.CLIENT_BODY_BUFFER_SIZE),
        http_version="1.0" if settings.get(cm.PROXY_HTTP_VERSION) == "1.0" else "1.1",
        next_upstream=next_upstream(settings.get(cm.PROXY_NEXT_UPSTREAM), settings),
        next_upstream_timeout=settings.get(cm.PROXY_NEXT_UPSTREAM_TIMEOUT),
        tries=settings.get(cm.PROXY_NEXT_UPSTREAM_TRIES),
        upstream=Upstream("http"),
        answers=default_rewrites(settings),
        limit_rate=settings.get(cm.LIMIT_RATE) if buffering else 0,
        limit_rate_after=settings.get(cm.LIMIT_RATE_AFTER) if buffering else 0,
        intercept=settings.get(cm.CUSTOM_HTTP_ERRORS),
        intercept_backend=not settings.get(cm.DISABLE_PROXY_INTERCEPT_ERRORS),
    )


def temp_file_size(wanted: int, buffer_size: int) -> int:
    """0 for no file, else at least what NGINX asks for: one buffer of 8k or the head's buffer."""
    return max(wanted, 16384, 2 * buffer_size) if wanted else 0


def _hsts(settings: GlobalSettings) -> str:
    if not settings.get(cm.HSTS):
        return ""
    text = f"max-age={settings.get(cm.HSTS_MAX_AGE)}"
    if settings.get(cm.HSTS_INCLUDE_SUBDOMAINS):
        text += "; includeSubDomains"
    return text + ("; preload" if settings.get(cm.HSTS_PRELOAD) else "")


def stream_settings(settings: GlobalSettings, options: Options) -> StreamSettings:
    """What holds for every TCP and UDP service."""
    get = settings.get
    return StreamSettings(
        timeout=get(cm.PROXY_STREAM_TIMEOUT),
        next_upstream=get(cm.PROXY_STREAM_NEXT_UPSTREAM),
        next_upstream_timeout=get(cm.PROXY_STREAM_NEXT_UPSTREAM_TIMEOUT),
        tries=get(cm.PROXY_STREAM_NEXT_UPSTREAM_TRIES),
        responses=get(cm.PROXY_STREAM_RESPONSES),
        proxy_header_timeout=min(max(1, get(cm.PROXY_PROTOCOL_HEADER_TIMEOUT)), 2**31 - 1),
        access_log=stream_log(settings, options),
        access_log_parameters=access_log_parameters(settings, stream_log(settings, options)),
        log_format=get(cm.LOG_FORMAT_STREAM),
        snippet=get(cm.STREAM_SNIPPET),
    )


def tuning(settings: GlobalSettings) -> Tuning:
    """What worker processes get, and the sizes of hash tables, as the ConfigMap asks for them."""
    get = settings.get
    return Tuning(
        cpu_affinity=get(cm.WORKER_CPU_AFFINITY),
        open_files=get(cm.MAX_WORKER_OPEN_FILES),
        map_bucket=get(cm.MAP_HASH_BUCKET_SIZE),
        names_max=get(cm.SERVER_NAME_HASH_MAX_SIZE),
        names_bucket=get(cm.SERVER_NAME_HASH_BUCKET_SIZE),
        variables_max=get(cm.VARIABLES_HASH_MAX_SIZE),
        variables_bucket=get(cm.VARIABLES_HASH_BUCKET_SIZE),
    )


def geo(settings: GlobalSettings, options: Options) -> Geo | None:
    """None also where there is nothing to read, or nobody who could."""
    if not settings.get(cm.USE_GEOIP2) or not options.geo_databases or not options.nginx.has(GEOIP2):
        return None
    return Geo(options.geo_databases, settings.get(cm.GEOIP2_AUTORELOAD_IN_MINUTES))


def limit_by(settings: GlobalSettings) -> tuple[str, ...]:
    """Nothing for the client's address, which the data plane takes on a short way."""
    parts = hash_parts(settings.get(cm.LIMIT_CONN_ZONE_VARIABLE))
    return () if parts == ("$binary_remote_addr",) else parts


def translate_globals(
    settings: GlobalSettings,
    options: Options,
    headers: HeaderSets = NO_HEADERS,
    tls: ClientTLS = NO_CLIENT_TLS,
) -> Globals:
    """Everything that is one value for the whole data plane."""
    get = settings.get
    number, size = get(cm.LARGE_CLIENT_HEADER_BUFFERS)
    addresses = get(cm.BIND_ADDRESS) if options.nginx.wildcard else ()
    cache = get(cm.SSL_SESSION_CACHE_SIZE) if get(cm.SSL_SESSION_CACHE) else 0
    return Globals(
        default_policy=default_policy(settings),
        connect_timeout=get(cm.PROXY_CONNECT_TIMEOUT),
        send_timeout=get(cm.PROXY_SEND_TIMEOUT),
        read_timeout=get(cm.PROXY_READ_TIMEOUT),
        tries=get(cm.PROXY_NEXT_UPSTREAM_TRIES),
        workers=get(cm.WORKER_PROCESSES) or 0,
        shutdown_timeout=get(cm.WORKER_SHUTDOWN_TIMEOUT) / 1000,
        connections=get(cm.MAX_WORKER_CONNECTIONS),
        keep_alive=get(cm.KEEP_ALIVE),
        keep_alive_requests=get(cm.KEEP_ALIVE_REQUESTS),
        client_header_buffer_size=get(cm.CLIENT_HEADER_BUFFER_SIZE),
        large_client_header_buffers=(number, size),
        client_header_timeout=get(cm.CLIENT_HEADER_TIMEOUT),
        client_body_timeout=get(cm.CLIENT_BODY_TIMEOUT),
        upstream_keepalive=get(cm.UPSTREAM_KEEPALIVE_CONNECTIONS),
        upstream_keepalive_time=get(cm.UPSTREAM_KEEPALIVE_TIME) / 1000,
        upstream_keepalive_timeout=get(cm.UPSTREAM_KEEPALIVE_TIMEOUT),
        upstream_keepalive_requests=get(cm.UPSTREAM_KEEPALIVE_REQUESTS),
        grpc_buffer_size=get(cm.GRPC_BUFFER_SIZE_KB) * 1024,
        proxy_headers_hash_max_size=get(cm.PROXY_HEADERS_HASH_MAX_SIZE),
        proxy_headers_hash_bucket_size=get(cm.PROXY_HEADERS_HASH_BUCKET_SIZE),
        hsts=_hsts(settings),
        hsts_of_routes="strict-transport-security"
        in {name.lower() for name in get(cm.GLOBAL_ALLOWED_RESPONSE_HEADERS)},
        generate_request_id=get(cm.GENERATE_REQUEST_ID),
        add_original_uri=get(cm.PROXY_ADD_ORIGINAL_URI_HEADER),
        use_forwarded_headers=get(cm.USE_FORWARDED_HEADERS),
        enable_real_ip=get(cm.ENABLE_REAL_IP),
        forwarded_for_header=get(cm.FORWARDED_FOR_HEADER),
        forwarded_client_header=get(cm.FORWARDED_FOR_PROXY_PROTOCOL_HEADER),
        forwarded_host_header=get(cm.FORWARDED_HOST_HEADER),
        trusted_networks=get(cm.PROXY_REAL_IP_CIDR),
        full_forwarded_for=get(cm.COMPUTE_FULL_FORWARDED_FOR),
        use_proxy_protocol=get(cm.USE_PROXY_PROTOCOL),
        http2=get(cm.USE_HTTP2),
        http2_max_concurrent_streams=get(cm.HTTP2_MAX_CONCURRENT_STREAMS),
        server_tokens=get(cm.SERVER_TOKENS),
        reuse_port=get(cm.REUSE_PORT),
        multi_accept=get(cm.ENABLE_MULTI_ACCEPT),
        ipv6=not get(cm.DISABLE_IPV6),
        bind_ipv4=tuple(address for address in addresses if ":" not in address),
        bind_ipv6=tuple(address for address in addresses if ":" in address),
        hidden_headers=get(cm.HIDE_HEADERS),
        pass_server_header=get(cm.ALLOW_BACKEND_SERVER_HEADER),
        added_headers=headers.added if options.nginx.has(HEADERS_MORE) else (),
        proxied_headers=headers.proxied,
        ssl_protocols=get(cm.SSL_PROTOCOLS),
        ssl_ciphers=get(cm.SSL_CIPHERS),
        ssl_session_cache_size=cache,
        ssl_session_timeout=get(cm.SSL_SESSION_TIMEOUT) // 1000,
        ssl_session_tickets=get(cm.SSL_SESSION_TICKETS),
        ssl_ticket_keys=tls.ticket_keys,
        ssl_dh_param=tls.dh_param,
        ssl_ecdh_curve=get(cm.SSL_ECDH_CURVE),
        ssl_early_data=get(cm.SSL_EARLY_DATA),
        ssl_buffer_size=get(cm.SSL_BUFFER_SIZE),
        ssl_reject_handshake=get(cm.SSL_REJECT_HANDSHAKE),
        underscores_in_headers=get(cm.ENABLE_UNDERSCORES_IN_HEADERS),
        ignore_invalid_headers=get(cm.IGNORE_INVALID_HEADERS),
        default_type=get(cm.DEFAULT_TYPE),
        limit_req_status=get(cm.LIMIT_REQ_STATUS_CODE),
        limit_conn_status=get(cm.LIMIT_CONN_STATUS_CODE),
        access_log=access_log(settings, options),
        access_log_parameters=access_log_parameters(settings, access_log(settings, options)),
        unlogged_uris=get(cm.SKIP_ACCESS_LOG_URLS),
        log_format=get(cm.LOG_FORMAT_UPSTREAM),
        blocked_networks=get(cm.BLOCK_CIDRS),
        blocked_agents=get(cm.BLOCK_USER_AGENTS),
        blocked_referers=get(cm.BLOCK_REFERERS),
        status_readers=get(cm.NGINX_STATUS_IPV4_WHITELIST) + get(cm.NGINX_STATUS_IPV6_WHITELIST),
        log_default_backend=get(cm.ENABLE_ACCESS_LOG_FOR_DEFAULT_BACKEND),
        log_questions=get(cm.ENABLE_AUTH_ACCESS_LOG),
        log_escape=log_escape(settings),
        error_log_level=get(cm.ERROR_LOG_LEVEL),
        stream=stream_settings(settings, options),
        gzip=gzip(settings),
        brotli=brotli(settings, options),
        geo=geo(settings, options),
        tuning=tuning(settings),
        serial_reloads=get(cm.ENABLE_SERIAL_RELOADS),
        limit_by=limit_by(settings),
        error_log=error_log(settings),
        debug_connections=debug_connections(settings, options),
        main_snippet=get(cm.MAIN_SNIPPET),
        http_snippet=get(cm.HTTP_SNIPPET),
        server_snippet=get(cm.SERVER_SNIPPET),
        location_snippet=get(cm.LOCATION_SNIPPET),
        auth_snippet=get(cm.GLOBAL_AUTH_SNIPPET),
        firewall=usable_firewall(settings, options.nginx),
        firewall_rules=global_rules(settings),
        tracing=tracing_of(settings),
        relative_redirects=get(cm.RELATIVE_REDIRECTS),
    )
