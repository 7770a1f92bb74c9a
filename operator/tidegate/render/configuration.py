"""From the model's policies and global settings to the closed values that the template writes.

Nothing here knows Kubernetes. What differs between NGINX versions is decided by `NginxFeatures`, from what
`nginx -V` says, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.model import Directive, Firewall, Globals, Listener, Policy, Server
from tidegate.render.boot import boot_text
from tidegate.render.fastcgi import Parameter, parameters
from tidegate.render.firewall import MODULE as FIREWALL_MODULE
from tidegate.render.firewall import core_directives, location_directives
from tidegate.render.forwarding import HSTS, Forwarding
from tidegate.render.listeners import ListenGroup, listen_groups
from tidegate.render.locations import PolicyLocation
from tidegate.render.matching import bucket_size
from tidegate.render.mirrors import MirrorLocation, mirrors_of
from tidegate.render.questions import (
    QuestionLocation,
    QuestionUpstream,
    question_upstreams_of,
    questions_of,
)
from tidegate.render.runtime import PEM_FOLDER, Capacity, Runtime
from tidegate.render.servers import NativeServer, native_servers
from tidegate.render.snippets import complete, tells
from tidegate.render.streams import StreamBlock, stream_block
from tidegate.render.texts import GlobalTexts
from tidegate.render.upstreams import (
    MODULES,
    UpstreamBlock,
    blocks_of,
    tls_directives,
)
from tidegate.render.zones import LimitZones

GEOIP2 = "ngx_http_geoip2_module.so"
BROTLI = "ngx_http_brotli_filter_module.so"


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
        apart = settings.http2 and not runtime.features.http2_directive
        self.texts = GlobalTexts(settings)
        self.forwarding = Forwarding(settings, runtime.ssl_passthrough, apart)
        self._policies = dict(sorted(policies.items()))
        self.zones = LimitZones(self._policies, policy_users or {})
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
        return stream_block(self.settings, self.runtime, self._listeners, self._servers)

    @property
    def clear_server_header(self) -> bool:
        return self.runtime.features.headers_more and not self.settings.server_tokens

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
        return boot_text(
            self.generation,
            self.settings,
            self.runtime,
            self._policies,
            self._servers,
            outer_body_limit=self.outer_body_limit,
            log_variables=self.texts.filled_by_lua,
            peers=self.forwarding.peers,
            clear_http2=self.clear_http2,
            parsed=self.capacity.parsed_by(self.workers),
        )

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
        return listen_groups(
            runtime.http_addresses, runtime.https_addresses, self.settings, inner, http2, quic, self.clear_http2
        )

    @property
    def clear_http2(self) -> str:
        """The socket that connections are led to which begin with HTTP/2 on the plain port; empty where NGINX itself
        tells the two apart, where HTTP/2 is off, and where the client's address is in a header or a PROXY line.
        """
        return self.runtime.inner_http2 if self.forwarding.clear_http2 else ""

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
        return self._completed(self.settings.location_snippet)

    def _snippet_of(self, policy: Policy) -> tuple[Directive, ...]:
        """The lines of a policy's location: its own, then those that every location has."""
        common = self.settings.location_snippet if policy.common_snippet else ()
        return self._completed((*policy.snippet, *common))

    def _completed(self, directives: tuple[Directive, ...]) -> tuple[Directive, ...]:
        """Lines of a location with what it would lose by them; what they say of the HSTS header takes our place."""
        told = (Directive("add_header", ("Alt-Svc", "$tidegate_alt_svc", "always")),) if self.http3_port else ()
        hidden = (f"{module}_hide_header" for module in MODULES.values()) if self.settings.hsts else ()
        inherited = {name: (Directive(name, (HSTS,)),) for name in hidden}
        if self.hsts and not tells(directives, HSTS):
            told = (Directive("add_header", (HSTS, "$hsts", "always")), *told)
        elif self.hsts:
            directives = (*directives, Directive("add_header", ("X-Tidegate", "")))  # inherits nothing then
        return complete(directives, {"add_header": told, **inherited} if told else inherited)

    @property
    def hsts(self) -> str:
        """The HSTS header of all answers over TLS; nothing where lines of the ConfigMap say what it is."""
        names = {name.lower() for name, _ in self.settings.added_headers}
        told = HSTS.lower() in names or tells(self.settings.http_snippet, HSTS)
        return "" if told else self.settings.hsts

    def adds_hsts(self, server: NativeServer) -> bool:
        return bool(self.hsts) and not tells((*server.profile.snippet, *self.settings.server_snippet), HSTS)

    def question_snippet(self, question: QuestionLocation) -> tuple[Directive, ...]:
        """The lines of the location of a question."""
        asked = question.question
        return (*asked.snippet, *(self.settings.auth_snippet if asked.common_snippet else ()))

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

    @property
    def ssl_passthrough(self) -> bool:
        return self.runtime.ssl_passthrough

    @property
    def proxy_headers_hash_bucket_size(self) -> int:
        names = [name for name, _ in self.settings.proxied_headers] + self.forwarding.hidden_headers
        names.append(self.forwarding.client_header)
        for policy in self._policies.values():
            names += policy.question_answers
            names += [name for name, _ in policy.question.headers] if policy.question else []
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

    @property
    def mirrors(self) -> list[MirrorLocation]:
        return mirrors_of(self._policies.values())

    @property
    def mirror_upstreams(self) -> list[str]:
        return sorted({mirror.upstream for mirror in self.mirrors})

    def fastcgi_parameters(self, policy: PolicyLocation, server: NativeServer) -> list[Parameter]:
        """What a FastCGI backend is told, headers included."""
        return parameters(policy.policy.fastcgi, self.forwarding.request_headers(policy, server))

    # -- policies -----------------------------------------------------------------------------------------------

    def _location(self, digest: str, policy: Policy) -> PolicyLocation:
        tls = tls_directives(policy.upstream, self.pem_folder)
        return PolicyLocation(digest, policy, self.zones.used_by(policy), tls, self._snippet_of(policy))

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

    @property
    def error_codes(self) -> list[int]:
        every = [self.settings.default_policy, *self._policies.values()]
        return sorted({code for policy in every for code in policy.intercept})

    # -- hash tables ----------------------------------------------------------------------------------------------

    @property
    def map_hash_bucket_size(self) -> int:
        return bucket_size(self.texts.unlogged_uris, max(128, self.settings.tuning.map_bucket))

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
