"""What there is to say about global settings that are each valid, and cannot be carried out as they stand."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings
from tidegate.settings.setting import AnySetting
from tidegate.translate.options import BROTLI, GEOIP2, HEADERS_MORE, Options
from tidegate.translate.tracing import tracing_faults


def about(settings: GlobalSettings, setting: AnySetting, reason: str, message: str) -> Finding:
    """A warning about one key."""
    source = settings.source or ObjectKey("ConfigMap", "", "")
    return Finding(source, f"data[{setting.name}]", Severity.WARNING, reason, message)


def lacks(settings: GlobalSettings, setting: AnySetting, module: str, package: str) -> Finding:
    """NGINX has no module for this."""
    return about(settings, setting, "NginxLacks", f"this NGINX has no {module} (Debian: {package}); it has no effect")


def check_globals(settings: GlobalSettings, options: Options) -> tuple[Finding, ...]:
    """In no particular order."""
    return tuple(_findings(settings, options))


def _findings(settings: GlobalSettings, options: Options) -> Iterator[Finding]:
    if settings.get(cm.ENABLE_SYSLOG) and not settings.get(cm.SYSLOG_HOST):
        yield about(settings, cm.ENABLE_SYSLOG, "Incomplete", "needs syslog-host; the logs stay where they are")
    if settings.get(cm.LIMIT_DIVIDE_BY_REPLICAS) and options.publish_service is None:
        yield about(settings, cm.LIMIT_DIVIDE_BY_REPLICAS, "Incomplete", "needs --publish-service; nothing is divided")
    if settings.get(cm.BIND_ADDRESS) and not options.nginx.wildcard:
        yield about(settings, cm.BIND_ADDRESS, "NoEffect", "the addresses to listen on are given by --http-address")
    if settings.get(cm.ADD_HEADERS) and not options.nginx.has(HEADERS_MORE):
        yield lacks(settings, cm.ADD_HEADERS, HEADERS_MORE, "libnginx-mod-http-headers-more-filter")
    if settings.get(cm.ENABLE_BROTLI) and not options.nginx.has(BROTLI):
        yield lacks(settings, cm.ENABLE_BROTLI, BROTLI, "libnginx-mod-http-brotli-filter")
    if settings.get(cm.USE_GEOIP2) and not options.nginx.has(GEOIP2):
        yield lacks(settings, cm.USE_GEOIP2, GEOIP2, "libnginx-mod-http-geoip2")
    elif settings.get(cm.USE_GEOIP2) and options.geo_databases == ():
        message = f"there is no database in {options.geo_folder}; mount one and start again. Its variables are empty"
        yield about(settings, cm.USE_GEOIP2, "NotFound", message)
    for setting, message in tracing_faults(settings):
        yield about(settings, setting, "Incomplete", message)
    limit = options.nginx.open_files
    if 0 < limit < settings.get(cm.MAX_WORKER_OPEN_FILES):
        yield about(settings, cm.MAX_WORKER_OPEN_FILES, "NoEffect", f"the system allows {limit}, which is used")
    if settings.get(cm.DEBUG_CONNECTIONS) and not options.nginx.debug:
        yield about(settings, cm.DEBUG_CONNECTIONS, "NginxLacks", "this NGINX was built without its debugging log")
