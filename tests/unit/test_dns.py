"""Names that are kept resolved: answers, times to live, failures; against a DNS server of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
import tidegate.dns as module
from tidegate.dns import Resolver, parse_server
from tidegate.resources.changes import Resolution

NAME = "db.example.com"


class Server(asyncio.DatagramProtocol):
    """Answers from `records` by type; a type that is `broken` gives SERVFAIL, `rcode` is for all."""

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.rcode = dns.rcode.NOERROR
        self.broken: set[str] = set()
        self.ttl = 1
        self.asked = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        question = dns.message.from_wire(data)
        (wanted,) = question.question
        kind = dns.rdatatype.to_text(wanted.rdtype)
        self.asked += 1
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        answer.set_rcode(dns.rcode.SERVFAIL if kind in self.broken else self.rcode)
        if self.rcode == dns.rcode.NOERROR and kind in self.records and kind not in self.broken:
            answer.answer.append(dns.rrset.from_text(wanted.name, self.ttl, "IN", kind, *self.records[kind]))
        self.transport.sendto(answer.to_wire(), peer)


class Told:
    """What a resolver said, in order."""

    def __init__(self) -> None:
        self.items: asyncio.Queue[tuple[str, ...] | str] = asyncio.Queue()

    def answer(self, resolution: Resolution) -> None:
        self.items.put_nowait(resolution.addresses)

    def problem(self, name: str, problem: str) -> None:
        self.items.put_nowait(problem)

    async def until(self, wanted: tuple[str, ...] | str) -> None:
        async with asyncio.timeout(20):
            while await self.items.get() != wanted:
                pass


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY", 0.02)
    monkeypatch.setattr(module, "LEAST_TTL", 0.02)
    monkeypatch.setattr(module, "MOST_TTL", 0.05)


@contextlib.asynccontextmanager
async def resolving(*, both: bool) -> AsyncIterator[tuple[Server, Told]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    told = Told()
    resolver = Resolver(told.answer, [("127.0.0.1", port)], on_problem=told.problem if both else None)
    try:
        server.records = {"A": ["192.0.2.2", "192.0.2.1"]}
        resolver.want(frozenset({NAME + "."}))
        await told.until(("192.0.2.1", "192.0.2.2"))
        yield server, told
    finally:
        await resolver.close()
        transport.close()


async def test_a_name_is_asked_for_again_when_its_time_is_over(quick: None) -> None:
    async with resolving(both=False) as (server, told):
        server.records["A"] = ["192.0.2.3"]
        await told.until(("192.0.2.3",))


async def test_of_one_family_ipv6_counts_only_where_there_is_no_ipv4(quick: None) -> None:
    async with resolving(both=False) as (server, told):
        server.records = {"A": ["192.0.2.3"], "AAAA": ["2001:db8::1"]}
        await told.until(("192.0.2.3",))
        del server.records["A"]
        await told.until(("2001:db8::1",))


async def test_without_a_listener_for_problems_a_name_that_is_gone_has_no_addresses(quick: None) -> None:
    async with resolving(both=False) as (server, told):
        server.rcode = dns.rcode.NXDOMAIN
        await told.until(())


async def test_both_families_are_one_answer(quick: None) -> None:
    async with resolving(both=True) as (server, told):
        server.records["AAAA"] = ["2001:db8::1"]
        await told.until(("192.0.2.1", "192.0.2.2", "2001:db8::1"))
        server.records = {"AAAA": ["2001:db8::1"]}
        await told.until(("2001:db8::1",))


@pytest.mark.parametrize(
    ("rcode", "problem"),
    [
        (dns.rcode.NXDOMAIN, "there is no such name (NXDOMAIN)"),
        (dns.rcode.SERVFAIL, "no DNS server gives an answer"),
    ],
)
async def test_a_failure_is_told_and_takes_nothing_away(quick: None, rcode: dns.rcode.Rcode, problem: str) -> None:
    async with resolving(both=True) as (server, told):
        server.rcode = rcode
        while (said := await told.items.get()) == ("192.0.2.1", "192.0.2.2"):
            pass
        assert isinstance(said, str)
        assert problem in said
        asked = server.asked
        while server.asked < asked + 4:
            said = await told.items.get()
            assert said != ()
        server.rcode = dns.rcode.NOERROR
        await told.until(("192.0.2.1", "192.0.2.2"))


async def test_a_name_without_addresses_is_a_failure(quick: None) -> None:
    async with resolving(both=True) as (server, told):
        server.records = {}
        await told.until("the name has no addresses")


async def test_a_family_that_fails_keeps_its_addresses_while_the_other_one_changes(quick: None) -> None:
    async with resolving(both=True) as (server, told):
        server.records["AAAA"] = ["2001:db8::1"]
        await told.until(("192.0.2.1", "192.0.2.2", "2001:db8::1"))
        server.broken, server.records["A"] = {"AAAA"}, ["192.0.2.9"]
        await told.until(("192.0.2.9", "2001:db8::1"))
        await told.until("AAAA: no DNS server gives an answer")


def test_a_server_may_have_a_port() -> None:
    assert parse_server("192.0.2.1") == ("192.0.2.1", 53)
    assert parse_server("192.0.2.1:5353") == ("192.0.2.1", 5353)
    assert parse_server("[2001:db8::1]:5353") == ("2001:db8::1", 5353)
    assert parse_server("2001:db8::1") == ("2001:db8::1", 53)
