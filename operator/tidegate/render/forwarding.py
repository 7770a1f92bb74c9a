"""Who a request comes from and what is said of it: which forwarded headers are believed, and what backends are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from tidegate.model import Globals
from tidegate.render.locations import PolicyLocation
from tidegate.render.mirrors import copied_headers
from tidegate.render.questions import ANSWER_VARIABLE, QuestionLocation, overridden
from tidegate.render.quoting import quote_variables
from tidegate.render.servers import NativeServer, client_headers

HSTS: Final = "Strict-Transport-Security"


@dataclass(frozen=True)
class ForwardedSource:
    header: str
    fallback: str


class Peers(msgspec.Struct, frozen=True):
    """Where the client's address is read: `chain` names the header of the trusted, `answer` the one that Lua sets."""

    trusted: tuple[str, ...]
    chain: str
    answer: str


def header_variable(header: str) -> str:
    """NGINX's variable for a request header whose name has letters, digits, `-` and `_` only."""
    return "$http_" + header.lower().replace("-", "_")


@dataclass(frozen=True)
class Forwarding:
    """`passthrough`: whether the HTTPS port is looked at in front of NGINX's TLS; `apart`: whether HTTP/2 without TLS
    needs a socket of its own."""

    settings: Globals
    passthrough: bool = False
    apart: bool = False

    @property
    def clear_http2(self) -> bool:
        """Whether there is such a socket: not where clients' addresses come in a header or a PROXY line anyway."""
        return self.apart and not (self.real_ip_header or self.client_header)

    @property
    def listen_port(self) -> str:
        """The port that a client has connected to."""
        return "$tidegate_plain_port" if self.clear_http2 else "$server_port"

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
    def peers(self) -> Peers | None:
        """How Lua finds the client; None where NGINX does."""
        if not self.client_header:
            return None
        settings = self.settings
        return Peers(settings.trusted_networks, settings.forwarded_for_header, self.client_header)

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
        told = "$tidegate_told_scheme" if self.port_tells_scheme else "$pass_access_scheme"
        rows = [
            (told, "$http_x_forwarded_proto", self._scheme),
            ("$pass_server_port", "$http_x_forwarded_port", self.listen_port),
            ("$pass_port", "$http_x_forwarded_port", "$tidegate_port"),
            ("$best_http_host", "$tidegate_forwarded_host", "$tidegate_http_host"),
        ]
        return [(name, ForwardedSource(header if trusted else own, own)) for name, header, own in rows]

    @property
    def port_tells_scheme(self) -> bool:
        """Whether a PROXY line of port 443 means https, whatever a believed header says."""
        return self.settings.use_proxy_protocol and self.settings.use_forwarded_headers

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
        return "$tidegate_peer" if self.passthrough else "$realip_remote_addr"

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
        own = [HSTS] if self.settings.hsts else []
        return [*own, *self.settings.hidden_headers]

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

    def mirror_headers(self, server: NativeServer) -> list[tuple[str, str]]:
        return copied_headers(self.request_headers(None, server))
