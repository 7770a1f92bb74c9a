"""The variables that NGINX knows in HTTP requests and in TCP and UDP sessions: one that it does not know stops it."""

from __future__ import annotations

import re
from typing import Final

_VARIABLE: Final = re.compile(r"\$(?:([A-Za-z0-9_]+)|\{([A-Za-z0-9_]+)\})")
_VARIABLE_FAMILIES: Final = (
    *("geoip2_", "arg_", "cookie_", "http_", "sent_http_", "sent_trailer_"),
    *("upstream_cookie_", "upstream_http_", "upstream_trailer_"),
)
# Those of the modules that NGINX always has, and our own.
_VARIABLE_NAMES: Final = (
    "ancient_browser args binary_remote_addr body_bytes_sent bytes_sent connection connection_requests connection_time "
    "connections_active connections_reading connections_waiting connections_writing content_length content_type "
    "date_gmt date_local document_root document_uri fastcgi_path_info fastcgi_script_name gzip_ratio host hostname "
    "http2 https invalid_referer is_args limit_conn_status limit_rate limit_req_status modern_browser msec msie "
    "nginx_version pid pipe proxy_add_x_forwarded_for proxy_host proxy_port proxy_protocol_addr proxy_protocol_port "
    "proxy_protocol_server_addr proxy_protocol_server_port query_string realip_remote_addr realip_remote_port "
    "realpath_root remote_addr remote_port remote_user request request_body request_body_file request_completion "
    "request_filename request_id request_length request_method request_time request_uri scheme secure_link "
    "secure_link_expires server_addr server_name server_port server_protocol slice_range ssl_alpn_protocol ssl_cipher "
    "ssl_client_cert ssl_client_escaped_cert ssl_client_fingerprint ssl_client_i_dn ssl_client_i_dn_legacy "
    "ssl_client_raw_cert ssl_client_s_dn ssl_client_s_dn_legacy ssl_client_serial ssl_client_v_end ssl_client_v_remain "
    "ssl_client_v_start ssl_client_verify ssl_curve ssl_curves ssl_early_data ssl_protocol ssl_server_name "
    "ssl_session_id ssl_session_reused status tcpinfo_rcv_space tcpinfo_rtt tcpinfo_rttvar tcpinfo_snd_cwnd "
    "time_iso8601 time_local uid_got uid_reset uid_set upstream_addr upstream_bytes_received upstream_bytes_sent "
    "upstream_cache_status upstream_connect_time upstream_header_time upstream_response_length "
    "upstream_response_time upstream_status uri "
    "best_http_host ingress_name location_path namespace pass_access_scheme pass_port pass_server_port "
    "opentelemetry_context_b3 opentelemetry_context_traceparent opentelemetry_sampled opentelemetry_span_id "
    "opentelemetry_trace_id proxy_alternative_upstream_name proxy_upstream_name req_id service_name service_port "
    "the_real_ip"
)
_VARIABLES: Final = frozenset(_VARIABLE_NAMES.split())
# The same for sessions of TCP and UDP services.
_STREAM_VARIABLE_NAMES: Final = (
    "binary_remote_addr bytes_received bytes_sent connection hostname msec nginx_version pid protocol "
    "proxy_protocol_addr proxy_protocol_port proxy_protocol_server_addr proxy_protocol_server_port "
    "realip_remote_addr realip_remote_port remote_addr remote_port server_addr server_port session_time "
    "ssl_preread_alpn_protocols ssl_preread_protocol ssl_preread_server_name status time_iso8601 time_local "
    "upstream_addr upstream_bytes_received upstream_bytes_sent upstream_connect_time upstream_first_byte_time "
    "upstream_session_time proxy_upstream_name"
)
STREAM_VARIABLES: Final = frozenset(_STREAM_VARIABLE_NAMES.split())


def unknown_variable(
    text: str,
    known: frozenset[str] = _VARIABLES,
    families: tuple[str, ...] = _VARIABLE_FAMILIES,
    more: frozenset[str] = frozenset(),
) -> str:
    """The first variable in text that NGINX would not know, or nothing; `more` are those that snippets define."""
    for found in _VARIABLE.finditer(text):
        name = str(found[1] or found[2]).lower()
        if name not in known and name not in more and not name.startswith(families):
            return name
    return ""
