"""What njs is told about endpoints, and when a listener is open."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from tidegate.apply.streams import LINGER, Listeners, StreamFiles, encode
from tidegate.model import Endpoint, Listener, Passthrough, Stream, StreamSettings

TCP = Listener("tcp", 9000)
SETTINGS = StreamSettings()


def stream(*addresses: str, listener: Listener = TCP, by_address: bool = False, port: int = 80) -> Stream:
    listed = tuple(Endpoint(f"[{one}]" if ":" in one else one, port) for one in addresses)
    return Stream(listener, "n/app:80", listed, by_address)


def peers(text: bytes) -> list[str]:
    return [line.partition(" ")[2] for line in text.decode().split("\n")[2:]]


def addresses_of(peer: str) -> list[str]:
    """What the name server in njs answers."""
    labels = peer.partition(":")[0].split(".")[:-1]
    return [str(ipaddress.ip_address(bytes.fromhex(label))) for label in labels]


def test_the_only_endpoint_is_an_address() -> None:
    assert encode(stream("10.0.0.1"), SETTINGS).decode().split("\n")[:2] == ["random", "n-app-80"]
    assert peers(encode(stream("10.0.0.1"), SETTINGS)) == ["10.0.0.1:80"]


def test_each_of_several_endpoints_is_followed_by_others_as_far_as_tries_go() -> None:
    found = peers(encode(stream("10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::4"), SETTINGS))
    assert [addresses_of(peer) for peer in found] == [
        ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
        ["10.0.0.2", "10.0.0.3", "2001:db8::4"],
        ["10.0.0.3", "2001:db8::4", "10.0.0.1"],
        ["2001:db8::4", "10.0.0.1", "10.0.0.2"],
    ]


def test_endpoints_of_other_ports_do_not_follow() -> None:
    mixed = Stream(TCP, "n/app:80", (Endpoint("10.0.0.1", 80), Endpoint("10.0.0.2", 81)))
    assert peers(encode(mixed, SETTINGS)) == ["10.0.0.1:80", "10.0.0.2:81"]


def test_without_bound_on_tries_a_name_stays_within_what_dns_allows() -> None:
    many = [f"2001:db8::{number:x}" for number in range(1, 60)]
    found = peers(encode(stream(*many), StreamSettings(tries=0)))
    assert len(found) == 59
    assert all(len(peer.partition(":")[0]) <= 253 for peer in found)
    assert all(len(addresses_of(peer)) > 3 for peer in found)


def test_no_other_endpoint_follows_where_that_is_switched_off_or_the_client_decides() -> None:
    plain = ["10.0.0.1:80", "10.0.0.2:80"]
    two = ("10.0.0.1", "10.0.0.2")
    assert peers(encode(stream(*two), StreamSettings(next_upstream=False))) == plain
    assert peers(encode(stream(*two, by_address=True), SETTINGS)) == plain
    udp = encode(stream(*two, listener=Listener("udp", 53)), SETTINGS)
    assert peers(udp) == plain
    assert udp.startswith(b"client\n")
    assert encode(stream(*two, by_address=True), SETTINGS).startswith(b"address\n")


def test_files_are_written_when_they_change_and_removed_when_nobody_wants_them(tmp_path: Path) -> None:
    (tmp_path / "tcp-8000").write_text("of an earlier control plane")
    files = StreamFiles(tmp_path)
    wanted = {"tcp-9000": stream("10.0.0.1"), "tcp-9001": stream("10.0.0.2", listener=Listener("tcp", 9001))}
    host = Passthrough("a.test", "n/secure:443", (Endpoint("10.0.0.4", 443),))
    files.want(wanted, {"a.test": host})
    assert files.write(SETTINGS) == 4
    files.want(wanted, {})
    assert files.write(SETTINGS) == 0
    files.want({"tcp-9000": stream("10.0.0.3")}, {})
    assert files.write(SETTINGS) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s-a.test", "tcp-9000"]
    assert peers((tmp_path / "tcp-9000").read_bytes()) == ["10.0.0.3:80"]
    assert peers((tmp_path / "s-a.test").read_bytes()) == ["10.0.0.4:443"]
    files.want({"tcp-9000": stream("10.0.0.3")}, {"a.test": None})
    assert files.write(SETTINGS) == 1
    assert files.write(StreamSettings(tries=1)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tcp-9000"]


def test_a_listener_opens_with_its_first_endpoint_and_closes_a_moment_after_its_last() -> None:
    listeners, nothing = Listeners(), frozenset[Listener]()
    listeners.want({"tcp-9000": stream()}, 100.0)
    assert listeners.to_open(nothing, 100.0) == nothing
    assert listeners.want({"tcp-9000": stream("10.0.0.1")}, 101.0)
    assert listeners.to_open(nothing, 101.0) == {TCP}
    listeners.want({"tcp-9000": stream()}, 102.0)
    opened = frozenset({TCP})
    assert listeners.to_open(opened, 102.0 + LINGER / 2) == {TCP}
    assert listeners.until_next(opened, 102.0) == LINGER
    assert listeners.until_next(opened, 102.0 + LINGER) is None
    assert listeners.to_open(opened, 102.0 + LINGER) == nothing


def test_a_change_of_addresses_changes_no_listener() -> None:
    listeners = Listeners()
    listeners.want({"tcp-9000": stream("10.0.0.1")}, 100.0)
    assert not listeners.want({"tcp-9000": stream("10.0.0.2", "10.0.0.3")}, 101.0)


def test_an_entry_that_goes_closes_at_once() -> None:
    listeners = Listeners()
    listeners.want({"tcp-9000": stream()}, 100.0)
    listeners.want({}, 100.5)
    assert listeners.to_open(frozenset({TCP}), 100.5) == frozenset()


def test_a_listener_that_could_not_be_opened_is_left_out_until_others_are_wanted() -> None:
    listeners, other = Listeners(), Listener("tcp", 9001)
    listeners.want({"tcp-9000": stream("10.0.0.1")}, 100.0)
    listeners.refuse({"tcp-9000": "in use"})
    assert listeners.to_open(frozenset(), 100.0) == frozenset()
    listeners.want({"tcp-9000": stream("10.0.0.2")}, 101.0)
    assert listeners.to_open(frozenset(), 101.0) == frozenset()
    listeners.want({"tcp-9000": stream("10.0.0.2"), "tcp-9001": stream("10.0.0.2", listener=other)}, 102.0)
    assert listeners.to_open(frozenset(), 102.0) == {TCP, other}
