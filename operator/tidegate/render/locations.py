"""Policies as the locations that the template writes."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.model import Directive, Policy
from tidegate.render.mirrors import location_of
from tidegate.render.questions import question_name
from tidegate.render.upstreams import (
    MODULES,
    RedirectDirective,
    TLSDirectives,
    next_conditions,
    redirect_directive,
    target_of,
)
from tidegate.render.zones import RateUse


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
        policy = self.policy
        return bool(policy.intercept) or policy.adds_headers or not policy.access_log
