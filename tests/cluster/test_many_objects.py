"""The operator with thousands of Ingresses beside many Secrets of Helm's. Times are the benchmarks' affair."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from apiserver import until
from dataplane import Server
from manyobjects import INGRESSES, SECRET_BYTES, Writer, app_name, filled, host, ingress
from procfs import pss
from running import PATIENCE, Run

HOSTS = 5000
HELM_SECRETS = 300  # the benchmark has 3,000: none is ever sent, so that more would be the API server's load alone
START = 300.0
MEMORY = 350.0  # MB that the operator may need


@pytest.fixture(scope="module")
def loaded() -> Iterator[tuple[Run, Writer, list[Server]]]:
    with filled(HOSTS, HELM_SECRETS) as (cluster, writer, servers), Run(cluster, "--disable-sync-events") as run:
        run.spawn()
        until(lambda: _is_ready(run), START, run.said)
        yield run, writer, servers


def _is_ready(run: Run) -> bool:
    assert run.process is not None
    assert run.process.poll() is None, run.said()
    try:
        return run.ask_admin("/readyz")[0] == 200
    except OSError:
        return False


def test_all_of_them_are_served_and_none_of_helms_secrets_is_read(loaded: tuple[Run, Writer, list[Server]]) -> None:
    run, _, _ = loaded
    counts = run.status()["counts"]
    assert (counts["ingresses"], counts["hosts"], counts["errors"]) == (HOSTS, HOSTS, 0)
    for number in range(1, HOSTS + 1, 97):
        assert run.get(host(number)) == (200, "one")
    assert run.process is not None
    assert HELM_SECRETS * SECRET_BYTES / 1e6 > MEMORY / 3
    until(lambda: pss(run.process.pid) <= MEMORY, PATIENCE, lambda: pss(run.process.pid))


def test_a_change_among_them_is_served_without_a_reload(loaded: tuple[Run, Writer, list[Server]]) -> None:
    run, writer, _ = loaded
    reloads = run.status()["reloads"]
    body = ingress(7, "new.bench.test")
    body["metadata"]["name"] = "new"
    writer.send("POST", INGRESSES, body)
    run.serves("new.bench.test")
    writer.send("DELETE", f"{INGRESSES}/new")
    run.serves("new.bench.test", 404)
    writer.send("DELETE", f"{INGRESSES}/{app_name(8)}")
    run.serves(host(8), 404)
    run.serves(host(9))
    assert run.status()["reloads"] == reloads
