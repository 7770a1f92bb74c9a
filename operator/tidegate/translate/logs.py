"""Where log lines go, and which of them."""

from __future__ import annotations

from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings
from tidegate.settings.setting import OriginKind
from tidegate.translate.options import Options


def syslog_server(settings: GlobalSettings) -> str:
    """The target of both logs where syslog is asked for and a server is named, else nothing."""
    host = settings.get(cm.SYSLOG_HOST)
    if not settings.get(cm.ENABLE_SYSLOG) or not host:
        return ""
    name = f"[{host}]" if ":" in host else host
    return f"syslog:server={name}:{settings.get(cm.SYSLOG_PORT)}"


def access_log(settings: GlobalSettings, options: Options) -> str:
    """The file or syslog server that the ConfigMap names, else where this process keeps its logs; nothing for none."""
    if settings.get(cm.DISABLE_ACCESS_LOG) or settings.get(cm.DISABLE_HTTP_ACCESS_LOG):
        return ""
    return syslog_server(settings) or settings.get(cm.HTTP_ACCESS_LOG_PATH) or _usual_log(settings, options)


def stream_log(settings: GlobalSettings, options: Options) -> str:
    """The same for TCP and UDP sessions, which are never sent to `syslog-host`."""
    if settings.get(cm.DISABLE_ACCESS_LOG) or settings.get(cm.DISABLE_STREAM_ACCESS_LOG):
        return ""
    return settings.get(cm.STREAM_ACCESS_LOG_PATH) or _usual_log(settings, options)


def _usual_log(settings: GlobalSettings, options: Options) -> str:
    named = settings.value(cm.ACCESS_LOG_PATH)
    return options.access_log if named.origin.kind is OriginKind.DEFAULT else named.value


def access_log_parameters(settings: GlobalSettings, target: str) -> tuple[str, ...]:
    """How a file is written; a syslog server takes no such thing."""
    return () if target.startswith("syslog:") else settings.get(cm.ACCESS_LOG_PARAMS)


def error_log(settings: GlobalSettings) -> str:
    """What the ConfigMap names besides the log that is always kept; nothing if it names none."""
    named = settings.value(cm.ERROR_LOG_PATH)
    return syslog_server(settings) or ("" if named.origin.kind is OriginKind.DEFAULT else named.value)


def log_escape(settings: GlobalSettings) -> str:
    if settings.get(cm.LOG_FORMAT_ESCAPE_NONE):
        return "none"
    return "json" if settings.get(cm.LOG_FORMAT_ESCAPE_JSON) else ""


def debug_connections(settings: GlobalSettings, options: Options) -> tuple[str, ...]:
    return settings.get(cm.DEBUG_CONNECTIONS) if options.nginx.debug else ()
