"""Annotations that older releases knew. Manifests still carry them; they are accepted and do nothing."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family

_FAMILY: Final = Family("Without effect")
_INFLUXDB: Final = "Reporting to InfluxDB is gone; use the metrics."
_OPENTRACING: Final = "OpenTracing is gone; see `enable-opentelemetry`."

ENABLE_INFLUXDB: Final = _FAMILY.dead("enable-influxdb", _INFLUXDB)
INFLUXDB_MEASUREMENT: Final = _FAMILY.dead("influxdb-measurement", _INFLUXDB)
INFLUXDB_PORT: Final = _FAMILY.dead("influxdb-port", _INFLUXDB)
INFLUXDB_HOST: Final = _FAMILY.dead("influxdb-host", _INFLUXDB)
INFLUXDB_SERVER_NAME: Final = _FAMILY.dead("influxdb-server-name", _INFLUXDB)
SECURE_VERIFY_CA_SECRET: Final = _FAMILY.dead("secure-verify-ca-secret", "See `proxy-ssl-secret`.")
SESSION_COOKIE_HASH: Final = _FAMILY.dead("session-cookie-hash", "The hash of the session cookie is no longer chosen.")
SECURE_BACKENDS: Final = _FAMILY.dead("secure-backends", "See `backend-protocol`.")
GRPC_BACKEND: Final = _FAMILY.dead("grpc-backend", "See `backend-protocol`.")
ADD_BASE_URL: Final = _FAMILY.dead("add-base-url", "Changing the pages of backends is gone.")
ENABLE_OPENTRACING: Final = _FAMILY.dead("enable-opentracing", _OPENTRACING)
OPENTRACING: Final = _FAMILY.dead("opentracing-*", _OPENTRACING)
GLOBAL_RATE_LIMIT: Final = _FAMILY.dead("global-rate-limit*", "The shared rate limit of older releases is gone.")
