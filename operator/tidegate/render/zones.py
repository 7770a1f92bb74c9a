"""The zones of shared memory in which NGINX counts for limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tidegate.model import Policy, RateLimit


@dataclass(frozen=True)
class Zone:
    """Shared memory for the counters of a limit; without `rate` it counts connections."""

    name: str
    megabytes: int
    rate: int = 0
    unit: str = ""


@dataclass(frozen=True)
class RateUse:
    """A rate limit of a location: the zone that counts, and how many requests may come at once beside the rate."""

    zone: str
    burst: int


def zone_megabytes(users: int) -> int:
    """The size of a limit zone that `users` routes share, in steps of a power of two so that it rarely changes."""
    return int(5 * 2 ** math.ceil(math.log2(max(1, users / 16))))


def rate_zone(limit: RateLimit, megabytes: int) -> Zone:
    """NGINX refuses a reload that changes a zone's parameters under its name, so the name says them all."""
    return Zone(f"tidegate_rate_{limit.rate}{limit.unit}_{megabytes}m", megabytes, limit.rate, limit.unit)


@dataclass(frozen=True)
class LimitZones:
    """The zones that policies need: one for each rate, which all routes with that rate share, and one for connections.

    `users` is how many routes have a policy, by its digest; one, where nobody has counted.
    """

    policies: dict[str, Policy]
    users: dict[str, int]

    def _users_of(self, rate: tuple[int, str]) -> int:
        return sum(
            self.users.get(digest, 1)
            for digest, policy in self.policies.items()
            if any((limit.rate, limit.unit) == rate for limit in policy.rates)
        )

    def _zone_of(self, limit: RateLimit) -> Zone:
        return rate_zone(limit, zone_megabytes(self._users_of((limit.rate, limit.unit))))

    def used_by(self, policy: Policy) -> tuple[RateUse, ...]:
        return tuple(RateUse(self._zone_of(limit).name, limit.burst) for limit in policy.rates)

    @property
    def rates(self) -> list[Zone]:
        zones = {self._zone_of(limit) for policy in self.policies.values() for limit in policy.rates}
        return sorted(zones, key=lambda zone: zone.name)

    @property
    def connections(self) -> Zone | None:
        users = [digest for digest, policy in self.policies.items() if policy.connections]
        if not users:
            return None
        megabytes = zone_megabytes(sum(self.users.get(digest, 1) for digest in users))
        return Zone(f"tidegate_connections_{megabytes}m", megabytes)
