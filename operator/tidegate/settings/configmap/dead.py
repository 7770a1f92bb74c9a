"""ConfigMap keys that older releases knew. Objects in the field still carry them; they are accepted and do nothing."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.setting import Scope

_FAMILY: Final = Family("Without effect", scope=Scope.GLOBAL)

USE_GEOIP: Final = _FAMILY.dead("use-geoip", "Belonged to a database format that is gone.")
ENABLE_OPENTRACING: Final = _FAMILY.dead("enable-opentracing", "OpenTracing is gone; see `enable-opentelemetry`.")
OPENTRACING: Final = _FAMILY.dead("opentracing-*", "OpenTracing is gone; see `enable-opentelemetry`.")
JAEGER: Final = _FAMILY.dead("jaeger-*", "OpenTracing is gone; see `otlp-collector-host`.")
ZIPKIN: Final = _FAMILY.dead("zipkin-*", "OpenTracing is gone; see `otlp-collector-host`.")
DATADOG: Final = _FAMILY.dead("datadog-*", "OpenTracing is gone; see `otlp-collector-host`.")
GLOBAL_RATE_LIMIT: Final = _FAMILY.dead("global-rate-limit-*", "The shared rate limit of older releases is gone.")
PLUGINS: Final = _FAMILY.dead("plugins", "Named Lua plugins of older releases.")
