"""Which name is served how: hosts, their aliases, and the native servers in which they stand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from tidegate.model import CATCH_ALL, PATTERN, Certificate, Host, Server, ServerProfile, patterns_in_order
from tidegate.translate.delta import note
from tidegate.translate.hosts import Claim, HostResult


class Publication:
    """The names that are served, from `results`: what each host came to, which somebody else keeps up to date."""

    def __init__(self, results: Mapping[str, HostResult]) -> None:
        self._results = results
        self._claims: defaultdict[str, dict[str, Claim]] = defaultdict(dict)
        self._places: dict[str, str] = {}  # the profile of its server, of each name that a server has to name
        self.hosts: dict[str, Host] = {}
        self.certificates: dict[str, Certificate] = {}

    def claim(self, host: str, former: HostResult | None, result: HostResult | None) -> None:
        """Take over the other names that a host wants to be served under."""
        for name in former.claims if former else ():
            self._claims[name].pop(host, None)
        for name, claim in (result.claims if result else {}).items():
            self._claims[name][host] = claim

    def publish(self, names: set[str]) -> tuple[dict[str, Host | None], dict[str, Certificate | None]]:
        """A name belongs to the host of that name, else to the first that redirects it, else to the first whose alias
        it is. What changed; None for gone."""
        hosts: dict[str, Host | None] = {}
        certificates: dict[str, Certificate | None] = {}
        for name in names | self._shadowed(names):
            record, certificate = self._owner_of(name)
            if record is not None and not record.profile and self._wildcard_profile(name):
                record = msgspec.structs.replace(record, profile=CATCH_ALL)
            if record is not None and record.profile:
                self._places[name] = record.profile
            else:
                self._places.pop(name, None)
            note(hosts, self.hosts, name, record)
            if name != CATCH_ALL:  # whose certificate is the default one
                note(certificates, self.certificates, name, certificate)
        return hosts, certificates

    def patterns(self) -> tuple[str, ...]:
        """The aliases that are patterns, in the order in which they are tried."""
        return tuple(name for name in patterns_in_order(self._claims) if name in self.hosts)

    def servers(self) -> dict[str, Server]:
        """The native servers by the digest of their profile; `_` for names that the catch-all one has to name."""
        hosts: dict[str, list[str]] = {}
        for name, digest in sorted(self._places.items()):
            hosts.setdefault(digest, []).append(name)
        return {digest: self._server(digest, names) for digest, names in hosts.items()}

    def _server(self, digest: str, names: list[str]) -> Server:
        records = [self.hosts[name] for name in names]
        policies = {route.policy for record in records for route in record.routes if route.policy}
        if digest == CATCH_ALL:
            return Server(ServerProfile(), tuple(names), tuple(sorted(policies)))
        target = records[0].alias_of or names[0]
        profile = self._results[target].own.profile
        assert profile is not None
        return Server(profile, tuple(names), tuple(sorted(policies)))

    def _owner_of(self, name: str) -> tuple[Host | None, Certificate | None]:
        result = self._results.get(name)
        if result is not None:
            return result.host, result.certificate
        claims = self._claims.get(name)
        if claims:
            claim = claims[min(claims, key=lambda host: (not claims[host].record.redirect_to, host))]
            return claim.record, claim.certificate
        self._claims.pop(name, None)
        return None, None

    def _wildcard_profile(self, name: str) -> str:
        """The profile of the wildcard host that NGINX would take this name for."""
        _, dot, rest = name.partition(".")
        record = self._owner_of(f"*.{rest}")[0] if dot and not name.startswith(("*", PATTERN)) else None
        return record.profile if record else ""

    def _shadowed(self, names: set[str]) -> set[str]:
        """Names that have to be named, or no longer, because a wildcard host got or lost a server of its own."""
        changed = set()
        for name in names:
            if name.startswith("*."):
                record = self._owner_of(name)[0]
                if bool(record and record.profile) != (name in self._places):
                    changed.add(name[1:])
        if not changed:
            return set()
        known = set(self.hosts) | set(self._results) | set(self._claims)
        return {name for name in known if name[name.find(".") :] in changed and not name.startswith(("*", PATTERN))}
