"""Policies: what NGINX only takes as configuration. Each distinct one is rendered once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec


class Directive(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One directive of a snippet: words as NGINX reads them, without quotes; `block` is None where it has none."""

    name: str
    args: tuple[str, ...] = ()
    block: tuple[Directive, ...] | None = None


def listens_of(lines: Iterable[Directive]) -> Iterator[str]:
    """The addresses that `listen` directives name, at any depth."""
    for line in lines:
        if line.name == "listen" and line.args:
            yield line.args[0]
        yield from listens_of(line.block or ())


class RateLimit(msgspec.Struct, frozen=True, order=True, gc=False):
    """`rate` requests in a second or minute, and `burst` more at once."""

    rate: int
    unit: Literal["s", "m"]
    burst: int


Protocol = Literal["http", "https", "auto", "grpc", "grpcs", "fcgi"]
"""What a backend speaks; `auto` is http or https, as the client does."""


class BackendTLS(msgspec.Struct, frozen=True, gc=False):
    """TLS to a backend. `certificate` and `trusted` name PEM files by the digests of their contents."""

    certificate: str = ""  # shown to the backend; empty: none
    trusted: str = ""
    verify: bool = False
    depth: int = 1
    name: str = ""  # that the backend's certificate is for; may hold variables
    server_name: bool = False  # whether the backend is told the name
    protocols: tuple[str, ...] = ("TLSv1.2",)
    ciphers: str = "DEFAULT"


class Upstream(msgspec.Struct, frozen=True, gc=False):
    """What makes a kept-alive connection to an endpoint reusable: the protocol and all of its TLS settings."""

    protocol: Protocol = "http"
    tls: BackendTLS | None = None  # None: nothing is shown and nothing verified


class BackendRedirect(msgspec.Struct, frozen=True, gc=False):
    """Location headers of a backend that begin with `old` (empty: the name it was asked by; `~...`: a pattern).

    A `new` that begins with `/` is made absolute unless `relative`, with the port if `port`.
    """

    old: str
    new: str
    relative: bool = False
    port: bool = False


class AnswerRewrites(msgspec.Struct, frozen=True, gc=False):
    """What is replaced in answers of HTTP backends; pairs are what to replace (`~...`: a pattern), and with what."""

    redirect: BackendRedirect | None = None
    cookie_domain: tuple[str, str] | None = None
    cookie_path: tuple[str, str] | None = None


class Mirroring(msgspec.Struct, frozen=True, gc=False):
    """How requests are copied, as far as that is configuration."""

    tls: bool = False
    body: bool = True


class FastCGI(msgspec.Struct, frozen=True, gc=False):
    """What FastCGI backends are told besides what all are: values may have variables."""

    index: str = ""  # the file that stands for a directory
    params: tuple[tuple[str, str], ...] = ()


class KeptConnections(msgspec.Struct, frozen=True, gc=False):
    """Idle connections to one service that a worker keeps; `timeout` is seconds."""

    host: str
    port: int
    connections: int
    requests: int
    timeout: int

    @property
    def digest(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


class Buffers(msgspec.Struct, frozen=True, gc=False):
    """Where an answer is read into: so many pieces of a size in bytes. `busy` is 0 for NGINX's own choice."""

    number: int
    size: int
    busy: int


class Question(msgspec.Struct, frozen=True, gc=False):
    """How an authentication service is asked, as far as that is configuration.

    `headers` are set on the question, their values may have variables. Without `kept` connections in clear text
    are kept like those to any backend, and TLS ones are not. `common_snippet`: the lines of the global settings count.
    Without `buffers` theirs count.
    """

    tls: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    kept: KeptConnections | None = None
    snippet: tuple[Directive, ...] = ()
    common_snippet: bool = False
    buffers: Buffers | None = None

    @property
    def digest(self) -> str:
        """A name for this kind of question, the same in every process."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


class Firewall(msgspec.Struct, frozen=True, gc=False):
    """What ModSecurity applies to requests. `common`: the rules of the global settings, else the recommended ones."""

    rules: str = ""  # lines of the Ingress, which count before all others
    common: bool = False
    base: bool = False  # the recommended rules
    core: bool = False  # the OWASP core rules
    transaction_id: str = ""  # may hold variables


class Policy(msgspec.Struct, frozen=True, gc=False):
    """What NGINX only takes as configuration. Sizes are bytes, durations seconds."""

    body_limit: int
    buffering: bool
    request_buffering: bool
    buffers_number: int
    buffer_size: int
    busy_buffers_size: int
    max_temp_file_size: int
    client_body_buffer_size: int
    http_version: Literal["1.0", "1.1"]
    next_upstream: tuple[str, ...]
    next_upstream_timeout: int
    tries: int = 3  # 0: no limit
    upstream: Upstream = Upstream()
    rates: tuple[RateLimit, ...] = ()
    connections: int = 0
    limit_rate: int = 0
    limit_rate_after: int = 0
    access: bool = False
    auth: bool = False
    digest_auth: bool = False
    question: Question | None = None
    question_answers: tuple[str, ...] = ()  # headers that the backend gets from the service asked, not the client
    signin: bool = False  # a 401 becomes a redirect
    adds_headers: bool = False  # the route has a say in the headers of its answers
    own_host: bool = False  # the Host header sent upstream is the route's
    connection: Literal["", "close", "keep-alive"] = ""  # the Connection header sent upstream; empty: as called for
    answers: AnswerRewrites = AnswerRewrites()
    fastcgi: FastCGI = FastCGI()
    mirroring: Mirroring | None = None
    satisfy_any: bool = False
    intercept: tuple[int, ...] = ()
    intercept_backend: bool = True
    intercept_pages: bool = False  # statuses of the backend lead to pages that a sign-in or a snippet brings, too
    access_log: bool = True
    snippet: tuple[Directive, ...] = ()
    captures: str = ""  # a pattern, where the snippet uses what it captures
    common_snippet: bool = False  # the location snippet of the global settings counts here
    firewall: Firewall | None = None

    @property
    def digest(self) -> str:
        """A name for this policy, the same in every process."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]
