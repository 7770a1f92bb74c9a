"""EndpointPools in `tidegate up`: real NGINX, real health checks, a DNS server of the test's own."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from dataplane import Reply, Request, Server, echo, until
from dnsserver import Dns
from up import Up, ingress, running, service

OPEN = ("--endpoint-pool-allowed-cidrs", "127.0.0.0/8")
Manifest = dict[str, Any]


class Backend(Server):
    """An echo backend whose health can be told; `/healthz` is asked for by the checks."""

    def __init__(self, name: str, address: str, port: int = 0) -> None:
        self.healthy = True
        super().__init__(name, self._answer, listener=socket.create_server((address, port), backlog=256))

    def _answer(self, request: Request) -> Reply | None:
        if request.target == "/healthz":
            return Reply(200 if self.healthy else 503, [], b"")
        return echo(request)


@contextlib.contextmanager
def backends(*names: str) -> Iterator[list[Backend]]:
    """On one port, each on an address of its own: 127.0.0.2 and so on."""
    first = Backend(names[0], "127.0.0.2")
    others = [Backend(name, f"127.0.0.{number}", first.port) for number, name in enumerate(names[1:], 3)]
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(one) for one in (first, *others)]


def bare(port: int, name: str = "db", annotation: str | None = None) -> Manifest:
    """A Service without selector and without endpoints."""
    (found,) = service(name)
    found["spec"]["ports"][0]["targetPort"] = port
    if annotation is not None:
        found["metadata"] = {**found["metadata"], "annotations": {"tidegate.dev/endpoints": annotation}}
    return found


def pool(*endpoints: dict[str, str], check: bool = False, **spec: Any) -> Manifest:
    if check:
        spec["healthCheck"] = {"type": "HTTP", "path": "/healthz", "interval": "1s", "unhealthyThreshold": 1}
    return {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "EndpointPool",
        "metadata": {"name": "db", "namespace": "default"},
        "spec": {"serviceName": "db", "endpoints": list(endpoints), **spec},
    }


def at(*numbers: int) -> list[dict[str, str]]:
    return [{"address": f"127.0.0.{number}"} for number in numbers]


def counted(up: Up, name: str = "db") -> tuple[int, int]:
    found = json.loads(up.ask_admin(f"/check_endpoint?service={name}")[1])
    return found["ready"], found["total"]


def conditions(up: Up) -> dict[str, tuple[str, str]]:
    (row,) = up.api("endpointpools")
    return {item["type"]: (item["status"], item["reason"]) for item in row["status"]["conditions"]}


def answering(up: Up, count: int = 12) -> set[str]:
    return {up.backend_of("db.test") for _ in range(count)}


@pytest.fixture
def db() -> Manifest:
    return ingress("db", "db.test", backend="db")


def test_a_pool_is_served_checked_and_removed(db: Manifest) -> None:
    with backends("a", "b") as (a, b), Up(*OPEN) as up:
        up.start(bare(a.port), db, pool(*at(2, 3), check=True))
        assert answering(up) == {"a", "b"}  # the first state has been checked
        b.healthy = False
        until(lambda: counted(up) == (1, 2))
        until(lambda: answering(up) == {"a"})
        a.healthy = False
        until(lambda: answering(up, 1) == {"503"})
        until(lambda: conditions(up)["Ready"] == ("False", "NoReadyEndpoints"))
        (row,) = up.api("endpointpools")
        assert [(item["address"], item["failure"]) for item in row["endpoints"]] == [
            ("127.0.0.2", "HTTP status 503"),
            ("127.0.0.3", "HTTP status 503"),
        ]
        a.healthy = b.healthy = True
        until(lambda: answering(up) == {"a", "b"})
        up.apply("start", bare(a.port), db)
        assert answering(up, 1) == {"503"}
        until(lambda: (counted(up), up.api("endpointpools")) == ((0, 0), []))


def test_the_one_line_form_on_a_service_is_a_pool_and_never_reloads(db: Manifest) -> None:
    with backends("a", "b") as (a, _), Up(*OPEN) as up:
        up.start(bare(a.port, annotation="127.0.0.2"), db)
        before = up.status()["reloads"]
        assert answering(up) == {"a"}
        up.apply("start", bare(a.port, annotation="127.0.0.2,127.0.0.3"), db)
        assert answering(up) == {"a", "b"}
        up.apply("start", bare(a.port), db)
        assert answering(up, 1) == {"503"}
        assert up.status()["reloads"] == before


def test_a_name_is_followed_and_its_last_answer_stays(db: Manifest) -> None:
    with contextlib.ExitStack() as stack:
        a, _ = stack.enter_context(backends("a", "b"))
        dns_server = stack.enter_context(Dns(["127.0.0.2"]))
        up = stack.enter_context(Up(*OPEN, "--resolver", f"127.0.0.1:{dns_server.port}"))
        up.start(bare(a.port), db, pool({"hostname": "db.example.com"}))
        assert answering(up) == {"a"}
        assert conditions(up)["Resolved"] == ("True", "Resolved")
        dns_server.addresses = ["127.0.0.3"]
        until(lambda: answering(up) == {"b"})
        dns_server.addresses = None
        until(lambda: conditions(up)["Resolved"] == ("False", "ResolutionFailed"))
        assert answering(up) == {"b"}
        until(lambda: "ResolutionFailed" in {item["reason"] for item in up.api("findings")})
        dns_server.addresses = ["127.0.0.2"]
        until(lambda: answering(up) == {"a"})
        until(lambda: conditions(up)["Resolved"] == ("True", "Resolved"))


def test_what_nobody_may_lead_to_is_refused_also_when_dns_says_so(db: Manifest) -> None:
    with backends("a", "b") as (a, _), Dns(["127.0.0.3"]) as dns_server:
        flags = ("--endpoint-pool-allowed-cidrs", "127.0.0.2/32", "--resolver", f"127.0.0.1:{dns_server.port}")
        with Up(*flags) as up:
            up.start(bare(a.port), db, pool(*at(2, 4), {"address": "169.254.169.254"}, {"hostname": "db.example.com"}))
            assert answering(up) == {"a"}
            assert counted(up) == (1, 1)
            assert conditions(up)["Accepted"] == ("True", "AddressRefused")
            assert conditions(up)["Resolved"] == ("False", "AddressRefused")
            dns_server.addresses = ["127.0.0.2", "169.254.169.254"]
            until(lambda: "169.254.169.254" in str(up.api("endpointpools")[0]["status"]["conditions"][1]))
            assert counted(up) == (1, 1)


def test_loopback_is_refused_unless_it_is_allowed(db: Manifest) -> None:
    with backends("a") as (a,), Up() as up:
        up.start(bare(a.port), db, pool(*at(2)))
        assert answering(up, 1) == {"503"}
        (finding,) = [item for item in up.api("findings") if item["reason"] == "AddressRefused"]
        assert "--endpoint-pool-allowed-cidrs" in finding["message"]
        assert conditions(up)["Accepted"] == ("False", "AddressRefused")


def test_a_service_with_a_selector_is_refused_with_the_reason(db: Manifest) -> None:
    with running(*OPEN, manifests=lambda port: [db]) as (up, server):
        selected = bare(server.port)
        selected["spec"]["selector"] = {"app": "db"}
        up.write("pool", selected, pool(*at(1)))
        until(lambda: up.api("endpointpools"))
        until(lambda: conditions(up).get("Accepted") == ("False", "ServiceHasSelector"))
        assert counted(up) == (0, 0)


def test_no_endpoint_leads_to_the_admin_port(db: Manifest) -> None:
    with Up() as up:
        hostile = service("db", up.admin)
        hostile[1]["endpoints"].append({"addresses": ["127.8.8.8"]})
        up.start(hostile, db)
        assert counted(up) == (2, 2)
        assert answering(up, 2) == {"503"}
        until(lambda: "is a port of this pod itself" in (up.run / "logs" / "error.log").read_text())


def test_the_next_run_takes_over_without_a_failed_request(db: Manifest) -> None:
    with backends("a") as (a,), Up(*OPEN) as up:
        up.start(bare(a.port), db, pool(*at(2), check=True))
        up.kill()
        up.spawn()
        seen: set[str] = set()
        until(lambda: seen.update(answering(up, 3)) or ready(up))
        assert seen | answering(up) == {"a"}


def ready(up: Up) -> bool:
    with contextlib.suppress(OSError):
        return up.ask_admin("/readyz")[0] == 200
    return False
