"""From the model's policies and global settings to the closed values that the template writes.

Nothing here knows Kubernetes. What differs between NGINX versions is decided by `NginxFeatures`, from what
`nginx -V` says, and nowhere else.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from tidegate.model import CATCH_ALL, Directive, Firewall, Globals, Listener, Policy, RateLimit, Server
from tidegate.render.fastcgi import Parameter, parameters
from tidegate.render.firewall import MODULE as FIREWALL_MODULE
from tidegate.render.firewall import FirewallFiles, core_directives, location_directives
from tidegate.render.geo import ALL, Database, databases_of, variables_in
from tidegate.render.listeners import ListenGroup, host_of, listen_addresses, listen_groups
from tidegate.render.matching import bucket_size, map_key
from tidegate.render.mirrors import MirrorLocation, copied_headers, location_of, mirrors_of
from tidegate.render.questions import (
    ANSWER_VARIABLE,
    QuestionLocation,
    QuestionUpstream,
    overridden,
    question_name,
    question_upstreams_of,
    questions_of,
)
from tidegate.render.quoting import is_used, quote_variables
from tidegate.render.servers import NativeServer, client_headers, native_servers
from tidegate.render.snippets import complete
from tidegate.render.streams import PassthroughServers, StreamBlock
from tidegate.render.upstreams import (
    MODULES,
    RedirectDirective,
    TLSDirectives,
    UpstreamBlock,
    blocks_of,
    next_conditions,
    redirect_directive,
    target_of,
    tls_directives,
)

GEOIP2 = "ngx_http_geoip2_module.so"
BROTLI = "ngx_http_brotli_filter_module.so"
HEADERS_MORE = "ngx_http_headers_more_filter_module.so"
MIB = 1024 * 1024
LEAST_PARSED = 500  # certificates that each worker may keep parsed
PEM_FOLDER = "tls/backends"  # below the run directory: certificates and keys that policies name
ZONE_NODE = 128  # bytes that one client takes in a limit zone (NGINX's slab for a key of up to 40 bytes)

USUAL_FIREWALL = FirewallFiles()


@dataclass(frozen=True)
class NginxFeatures:
    """What this NGINX can do: its version, and the files of its modules and Lua libraries."""

    version: tuple[int, int, int]
    modules: tuple[str, ...]
    headers_more: bool
    optional: tuple[str, ...] = ()  # files of modules that are loaded when a setting asks for them
    debug: bool = False  # built with the debugging log
    lua_libraries: str = ""  # where this NGINX's Lua libraries are, when not in the place compiled into it
    lua_cpath: str = ""
    mime_types: str = "/etc/nginx/mime.types"
    http3: bool = False
    stream_modules: tuple[str, ...] = ()  # loaded where a TCP or UDP service needs them
    firewall: FirewallFiles = USUAL_FIREWALL

    @property
    def http2_directive(self) -> bool:
        """`http2 on;` took the place of the listen parameter, and plain-text HTTP/2 became possible, in 1.25.1."""
        return self.version >= (1, 25, 1)


class OwnPorts(msgspec.Struct, frozen=True):
    """Where this pod listens for those who run it (admin, webhook): no endpoint may lead there."""

    networks: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()


@dataclass(frozen=True)
class Runtime:
    """Where this NGINX runs. Paths consist of letters, digits and `._/-` only; addresses are literal."""

    run_dir: str
    lua_dir: str
    features: NginxFeatures
    http_addresses: tuple[str, ...]
    https_addresses: tuple[str, ...]
    workers: int  # 0, until the agent has said it: one for each core
    user: str = ""
    worker_dir: str = ""  # where workers of another user may read and write; empty: in the run directory
    open_files: int = 1024  # the limit that the workers may raise theirs to
    metrics: MetricSettings | None = None
    ssl_passthrough: bool = False
    http3_port: int = 0  # the UDP port that clients are told about; 0: no HTTP/3
    stream_port: int = 10247  # UDP, on a loopback address of the run directory's own
    own: OwnPorts | None = None

    @property
    def worker_place(self) -> str:
        return self.worker_dir or self.run_dir

    @property
    def default_socket(self) -> str:
        """Where NGINX itself answers as the default backend: 404."""
        return f"unix:{self.worker_place}/default.sock"

    @property
    def inner_https(self) -> str:
        """Where TLS ends that the stream block, which has the HTTPS port then, has looked at."""
        return f"unix:{self.worker_place}/https.sock"


class MetricSettings(msgspec.Struct, frozen=True):
    """Bucket bounds and label choices of the request metrics (the retired controller's flags)."""

    enabled: bool = True
    per_host: bool = True
    undefined_host: bool = False
    max_series: int = 600
    time: tuple[float, ...] = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
    length: tuple[float, ...] = (10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
    size: tuple[float, ...] = (10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
    excluded: tuple[str, ...] = ()  # metrics of requests that are not given out, without their prefix
    status_classes: bool = False  # 2xx in place of 200


@dataclass(frozen=True)
class Zone:
    name: str
    megabytes: int
    rate: int = 0
    unit: str = ""


@dataclass(frozen=True)
class RateUse:
    zone: str
    burst: int


@dataclass(frozen=True)
class PolicyLocation:
    """One policy as the template needs it."""

    digest: str
    policy: Policy
    rates: tuple[RateUse, ...]
    tls: TLSDirectives | None
    snippet: tuple[Directive, ...] = ()

    def __getattr__(self, name: str) -> object:
        return getattr(self.policy, name)

    @property
    def module(self) -> str:
        return MODULES[self.policy.upstream.protocol]

    @property
    def snippet_names(self) -> set[str]:
        """Directives that the snippet has: this location then has them not twice, or all that it would inherit."""
        return {directive.name for directive in self.snippet}

    @property
    def continues(self) -> bool:
        """Whether the router goes on in this location after the lines of its snippet."""
        return bool(self.policy.snippet) or self.policy.common_snippet

    @property
    def target(self) -> str:
        return target_of(self.policy.upstream)

    @property
    def next_conditions(self) -> tuple[str, ...]:
        return next_conditions(self.module, self.policy.next_upstream)

    @property
    def own_headers(self) -> bool:
        policy = self.policy
        own = (policy.auth, policy.digest_auth, policy.own_host, policy.connection, policy.question_answers)
        if self.module != "proxy":
            return self.module == "grpc"
        return any(own) or "proxy_set_header" in self.snippet_names

    @property
    def mirror_name(self) -> str:
        return location_of(self.policy.mirroring).name if self.policy.mirroring else ""

    @property
    def redirect(self) -> RedirectDirective | None:
        return redirect_directive(self.policy)

    @property
    def hook_guards(self) -> str:
        """What the access hook looks at: an address list, a digest login; and whether one that grants is enough."""
        flags = (self.policy.access, self.policy.digest_auth, self.policy.satisfy_any)
        return ", ".join("true" if flag else "false" for flag in flags)

    @property
    def question_name(self) -> str:
        return question_name(self.policy.question) if self.policy.question else ""

    @property
    def resumes(self) -> bool:
        """Whether the router may leave the end of a request to this location."""
        return bool(self.policy.intercept) or self.policy.adds_headers


@dataclass(frozen=True)
class ForwardedSource:
    header: str
    fallback: str


def header_variable(header: str) -> str:
    """NGINX's variable for a request header whose name has letters, digits, `-` and `_` only."""
    return "$http_" + header.lower().replace("-", "_")


def zone_megabytes(users: int) -> int:
    """The size of a limit zone that `users` routes share, in steps of a power of two so that it rarely changes."""
    return int(5 * 2 ** math.ceil(math.log2(max(1, users / 16))))


def rate_zone(limit: RateLimit, megabytes: int) -> Zone:
    """NGINX refuses a reload that changes a zone's parameters under its name, so the name says them all."""
    return Zone(f"tidegate_rate_{limit.rate}{limit.unit}_{megabytes}m", megabytes, limit.rate, limit.unit)


@dataclass(frozen=True)
class Capacity:
    """Sizes of shared memory, bytes; and how much workers may keep of what is in it."""

    data: int = 32 * MIB
    metrics: int = 16 * MIB
    certificates: int = 8000  # that all workers together keep parsed, of about 14 kB each

    def parsed_by(self, workers: int) -> int:
        """Certificates that one worker keeps parsed."""
        return max(min(LEAST_PARSED, self.certificates), self.certificates // workers)


class Configuration:
    """Everything the template may use; each attribute has a closed type."""

    def __init__(
        self,
        generation: int,
        settings: Globals,
        policies: dict[str, Policy],
        runtime: Runtime,
        capacity: Capacity,
        policy_users: dict[str, int] | None = None,
        servers: dict[str, Server] | None = None,
        listeners: Sequence[Listener] = (),
        sessions: int = 0,
    ) -> None:
        self.generation = generation
        self.settings = settings
        self.runtime = runtime
        self.capacity = capacity
        self._users = policy_users or {}
        self._policies = dict(sorted(policies.items()))
        self._servers = servers or {}
        self._listeners = tuple(sorted(listeners))
        self._sessions = sessions

    def __getattr__(self, name: str) -> object:
        return getattr(self.settings, name)

    # -- process ------------------------------------------------------------------------------------------------

    @property
    def user(self) -> str:
        return self.runtime.user

    @property
    def workers(self) -> int:
        return self.settings.workers or self.runtime.workers

    @property
    def open_files(self) -> int:
        """Of one worker: what is asked for, as far as the system allows it."""
        wanted = self.settings.tuning.open_files
        return min(wanted, self.runtime.open_files) if wanted else self.runtime.open_files

    @property
    def connections(self) -> int:
        """Connections of one worker: what is asked for, as far as files may be open."""
        files = self.open_files
        return max(256, min(self.settings.connections or files * 3 // 4, files - 64))

    @property
    def shutdown_timeout(self) -> int:
        return int(self.settings.shutdown_timeout * 1000)

    @property
    def upstream_keepalive_time(self) -> int:
        return int(self.settings.upstream_keepalive_time * 1000)

    @property
    def modules(self) -> tuple[str, ...]:
        features = self.runtime.features
        settings = self.settings
        asked = ((BROTLI, settings.brotli), (GEOIP2, settings.geo), (FIREWALL_MODULE, self.firewalls))
        optional = {name for name, wanted in asked if wanted}
        found = tuple(file for file in features.optional if file.rpartition("/")[2] in optional)
        return features.modules + found + (features.stream_modules if self.stream else ())

    @property
    def stream(self) -> StreamBlock | None:
        """The TCP and UDP services; None where there are none, and then NGINX loads nothing for them."""
        runtime = self.runtime
        if not (self._listeners or self.settings.stream.snippet or runtime.ssl_passthrough):
            return None
        return StreamBlock(
            self.settings,
            self._listeners,
            tuple(dict.fromkeys(map(host_of, listen_addresses(runtime.http_addresses, self.settings)))),
            folder=f"{runtime.worker_place}/streams",
            njs_dir=f"{posixpath.dirname(runtime.lua_dir)}/njs",
            own_port=runtime.stream_port,
            passthrough=self._passthrough,
        )

    @property
    def clear_server_header(self) -> bool:
        return self.runtime.features.headers_more and not self.settings.server_tokens

    @property
    def _passthrough(self) -> PassthroughServers | None:
        runtime = self.runtime
        if not runtime.ssl_passthrough:
            return None
        options = (" proxy_protocol" * self.settings.use_proxy_protocol) + (" reuseport" * self.settings.reuse_port)
        return PassthroughServers(
            listens=tuple((address, options) for address in listen_addresses(runtime.https_addresses, self.settings)),
            reads_proxy=self.settings.use_proxy_protocol,
            terminated=runtime.inner_https,
            passed=f"unix:{runtime.worker_place}/pass.sock",
        )

    @property
    def pid_file(self) -> str:
        return f"{self.runtime.run_dir}/nginx.pid"

    @property
    def error_logs(self) -> list[str]:
        """The one that the agent reads, and the one that is asked for besides."""
        own = f"{self.runtime.run_dir}/logs/error.log"
        named = self.settings.error_log
        return [own] if named in ("", own) else [own, named]

    @property
    def push_socket(self) -> str:
        return f"unix:{self.runtime.run_dir}/push.sock"

    @property
    def default_socket(self) -> str:
        return self.runtime.default_socket

    @property
    def temp_folders(self) -> list[tuple[str, str]]:
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        return [(f"{kind}_temp_path", f"{self.runtime.worker_place}/tmp/{kind}") for kind in kinds]

    @property
    def mime_types(self) -> str:
        return self.runtime.features.mime_types

    @property
    def default_certificate(self) -> str:
        return f"{self.runtime.run_dir}/tls/default.pem"

    # -- Lua ----------------------------------------------------------------------------------------------------

    @property
    def lua_path(self) -> str:
        folders = [f"{self.runtime.lua_dir}/?.lua", self.runtime.features.lua_libraries]
        return ";".join(folder for folder in folders if folder) + ";;"

    @property
    def lua_cpath(self) -> str:
        return self.runtime.features.lua_cpath

    @property
    def data_size(self) -> int:
        return self.capacity.data

    @property
    def metrics_size(self) -> int:
        return self.capacity.metrics

    @property
    def match_limit(self) -> int:
        """Steps a regular expression may take for one URI; a pattern that needs more answers 500."""
        return 100_000

    @property
    def boot(self) -> str:
        """The JSON text from which a generation of workers starts."""
        settings = self.settings
        text = msgspec.json.encode(
            {
                "generation": self.generation,
                "state": f"{self.runtime.run_dir}/state",
                "policies": list(self._policies),
                "servers": {
                    digest: {"hosts": server.hosts, "policies": () if digest == CATCH_ALL else server.policies}
                    for digest, server in sorted(self._servers.items())
                },
                "router": {
                    "body_limit": settings.default_policy.body_limit,
                    "outer_body_limit": self.outer_body_limit,
                    "users_folder": f"{self.runtime.worker_place}/users/",
                    "log_variables": self._log_variables_wanted,
                    "log_default_backend": settings.log_default_backend,
                    "default_location": bool(settings.location_snippet or settings.firewall),
                    **({"limit_by": settings.limit_by} if settings.limit_by else {}),
                },
                "balancer": {
                    "tries": settings.tries,
                    "connect_timeout": settings.connect_timeout,
                    "send_timeout": settings.send_timeout,
                    "read_timeout": settings.read_timeout,
                },
                "metrics": self.runtime.metrics or MetricSettings(),
                **self._peers,
                "tracing": self._tracing,
                "certificates": {
                    "reject_unknown": settings.ssl_reject_handshake,
                    "kept": self.capacity.parsed_by(self.workers),
                },
                **({"own": self.runtime.own} if self.runtime.own else {}),
                "blocked": {
                    "networks": settings.blocked_networks,
                    "agents": settings.blocked_agents,
                    "referers": settings.blocked_referers,
                    "replaced": 403 in settings.default_policy.intercept,
                },
            }
        )
        return text.decode().replace("]=", "]\\u003d")  # in a text of the JSON; it would end Lua's bracket

    # -- listeners ----------------------------------------------------------------------------------------------

    @property
    def http2_directive(self) -> bool:
        return self.settings.http2 and self.runtime.features.http2_directive

    @property
    def listen_groups(self) -> list[ListenGroup]:
        runtime = self.runtime
        inner = runtime.inner_https if runtime.ssl_passthrough else ""
        http2 = self.settings.http2 and not runtime.features.http2_directive
        quic = runtime.http3_port > 0
        return listen_groups(runtime.http_addresses, runtime.https_addresses, self.settings, inner, http2, quic)

    @property
    def http3_port(self) -> int:
        return self.runtime.http3_port

    @property
    def quic_key(self) -> str:
        """What tokens are made with: kept, so that they mean something to the workers after a reload."""
        return f"{self.runtime.run_dir}/tls/quic.key"

    # -- snippets -----------------------------------------------------------------------------------------------

    @property
    def common_snippet(self) -> tuple[Directive, ...]:
        """The lines of the location of requests that no host takes."""
        return complete(self.settings.location_snippet, self._inherited)

    def _snippet_of(self, policy: Policy) -> tuple[Directive, ...]:
        """The lines of a policy's location: its own, then those that every location has."""
        common = self.settings.location_snippet if policy.common_snippet else ()
        return complete((*policy.snippet, *common), self._inherited)

    @property
    def _inherited(self) -> dict[str, tuple[Directive, ...]]:
        told = (Directive("add_header", ("Alt-Svc", "$tidegate_alt_svc", "always")),) if self.http3_port else ()
        if not self.settings.hsts:
            return {"add_header": told} if told else {}
        name = "Strict-Transport-Security"
        hidden = {row: (Directive(row, (name,)),) for row in (f"{module}_hide_header" for module in MODULES.values())}
        return {"add_header": (Directive("add_header", (name, "$hsts", "always")), *told), **hidden}

    def question_snippet(self, question: QuestionLocation) -> tuple[Directive, ...]:
        """The lines of the location of a question."""
        asked = question.question
        return (*asked.snippet, *(self.settings.auth_snippet if asked.common_snippet else ()))

    @property
    def _tracing(self) -> dict[str, object]:
        given: dict[str, object] = msgspec.to_builtins(self.settings.tracing)
        return {name: value for name, value in given.items() if name != "name" or value}

    # -- firewall -----------------------------------------------------------------------------------------------

    @property
    def firewalls(self) -> list[Firewall]:
        """Those of all locations."""
        every = [self.settings.firewall, *(policy.firewall for policy in self._policies.values())]
        return [firewall for firewall in every if firewall is not None]

    @property
    def core_rules(self) -> tuple[Directive, ...]:
        wanted = any(firewall.core for firewall in self.firewalls)
        return core_directives(self.runtime.features.firewall) if wanted else ()

    def firewall_of(self, firewall: Firewall) -> tuple[Directive, ...]:
        return location_directives(
            firewall,
            self.settings.firewall_rules,
            bool(self.core_rules),
            self.runtime.features.firewall,
            f"{self.runtime.run_dir}/logs/modsec_audit.log",
        )

    @property
    def servers(self) -> list[NativeServer]:
        return native_servers(self._servers)

    @property
    def session_cache(self) -> str:
        """The name of the memory for TLS sessions; NGINX refuses a reload that changes the size under a name."""
        size = self.settings.ssl_session_cache_size
        return f"tidegate_{size}_{self._sessions}" if self._sessions else f"tidegate_{size}"

    # -- what is believed of a request --------------------------------------------------------------------------

    @property
    def real_ip_header(self) -> str:
        if self.client_header:
            return ""
        if self.settings.use_proxy_protocol:
            return "proxy_protocol"
        believed = self.settings.use_forwarded_headers or self.settings.enable_real_ip
        return self.settings.forwarded_for_header if believed else ""

    @property
    def client_header(self) -> str:
        """Where both a PROXY line and forwarded headers are believed: the header in which Lua names the client."""
        settings = self.settings
        if not (settings.use_proxy_protocol and settings.use_forwarded_headers):
            return ""
        name = settings.forwarded_client_header
        return f"{name}-Of-Tidegate" if name.lower() == settings.forwarded_for_header.lower() else name

    @property
    def _peers(self) -> dict[str, object]:
        """How Lua finds the client; nothing where NGINX does."""
        if not self.client_header:
            return {}
        settings = self.settings
        found = {"trusted": settings.trusted_networks, "chain": settings.forwarded_for_header}
        return {"peers": {**found, "answer": self.client_header}}

    @property
    def _scheme(self) -> str:
        return "$tidegate_scheme" if self.settings.use_proxy_protocol else "$scheme"

    @property
    def scheme(self) -> str:
        return "$pass_access_scheme" if self.settings.use_forwarded_headers else self._scheme

    @property
    def port(self) -> str:
        return "$pass_port" if self.settings.use_forwarded_headers else "$tidegate_port"

    @property
    def host(self) -> str:
        return "$best_http_host" if self.settings.use_forwarded_headers else "$tidegate_http_host"

    @property
    def forwarded_maps(self) -> list[tuple[str, ForwardedSource]]:
        """Variables that take a forwarded header where one is trusted and present, else what NGINX itself sees."""
        trusted = self.settings.use_forwarded_headers
        rows = [
            ("$pass_access_scheme", "$http_x_forwarded_proto", self._scheme),
            ("$pass_server_port", "$http_x_forwarded_port", "$server_port"),
            ("$pass_port", "$http_x_forwarded_port", "$tidegate_port"),
            ("$best_http_host", "$tidegate_forwarded_host", "$tidegate_http_host"),
        ]
        return [(name, ForwardedSource(header if trusted else own, own)) for name, header, own in rows]

    @property
    def forwarded_for_variable(self) -> str:
        return header_variable(self.settings.forwarded_for_header)

    @property
    def forwarded_host_variable(self) -> str:
        return header_variable(self.settings.forwarded_host_header)

    @property
    def full_forwarded_for(self) -> bool:
        return self.settings.full_forwarded_for and self.settings.use_forwarded_headers

    @property
    def peer_variable(self) -> str:
        if self.settings.use_proxy_protocol:
            return "$proxy_protocol_addr"
        return "$tidegate_peer" if self.runtime.ssl_passthrough else "$realip_remote_addr"

    @property
    def ssl_passthrough(self) -> bool:
        return self.runtime.ssl_passthrough

    @property
    def connection_header(self) -> str:
        return "" if self.settings.upstream_keepalive else "close"

    def request_headers(self, policy: PolicyLocation | None, server: NativeServer) -> list[tuple[str, str]]:
        """What a backend is told of a request, and what no client may say: names and NGINX's texts of values."""
        own_host = policy is not None and policy.policy.own_host
        rows = [
            ("Host", "$tidegate_upstream_host" if own_host else self.host),
            ("X-Request-ID", "$req_id"),
            ("X-Real-IP", "$remote_addr"),
            ("X-Forwarded-For", "$forwarded_for" if self.full_forwarded_for else "$remote_addr"),
            ("X-Forwarded-Host", self.host),
            ("X-Forwarded-Port", self.port),
            ("X-Forwarded-Proto", self.scheme),
            ("X-Forwarded-Scheme", self.scheme),
            ("X-Scheme", self.scheme),
            ("X-Original-Forwarded-For", self.forwarded_for_variable),
            ("X-Original-Forwarded-Host", self.forwarded_host_variable),
        ]
        if policy is None or policy.module == "proxy":  # the other protocols know neither
            own = policy.policy.connection if policy is not None else ""
            # with a Connection header of its own no request is an upgrade, whatever it asks for
            rows += [("Upgrade", "$http_upgrade" if own else "$tidegate_upgrade")]
            rows += [("Connection", own or "$connection_upgrade")]
        rows += [("HTTP2-Settings", '""'), ("Proxy", '""')]
        if self.client_header:
            rows.append((self.client_header, '""'))
        spellings = self.settings.underscores_in_headers and (policy is None or policy.module != "fastcgi")
        if self.settings.ssl_early_data:
            rows.append(("Early-Data", "$ssl_early_data"))
        rows += [(name, value or '""') for name, value in client_headers(server, underscores=spellings)]
        if policy is not None and (policy.policy.auth or policy.policy.digest_auth):
            rows.append(("Authorization", '""'))
        if self.settings.add_original_uri:
            rows.append(("X-Original-URI", "$request_uri"))
        rows = overridden(rows, ((name, quote_variables(value)) for name, value in self.settings.proxied_headers))
        answers = policy.policy.question_answers if policy is not None else ()
        return overridden(rows, ((name, f"${ANSWER_VARIABLE}{i}") for i, name in enumerate(answers, 1)))

    @property
    def hidden_headers(self) -> list[str]:
        """Headers of backends that clients do not see; Strict-Transport-Security is our own where there is one."""
        own = ["Strict-Transport-Security"] if self.settings.hsts else []
        return [*own, *self.settings.hidden_headers]

    @property
    def proxy_headers_hash_bucket_size(self) -> int:
        names = [name for name, _ in self.settings.proxied_headers] + self.hidden_headers
        return bucket_size(names, max(64, self.settings.proxy_headers_hash_bucket_size))

    # -- authentication services --------------------------------------------------------------------------------

    def questions(self, server: NativeServer) -> list[QuestionLocation]:
        """Those that the policies of a server put."""
        wanted = server.policies
        return questions_of(policy for digest, policy in self._policies.items() if wanted is None or digest in wanted)

    @property
    def question_upstreams(self) -> list[QuestionUpstream]:
        return question_upstreams_of(questions_of(self._policies.values()))

    @property
    def most_answers(self) -> int:
        """How many headers some policy takes from an authentication service."""
        return max(len(policy.question_answers) for policy in self._policies.values())

    def question_headers(self, question: QuestionLocation, server: NativeServer) -> list[tuple[str, str]]:
        """What an authentication service is told of the client's request; all other headers are the client's own."""
        rows = [
            ("Host", "$tidegate_auth_host"),
            ("Connection", self.connection_header),
            ("Content-Length", ""),
            ("X-Request-ID", "$req_id"),
            ("X-Real-IP", "$remote_addr"),
            ("X-Forwarded-For", "$forwarded_for" if self.full_forwarded_for else "$remote_addr"),
            ("X-Forwarded-Proto", ""),
            ("X-Original-URL", "$scheme://$http_host$request_uri"),
            ("X-Original-Method", "$request_method"),
            ("X-Original-URI", "$tidegate_auth_original_uri"),
            ("X-Scheme", "$tidegate_auth_scheme"),
            ("X-Sent-From", "nginx-ingress-controller"),
            ("X-Auth-Request-Redirect", "$tidegate_auth_redirect"),
        ]
        rows += client_headers(server, underscores=self.settings.underscores_in_headers)
        cleared = ["Proxy", *([self.client_header] if self.client_header else [])]
        if not self.settings.use_forwarded_headers:  # nobody but the client can have said so
            cleared += ["X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Uri", "X-Forwarded-Method"]
        return overridden([*rows, *((name, "") for name in cleared)], question.headers)

    @property
    def mirrors(self) -> list[MirrorLocation]:
        return mirrors_of(self._policies.values())

    @property
    def mirror_upstreams(self) -> list[str]:
        return sorted({mirror.upstream for mirror in self.mirrors})

    def mirror_headers(self, server: NativeServer) -> list[tuple[str, str]]:
        return copied_headers(self.request_headers(None, server))

    def fastcgi_parameters(self, policy: PolicyLocation, server: NativeServer) -> list[Parameter]:
        """What a FastCGI backend is told, headers included."""
        return parameters(policy.policy.fastcgi, self.request_headers(policy, server))

    # -- policies -----------------------------------------------------------------------------------------------

    def _location(self, digest: str, policy: Policy) -> PolicyLocation:
        rates = tuple(RateUse(self._zone_of(limit).name, limit.burst) for limit in policy.rates)
        tls = tls_directives(policy.upstream, self.pem_folder)
        return PolicyLocation(digest, policy, rates, tls, self._snippet_of(policy))

    @property
    def pem_folder(self) -> str:
        return f"{self.runtime.run_dir}/{PEM_FOLDER}"

    def pem(self, digest: str) -> str:
        """The file of certificates, keys or lists with this digest."""
        return f"{self.pem_folder}/{digest}.pem"

    @property
    def default_policy(self) -> PolicyLocation:
        return self._location("default", self.settings.default_policy)

    @property
    def outer_body_limit(self) -> int:
        """What NGINX checks before a request has a route, 0 for nothing: no more than what some route may take.

        The router has to see a request that is too large where a policy has its own answer to that.
        """
        policies = [self.settings.default_policy, *self._policies.values()]
        limits = [policy.body_limit for policy in policies]
        if 0 in limits or any(413 in policy.intercept for policy in self._policies.values()):
            return 0
        return max(limits)

    @property
    def policies(self) -> list[PolicyLocation]:
        return [self._location(digest, policy) for digest, policy in self._policies.items()]

    @property
    def upstreams(self) -> list[UpstreamBlock]:
        """One Lua-balanced upstream for each set of settings that a kept-alive connection must share."""
        return blocks_of(self._policies.values())

    @property
    def upstream_ssl_protocols(self) -> tuple[str, ...]:
        """Where no setting says so; the default of newer versions of NGINX."""
        return ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")

    def _users_of(self, rate: tuple[int, str]) -> int:
        return sum(
            self._users.get(digest, 1)
            for digest, policy in self._policies.items()
            if any((limit.rate, limit.unit) == rate for limit in policy.rates)
        )

    def _zone_of(self, limit: RateLimit) -> Zone:
        return rate_zone(limit, zone_megabytes(self._users_of((limit.rate, limit.unit))))

    @property
    def rate_zones(self) -> list[Zone]:
        zones = {self._zone_of(limit) for policy in self._policies.values() for limit in policy.rates}
        return sorted(zones, key=lambda zone: zone.name)

    @property
    def connection_zone(self) -> Zone | None:
        users = [digest for digest, policy in self._policies.items() if policy.connections]
        if not users:
            return None
        megabytes = zone_megabytes(sum(self._users.get(digest, 1) for digest in users))
        return Zone(f"tidegate_connections_{megabytes}m", megabytes)

    @property
    def error_codes(self) -> list[int]:
        every = [self.settings.default_policy, *self._policies.values()]
        return sorted({code for policy in every for code in policy.intercept})

    # -- access log ---------------------------------------------------------------------------------------------

    @property
    def log_variables(self) -> tuple[str, ...]:
        """Variables of the retired controller that a log format may use; Lua fills them."""
        return (
            "proxy_upstream_name",
            "proxy_alternative_upstream_name",
            "namespace",
            "ingress_name",
            "service_name",
            "service_port",
            "location_path",
        )

    @property
    def unlogged_uris(self) -> list[str]:
        return [map_key(uri) for uri in self.settings.unlogged_uris] if self.settings.access_log else []

    @property
    def map_hash_bucket_size(self) -> int:
        return bucket_size(self.unlogged_uris, max(128, self.settings.tuning.map_bucket))

    @property
    def hash_sizes(self) -> list[tuple[str, int]]:
        """NGINX does not start with a table that is too small, so what is asked for is a lower bound."""
        tuning = self.settings.tuning
        names = [name for server in self.servers for name in server.names if not name.startswith("~")]
        room = sum(len(name) for name in names)
        return [
            ("server_names_hash_max_size", max(1024, tuning.names_max, 1 << room.bit_length())),
            ("server_names_hash_bucket_size", bucket_size(names, max(128, tuning.names_bucket))),
            ("variables_hash_max_size", max(2048, tuning.variables_max)),
            ("variables_hash_bucket_size", bucket_size((), max(256, tuning.variables_bucket))),
            ("map_hash_bucket_size", self.map_hash_bucket_size),
        ]

    @property
    def _texts(self) -> list[str]:
        """What the global settings say with variables in it."""
        settings = self.settings
        headers = [value for _, value in (*settings.added_headers, *settings.proxied_headers)]
        return [*headers, *([settings.log_format] if settings.access_log else []), *settings.limit_by]

    @property
    def geo_databases(self) -> list[Database]:
        return databases_of(self.settings.geo.databases) if self.settings.geo else []

    @property
    def geo_variables_without_database(self) -> list[str]:
        """NGINX does not start with a variable that it does not know: these are empty."""
        filled = {name for database in self.geo_databases for name, _ in database.variables}
        wanted = variables_in(self._texts) | (set(ALL) if self.settings.geo else set())
        return sorted(wanted - filled)

    @property
    def _log_variables_wanted(self) -> str | bool:
        """Which of them are filled for each request: none, the names of upstreams, or all."""
        used = {name for name in self.log_variables if any(is_used(name, text) for text in self._texts)}
        if used - set(self.log_variables[:2]):
            return "all"
        return "names" if used or self.settings.access_log else False
