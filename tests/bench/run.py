"""make bench: every figure beside its peer, measured in the same run. See docs/benchmarks.md."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
import time
from collections.abc import Callable

import changes
import churn
import cluster
import cpu
import health
import mix
import outages
import resources
import tls
import transfers
import zero
from options import QUICK, Options
from report import RESULTS, Figure, row, save, table

Benchmark = Callable[[Options], tuple[list[Figure], list[str]]]

BENCHMARKS: dict[str, Benchmark] = {
    "cpu-one-host": cpu.one_host,
    "cpu-5000-hosts": cpu.many_hosts,
    "cpu-regex-5000": cpu.patterns,
    "cpu-grpc": cpu.grpc_calls,
    "regex-churn": churn.regex_churn,
    "endpoint-change": changes.endpoint_change,
    "new-ingress-known-policy": changes.new_ingress_known_policy,
    "new-ingress-new-policy": changes.new_ingress_new_policy,
    "settings-mix": mix.settings_mix,
    "memory": resources.memory,
    "cold-start": resources.cold_start,
    "zero-failure": zero.zero_failure,
    "transfers": transfers.transfers,
    "cluster-operator": cluster.operator,
    "cluster-zero-failure": outages.zero_failure,
    "health-checks": health.health_checks,
    "tls": tls.handshakes,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=BENCHMARKS, help="run one")
    parser.add_argument(
        "--quick", action="store_true", help="less of everything: to try the benchmarks, not to compare"
    )
    for field in dataclasses.fields(Options):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), metavar="N")
    arguments = parser.parse_args()
    changed = {
        field.name: value
        for field in dataclasses.fields(Options)
        if (value := getattr(arguments, field.name)) is not None
    }
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything that was started is ended
    signal.signal(signal.SIGINT, lambda *_: sys.exit(1))
    options = dataclasses.replace(QUICK if arguments.quick else Options(), **changed)
    names = [arguments.only] if arguments.only else list(BENCHMARKS)
    for name in names:
        started = time.monotonic()
        print(f"-- {name}", file=sys.stderr, flush=True)
        figures, notes = BENCHMARKS[name](options)
        for figure in figures:
            print(row(figure), file=sys.stderr, flush=True)
        if arguments.quick:
            notes = [*notes, "quick: too short to compare"]
        save(name, figures, notes)
        print(f"   {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    text = table(names)
    (RESULTS / "table.md").write_text(table(BENCHMARKS))
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
