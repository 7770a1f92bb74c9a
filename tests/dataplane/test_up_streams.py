"""TCP and UDP services on a real NGINX: endpoints are data, listeners are configuration."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rrset
import pytest
from dataplane import Nginx, Server, until
from streams import Connections, Datagrams, Lines, Session, ask, ask_udp, backend_of, entries, stream_service
from up import Up, configmap, free_ports, ingress, service

FLAGS = (
    *("--configmap", "default/settings"),
    *("--tcp-services-configmap", "default/tcp"),
    *("--udp-services-configmap", "default/udp"),
)
Start = Callable[..., Up]


@pytest.fixture
def start(nginx: Nginx) -> Iterator[Start]:
    """Starts `up` with two streams ConfigMaps and these manifests."""
    with ExitStack() as stack:

        def started(*manifests: object, **more: object) -> Up:
            up = stack.enter_context(Up(*FLAGS, binary=nginx.binary, **more))  # type: ignore[arg-type]
            return up.start(*manifests)  # type: ignore[arg-type]

        yield started


@pytest.fixture
def backends() -> Iterator[tuple[Lines, Lines]]:
    with Lines("a") as a, Lines("b") as b:
        yield a, b


def at(*backends: Lines | Datagrams) -> list[tuple[str, int]]:
    return [(one.address, one.port) for one in backends]


def one_port() -> int:
    return free_ports(1)[0]


def test_endpoints_change_without_reload_and_without_ending_a_session(
    start: Start, backends: tuple[Lines, Lines]
) -> None:
    a, b = backends
    port = one_port()
    up = start(entries("tcp", **{f"p{port}": "default/lines:7000"}), stream_service("lines", *at(a)))
    with Session(port) as session:
        assert session.say("one") == "a: one"
        before = up.status()["reloads"]
        up.apply("start", entries("tcp", **{f"p{port}": "default/lines:7000"}), stream_service("lines", *at(b)))
        assert {backend_of(port) for _ in range(8)} == {"b"}  # at once: the change is in force
        assert session.say("two") == "a: two"
        assert up.status()["reloads"] == before


def test_a_port_that_comes_reloads_once_and_sessions_of_others_go_on(
    start: Start, backends: tuple[Lines, Lines]
) -> None:
    a, b = backends
    first, second = free_ports(2)
    up = start(entries("tcp", **{f"p{first}": "default/lines:7000"}), stream_service("lines", *at(a)))
    with Session(first) as session:
        session.say("one")
        before = up.status()["reloads"]
        both = {f"p{first}": "default/lines:7000", f"p{second}": "default/more:7000"}
        up.apply("start", entries("tcp", **both), stream_service("lines", *at(a)), stream_service("more", *at(b)))
        assert up.status()["reloads"] == before + 1
        assert (backend_of(first), backend_of(second)) == ("a", "b")
        up.apply("start", entries("tcp", **{f"p{second}": "default/more:7000"}), stream_service("more", *at(b)))
        until(lambda: ask(first) == "ConnectionRefusedError")
        assert session.say("two") == "a: two"


def test_nothing_is_loaded_for_streams_where_there_are_none(start: Start) -> None:
    up = start(service("echo"))
    assert "stream_module" not in (up.run / "conf" / "nginx.conf").read_text()


def test_a_port_without_endpoints_refuses_and_opens_with_the_first(start: Start, backends: tuple[Lines, Lines]) -> None:
    a, _ = backends
    port = one_port()
    up = start(entries("tcp", **{f"p{port}": "default/lines:7000"}), stream_service("lines"))
    assert ask(port) == "ConnectionRefusedError"
    up.apply("more", stream_service("lines", *at(a))[1:])
    assert backend_of(port) == "a"
    before = up.status()["reloads"]
    up.delete("more")
    up.apply("more", stream_service("lines", *at(a))[1:])
    assert backend_of(port) == "a"
    assert up.status()["reloads"] == before, "a blip costs no reload"
    up.delete("more")
    until(lambda: ask(port) == "ConnectionRefusedError", 20)


def test_a_session_goes_on_to_another_endpoint_where_one_refuses(start: Start, backends: tuple[Lines, Lines]) -> None:
    a, _ = backends
    gone = Lines("gone", address="127.0.0.9", port=a.port)
    beside = Lines("a", address="127.0.0.8", port=a.port)
    gone.close()
    port = one_port()
    with beside:
        manifests = [entries("tcp", **{f"p{port}": "default/lines:7000"})]
        manifests += stream_service("lines", ("127.0.0.9", a.port), ("127.0.0.8", a.port))
        start(*manifests)
        assert Counter(backend_of(port) for _ in range(30)) == {"a": 30}


def test_sessions_are_spread_over_all_endpoints(start: Start) -> None:
    port = one_port()
    with ExitStack() as stack:
        first = stack.enter_context(Lines("0"))
        others = [stack.enter_context(Lines(str(n), f"127.0.0.{10 + n}", first.port)) for n in range(1, 4)]
        start(entries("tcp", **{f"p{port}": "default/lines:7000"}), stream_service("lines", *at(first, *others)))
        found = Counter(backend_of(port) for _ in range(200))
        assert set(found) == {"0", "1", "2", "3"}
        assert min(found.values()) > 20  # 50 are to be expected


def test_a_client_stays_with_an_endpoint_where_its_address_decides(start: Start) -> None:
    port = one_port()
    manifests = [entries("tcp", **{f"p{port}": "default/lines:7000"})]
    with ExitStack() as stack:
        first = stack.enter_context(Lines("0"))
        others = [stack.enter_context(Lines(str(n), f"127.0.0.{10 + n}", first.port)) for n in range(1, 4)]
        every = at(first, *others)
        up = start(*manifests, *stream_service("lines", *every, affinity="ClientIP"))
        clients = [f"127.0.1.{number}" for number in range(1, 101)]  # so many that each endpoint has some
        homes = {client: {backend_of(port, client) for _ in range(3)} for client in clients}
        assert all(len(home) == 1 for home in homes.values())
        assert len(set().union(*homes.values())) == 4
        up.apply("start", *manifests, *stream_service("lines", *every[:3], affinity="ClientIP"))
        for client, home in homes.items():
            if home != {"3"}:
                assert backend_of(port, client) in home, "only clients of the endpoint that went are moved"


def test_the_proxy_protocol_is_read_written_and_passed_on(start: Start, backends: tuple[Lines, Lines]) -> None:
    a, _ = backends
    reads, writes, both = free_ports(3)
    up = start(
        entries(
            "tcp",
            **{
                f"p{reads}": "default/lines:7000:PROXY",
                f"p{writes}": "default/lines:7000::PROXY",
                f"p{both}": "default/lines:7000:PROXY:PROXY",
            },
        ),
        stream_service("lines", *at(a)),
    )
    line = "PROXY TCP4 192.0.2.7 192.0.2.1 5000 443"
    with Session(reads, first=line) as session:
        assert session.say("hello") == "a: hello"
    assert ask(reads) in ("", "ConnectionResetError")
    with Session(writes, source="127.0.0.5") as session:
        assert session.say("hello").startswith("a: PROXY TCP4 127.0.0.5 127.0.0.1 ")
    with Session(both, first=line) as session:
        assert session.say("hello").startswith("a: PROXY TCP4 192.0.2.7 ")
    log = up.run / "logs" / "access.log"
    until(lambda: "[192.0.2.7] " in log.read_text(), 10)


def test_a_busy_port_costs_that_port_alone_and_is_told(start: Start, backends: tuple[Lines, Lines]) -> None:
    a, b = backends
    good = one_port()
    with Server("echo") as server:
        ports = {f"p{good}": "default/lines:7000", f"p{b.port}": "default/lines:7000"}
        up = start(
            entries("tcp", **ports),
            stream_service("lines", *at(a)),
            service("echo", server.port),
            ingress("web", "a.test"),
        )
        assert backend_of(good) == "a"
        assert backend_of(b.port) == "b"  # who has the port keeps it
        assert up.get("a.test")[0] == 200
        told = [row for row in up.api("findings") if row["reason"] == "Rejected"]
        assert [(row["field"], "in use" in row["message"]) for row in told] == [(f"data[{b.port}]", True)]
        up.apply("more", ingress("other", "b.test"))
        assert up.get("b.test")[0] == 200
        up.apply("start", entries("tcp", **{f"p{good}": "default/lines:7000"}), stream_service("lines", *at(a)))
        assert not [row for row in up.api("findings") if row["reason"] == "Rejected"]


def test_sessions_outlive_the_control_plane_and_a_new_one_takes_over(
    start: Start, backends: tuple[Lines, Lines]
) -> None:
    a, b = backends
    port = one_port()
    manifests = [entries("tcp", **{f"p{port}": "default/lines:7000"})]
    up = start(*manifests, *stream_service("lines", *at(a)))
    with Session(port) as session:
        session.say("one")
        up.kill()
        assert backend_of(port) == "a"
        up.write("start", *manifests, *stream_service("lines", *at(b)))
        up.spawn()
        up.wait_ready()
        assert backend_of(port) == "b"
        assert session.say("two") == "a: two"
        assert up.status()["reloads"] == 0


def test_an_nginx_that_comes_back_serves_the_same_endpoints(start: Start, backends: tuple[Lines, Lines]) -> None:
    a, _ = backends
    port = one_port()
    up = start(entries("tcp", **{f"p{port}": "default/lines:7000"}), stream_service("lines", *at(a)))
    pids = {one.pid for one in up.nginx()}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: backend_of(port) == "a" and not pids & {one.pid for one in up.nginx()}, 30)


# -- UDP ---------------------------------------------------------------------------------------------------------------


def test_a_datagram_is_answered_by_as_many_as_are_expected(start: Start) -> None:
    port = one_port()
    with Datagrams(lambda data: [data + b"1", data + b"2", data + b"3"]) as backend:
        start(
            configmap(proxy_stream_responses="3"),
            entries("udp", **{f"p{port}": "default/grams:7000"}),
            stream_service("grams", *at(backend), protocol="UDP"),
        )
        for text in ("x", "y"):
            assert ask_udp(port, text, answers=3) == [f"{text}1", f"{text}2", f"{text}3"]


def test_datagrams_of_one_client_go_to_one_endpoint(start: Start) -> None:
    port = one_port()
    with ExitStack() as stack:
        names = "abcd"

        def backend(name: str, number: int, port: int) -> Datagrams:
            return stack.enter_context(Datagrams(lambda _: [name.encode()], f"127.0.0.{20 + number}", port))

        first = backend("a", 0, 0)
        every = [first, *(backend(name, number, first.port) for number, name in enumerate(names[1:], 1))]
        start(
            entries("udp", **{f"p{port}": "default/grams:7000"}), stream_service("grams", *at(*every), protocol="UDP")
        )
        seen: set[str] = set()
        for _ in range(100):  # so many that each endpoint has some
            with socket.socket(type=socket.SOCK_DGRAM) as client:
                answers = {ask_udp(port, "x", client)[0] for _ in range(3)}
                assert len(answers) == 1
                seen |= answers
        assert seen == set(names)


def test_a_name_server_behind_both_protocols(start: Start) -> None:
    """DNS with a real library on both ends: over UDP, and over TCP for an answer that is too long for it."""
    port = one_port()

    def reply(data: bytes, cut: bool) -> bytes:
        question = dns.message.from_wire(data)
        answer = dns.message.make_response(question)
        rows = [f"192.0.2.{number}" for number in range(1, 200)]
        asked = question.question[0]
        if str(asked.name) == "one.test.":
            rows = rows[:1]
        elif cut:
            answer.flags |= dns.flags.TC
            return answer.to_wire()
        answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", "A", *rows))
        return answer.to_wire()

    def serve_tcp(sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as file:
            size = int.from_bytes(file.read(2), "big")
            whole = reply(file.read(size), cut=False)
            sock.sendall(len(whole).to_bytes(2, "big") + whole)

    with ExitStack() as stack:
        grams = stack.enter_context(Datagrams(lambda data: [reply(data, cut=True)]))
        tcp = stack.enter_context(Connections(serve_tcp))
        start(
            entries("udp", **{f"p{port}": "default/dns-udp:7000"}),
            entries("tcp", **{f"p{port}": "default/dns-tcp:7000"}),
            stream_service("dns-udp", *at(grams), protocol="UDP"),
            stream_service("dns-tcp", (tcp.address, tcp.port)),
        )
        for _ in range(20):
            found = dns.query.udp(dns.message.make_query("one.test", "A"), "127.0.0.1", 5, port)
            assert [row.to_text() for row in found.answer[0]] == ["192.0.2.1"]
        found, over_tcp = dns.query.udp_with_fallback(dns.message.make_query("many.test", "A"), "127.0.0.1", 5, port)
        assert over_tcp
        assert len(found.answer[0]) == 199


@pytest.fixture
def dnsmasq(tmp_path: Path) -> Iterator[int]:
    """The port of a name server that knows `one.test`, and `many.test` by more addresses than fit a datagram."""
    port = one_port()
    (tmp_path / "hosts").write_text("".join(f"192.0.2.{number} many.test\n" for number in range(1, 200)))
    command = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--no-resolv", "--no-hosts"]
    command += [f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces", f"--pid-file={tmp_path / 'pid'}"]
    command += ["--address=/one.test/192.0.2.1", f"--addn-hosts={tmp_path / 'hosts'}"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        until(lambda: addresses("one.test", port, 1) == {"192.0.2.1"}, 30)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def addresses(name: str, port: int, limit: float = 20) -> set[str]:
    """What a name server says, over TCP where it does not fit a datagram; nothing where there is none."""
    try:
        found, _ = dns.query.udp_with_fallback(dns.message.make_query(name, "A"), "127.0.0.1", limit, port)
    except (OSError, dns.exception.Timeout):
        return set()
    return {row.to_text() for answer in found.answer for row in answer}


def test_dnsmasq_behind_a_udp_and_a_tcp_port_of_one_number(start: Start, dnsmasq: int) -> None:
    port = one_port()
    up = start(
        entries("udp", **{f"p{port}": "default/dns-udp:7000"}),
        entries("tcp", **{f"p{port}": "default/dns-tcp:7000"}),
        stream_service("dns-udp", ("127.0.0.1", dnsmasq), protocol="UDP"),
        stream_service("dns-tcp", ("127.0.0.1", dnsmasq)),
    )
    for _ in range(20):
        assert addresses("one.test", port) == {"192.0.2.1"}
    assert len(addresses("many.test", port)) == 199
    assert up.status()["reloads"] == 0
