"""What texts of the global settings need: variables that Lua or databases fill, and URIs that are not logged."""

from __future__ import annotations

from tidegate.model import Globals
from tidegate.render.geo import ALL, Database, databases_of, variables_in
from tidegate.render.matching import map_key
from tidegate.render.quoting import is_used


class GlobalTexts:
    """Log format, headers and limits of global settings."""

    log_variables = (
        "proxy_upstream_name",
        "proxy_alternative_upstream_name",
        "namespace",
        "ingress_name",
        "service_name",
        "service_port",
        "location_path",
    )
    """Variables of the retired controller that a log format may use; Lua fills them."""

    trace_variables = tuple(
        f"opentelemetry_{name}" for name in ("trace_id", "span_id", "sampled", "context_traceparent", "context_b3")
    )
    """The same of its tracing module: empty where a request is not traced."""

    def __init__(self, settings: Globals) -> None:
        self._settings = settings

    @property
    def _texts(self) -> list[str]:
        """What the global settings say with variables in it."""
        settings = self._settings
        headers = [value for _, value in (*settings.added_headers, *settings.proxied_headers)]
        return [*headers, *([settings.log_format] if settings.access_log else []), *settings.limit_by]

    @property
    def filled_by_lua(self) -> str | bool:
        """Which log variables are filled for each request: none, the names of upstreams, or all."""
        used = {name for name in self.log_variables if any(is_used(name, text) for text in self._texts)}
        if used - set(self.log_variables[:2]):
            return "all"
        return "names" if used or self._settings.access_log else False

    @property
    def unlogged_uris(self) -> list[str]:
        return [map_key(uri) for uri in self._settings.unlogged_uris] if self._settings.access_log else []

    @property
    def geo_databases(self) -> list[Database]:
        return databases_of(self._settings.geo.databases) if self._settings.geo else []

    @property
    def geo_variables_without_database(self) -> list[str]:
        """NGINX does not start with a variable that it does not know: these are empty."""
        filled = {name for database in self.geo_databases for name, _ in database.variables}
        wanted = variables_in(self._texts) | (set(ALL) if self._settings.geo else set())
        return sorted(wanted - filled)
