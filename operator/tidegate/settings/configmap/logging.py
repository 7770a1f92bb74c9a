"""ConfigMap keys of the access log and the error log."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.lists import CidrList
from tidegate.settings.log_types import AccessLogParameters, Matchers
from tidegate.settings.nginx_types import LogFormat, LogTarget, OptionalHost
from tidegate.settings.setting import Becomes, Scope
from tidegate.settings.types import Choice, LiteralInt, WeakBool

_FAMILY: Final = Family("Logging", scope=Scope.GLOBAL, becomes=Becomes.GLOBAL)

DEFAULT_LOG_FORMAT: Final = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
    '"$http_user_agent" $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] '
    "$upstream_addr $upstream_response_length $upstream_response_time $upstream_status $req_id"
)

ACCESS_LOG_PATH: Final = _FAMILY.setting(
    "access-log-path",
    LogTarget(),
    "/var/log/nginx/access.log",
    "Where access log lines go: a file or a syslog server.",
)
HTTP_ACCESS_LOG_PATH: Final = _FAMILY.setting(
    "http-access-log-path", LogTarget(optional=True), "", "The same for HTTP alone; empty: as `access-log-path`."
)
STREAM_ACCESS_LOG_PATH: Final = _FAMILY.setting(
    "stream-access-log-path",
    LogTarget(optional=True),
    "",
    "The same for TCP and UDP alone; empty: as `access-log-path`.",
)
ACCESS_LOG_PARAMS: Final = _FAMILY.setting(
    "access-log-params",
    AccessLogParameters(),
    (),
    "How lines of the access log's file are collected before they are written. A syslog server gets each at once.",
)
DISABLE_ACCESS_LOG: Final = _FAMILY.setting(
    "disable-access-log",
    WeakBool(),
    False,
    "No access log at all, whatever an Ingress says.",
)
DISABLE_HTTP_ACCESS_LOG: Final = _FAMILY.setting(
    "disable-http-access-log", WeakBool(), False, "No access log for HTTP."
)
DISABLE_STREAM_ACCESS_LOG: Final = _FAMILY.setting(
    "disable-stream-access-log",
    WeakBool(),
    False,
    "No access log for TCP and UDP services.",
)
ENABLE_ACCESS_LOG_FOR_DEFAULT_BACKEND: Final = _FAMILY.setting(
    "enable-access-log-for-default-backend",
    WeakBool(),
    False,
    "Whether requests for unknown hosts are logged.",
)
ENABLE_AUTH_ACCESS_LOG: Final = _FAMILY.setting(
    "enable-auth-access-log",
    WeakBool(),
    False,
    "Whether questions to the authentication service are logged, too.",
)
SKIP_ACCESS_LOG_URLS: Final = _FAMILY.setting(
    "skip-access-log-urls",
    Matchers("request URIs"),
    (),
    "Request URIs, query included, that leave no line in the access log.",
)
LOG_FORMAT_UPSTREAM: Final = _FAMILY.setting(
    "log-format-upstream",
    LogFormat(http=True),
    DEFAULT_LOG_FORMAT,
    "The line that each HTTP request leaves in the access log.",
)
LOG_FORMAT_STREAM: Final = _FAMILY.setting(
    "log-format-stream",
    LogFormat(stream=True),
    "[$remote_addr] [$time_local] $protocol $status $bytes_sent $bytes_received $session_time",
    "The line that each TCP or UDP session leaves in the access log.",
)
LOG_FORMAT_ESCAPE_JSON: Final = _FAMILY.setting(
    "log-format-escape-json",
    WeakBool(),
    False,
    "Escape variables in the HTTP log format for JSON.",
)
LOG_FORMAT_ESCAPE_NONE: Final = _FAMILY.setting(
    "log-format-escape-none",
    WeakBool(),
    False,
    "Escape nothing in the HTTP log format; it wins over `log-format-escape-json`.",
)
ERROR_LOG_PATH: Final = _FAMILY.setting(
    "error-log-path",
    LogTarget(),
    "/var/log/nginx/error.log",
    "Where NGINX writes its error log, besides the one that Tidegate keeps.",
)
ERROR_LOG_LEVEL: Final = _FAMILY.setting(
    "error-log-level",
    Choice(("debug", "info", "notice", "warn", "error", "crit", "alert", "emerg")),
    "notice",
    "The least severity that NGINX writes to its error log.",
)
ENABLE_SYSLOG: Final = _FAMILY.setting(
    "enable-syslog", WeakBool(), False, "Send the HTTP access log and the error log to `syslog-host`."
)
SYSLOG_HOST: Final = _FAMILY.setting("syslog-host", OptionalHost(), "", "The syslog server to send logs to.")
SYSLOG_PORT: Final = _FAMILY.setting("syslog-port", LiteralInt(1, 65535), 514, "The port of the syslog server.")
DEBUG_CONNECTIONS: Final = _FAMILY.setting(
    "debug-connections",
    CidrList(lenient=True, skip_bad=True),
    (),
    "Clients whose connections are logged in full detail; needs an NGINX built for it.",
)
