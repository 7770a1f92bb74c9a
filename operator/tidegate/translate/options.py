"""What the command line says that changes the meaning of objects."""

from __future__ import annotations

from typing import Literal

import msgspec

from tidegate.findings import ObjectKey
from tidegate.resources.labels import Selector

DEFAULT_PREFIX = "nginx.ingress.kubernetes.io"


HEADERS_MORE = "ngx_http_headers_more_filter_module.so"
GEOIP2 = "ngx_http_geoip2_module.so"
BROTLI = "ngx_http_brotli_filter_module.so"


class NginxFacts(msgspec.Struct, frozen=True):
    """What the NGINX at hand lacks, or not: where it is not known, everything is taken to be there."""

    modules: tuple[str, ...] | None = None  # names of files, such as `ngx_http_geoip2_module.so`
    debug: bool = True  # whether it was built with its debugging log
    open_files: int = 0  # that a worker may have; 0: not known
    firewall_rules: bool = True  # whether ModSecurity's recommended rules are there
    core_rules: bool = True  # and the OWASP core rules
    wildcard: bool = True  # whether it is told to listen on all addresses

    def has(self, module: str) -> bool:
        return self.modules is None or module in self.modules


class Options(msgspec.Struct, frozen=True):
    """The flags of the same names (contract 2); object references are keys or None."""

    ingress_class: str = "nginx"
    controller_class: str = "k8s.io/ingress-nginx"
    ingress_class_by_name: bool = False
    watch_ingress_without_class: bool = False
    watch_namespace: str = ""
    namespace_selector: Selector | None = None  # of the namespaces whose Ingresses count
    annotations_prefix: str = DEFAULT_PREFIX
    validate_annotations: bool = True
    deep_inspect: bool = True
    disable_catch_all: bool = False
    disable_external_name: bool = False
    complete_chains: bool = False
    loopback_endpoints: bool = True  # whether DNS may send requests to this machine, as on a laptop
    configmap: ObjectKey | None = None
    default_backend: ObjectKey | None = None
    default_certificate: ObjectKey | None = None
    tcp_services: ObjectKey | None = None
    udp_services: ObjectKey | None = None
    publish_service: ObjectKey | None = None  # that leads to the replicas of this controller
    ssl_passthrough: bool = False
    reserved_ports: dict[int, str] = {}  # what Tidegate listens on itself, and for what
    host_ownership: Literal["merge", "namespace"] = "merge"
    https_port: int = 443
    zone: str = ""  # where NGINX runs; empty: hints of EndpointSlices count for nothing
    access_log: str = ""
    nginx: NginxFacts = NginxFacts()
    geo_folder: str = ""
    geo_databases: tuple[str, ...] | None = None  # what is in that folder; None: not known
    pod_name: str = ""
    pod_namespace: str = ""

    @property
    def objects(self) -> tuple[ObjectKey, ...]:
        """The objects that the command line names."""
        named = (
            self.configmap,
            self.default_backend,
            self.default_certificate,
            self.tcp_services,
            self.udp_services,
        )
        return tuple(key for key in named if key is not None)
