"""Runs the Lua tests: each function of a `*_test.lua` is one test here."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

FOLDER = Path(__file__).parent
LUA = FOLDER.parent.parent.parent / "nginx-templates" / "lua"
LUAJIT = shutil.which("luajit") or "luajit"


def environment() -> dict[str, str]:
    return {**os.environ, "TIDEGATE_LUA": str(LUA), "LUA_PATH": f"{FOLDER}/?.lua;;"}


def run(file: str, *arguments: str) -> str:
    done = subprocess.run([LUAJIT, FOLDER / file, *arguments], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def collected() -> list[tuple[str, str]]:
    return [(file.name, name) for file in sorted(FOLDER.glob("*_test.lua")) for name in sorted(run(file.name).split())]


@pytest.mark.parametrize(
    ("file", "name"), [pytest.param(*pair, id=f"{pair[0][:-9]}-{pair[1]}") for pair in collected()]
)
def test_lua(file: str, name: str) -> None:
    run(file, name)


Process = subprocess.Popen[str]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@pytest.fixture(scope="module")
def membership() -> Iterator[Process]:
    """A process that answers whether an address is in a list of networks."""
    process = subprocess.Popen(
        [LUAJIT, FOLDER / "networks_lines.lua"],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    yield process
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    assert process.wait(10) == 0


def network4(number: int, length: int) -> Network:
    return ipaddress.IPv4Network((number, length), strict=False)


def network6(number: int, length: int) -> Network:
    return ipaddress.IPv6Network((number, length), strict=False)


networks = st.one_of(
    st.builds(network4, st.integers(0, 2**32 - 1), st.integers(0, 32)),
    st.builds(network6, st.integers(0, 2**128 - 1), st.integers(0, 128)),
    st.builds(network6, st.integers(0, 2**16).map(lambda low: (0x20010DB8 << 96) + low), st.integers(20, 128)),
)


@st.composite
def questions(draw: st.DrawFn) -> tuple[list[Network], list[Address]]:
    chosen = draw(st.lists(networks, min_size=1, max_size=5))
    addresses: list[Address] = []
    for network in chosen:  # inside, at the edges, just outside, and with one bit changed
        first, last, top = int(network[0]), int(network[-1]), 2**network.max_prefixlen - 1
        inside = draw(st.integers(first, last))
        flipped = inside ^ (1 << draw(st.integers(0, network.max_prefixlen - 1)))
        kind = type(network[0])
        addresses += [kind(number) for number in (first, last, inside, flipped, max(first - 1, 0), min(last + 1, top))]
    addresses.append(ipaddress.IPv4Address(draw(st.integers(0, 2**32 - 1))))
    return chosen, addresses


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(question=questions())
@example(question=([ipaddress.ip_network("0.0.0.0/0")], [ipaddress.ip_address("::1"), ipaddress.ip_address("1.2.3.4")]))
@example(question=([ipaddress.ip_network("::/0")], [ipaddress.ip_address("::1"), ipaddress.ip_address("1.2.3.4")]))
def test_membership_in_networks_agrees_with_python(
    membership: Process, question: tuple[list[Network], list[Address]]
) -> None:
    chosen, addresses = question
    assert membership.stdin is not None and membership.stdout is not None
    texts = ",".join(map(str, chosen))
    for address in addresses:
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        effective = mapped or address
        for packed in {address.packed, effective.packed}:
            membership.stdin.write(f"{packed.hex()} {texts}\n")
            wanted = any(effective in network for network in chosen if network.version == effective.version)
            assert membership.stdout.readline() == f"{int(wanted)}\n", (address, texts)
