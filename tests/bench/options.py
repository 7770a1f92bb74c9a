"""How much is measured; `--quick` is for work on the benchmarks themselves, its figures mean little."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    hosts: int = 5000
    rounds: int = 11
    round_seconds: float = 2
    warm_seconds: float = 2
    changes: int = 300
    changes_slow: int = 100  # of those that take seconds each
    policies: int = 1000
    patterns: int = 100_000
    zero_failure_seconds: float = 60
    zero_failure_rate: int = 1000  # requests a second
    transfer_mib: int = 1024
    transfer_rounds: int = 5
    helm_secrets: int = 3000  # of 500 kB
    certificates: int = 10_000
    rotations: int = 1000
    endpoints: int = 1000  # of the pool that is checked


QUICK = Options(
    hosts=500,
    rounds=3,
    round_seconds=1,
    warm_seconds=1,
    changes=20,
    changes_slow=5,
    policies=100,
    patterns=10_000,
    zero_failure_seconds=10,
    transfer_mib=64,
    transfer_rounds=2,
    helm_secrets=20,
    certificates=500,
    rotations=50,
    endpoints=100,
)
