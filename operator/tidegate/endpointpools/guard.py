"""Which addresses a pool may lead to: who may write endpoints could borrow Tidegate's place in the network.

Source of the rules: CVE-2021-25740. Pure. An address that hides another one (IPv4 in IPv6, NAT64, 6to4) is judged by
the one inside as well.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator

import msgspec

from tidegate.resources.checks import IPAddress

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_LOOPBACK = tuple(ipaddress.ip_network(text) for text in ("127.0.0.0/8", "::1/128"))
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_NOBODYS = tuple(
    (ipaddress.ip_network(text), what)
    for text, what in (
        ("0.0.0.0/8", "an unspecified address"),
        ("::/128", "an unspecified address"),
        ("169.254.0.0/16", "a link-local address, where clouds keep their metadata"),
        ("fe80::/10", "a link-local address"),
        ("224.0.0.0/4", "a multicast address"),
        ("ff00::/8", "a multicast address"),
        ("255.255.255.255/32", "a broadcast address"),
        ("100.100.100.200/32", "the metadata address of a cloud"),
        ("168.63.129.16/32", "the metadata address of a cloud"),
        ("192.0.0.192/32", "the metadata address of a cloud"),
        ("fd00:ec2::/32", "the metadata network of a cloud"),
        ("fd20:ce::254/128", "the metadata address of a cloud"),
    )
)


class Surroundings(msgspec.Struct, frozen=True):
    """What is around the controller, as far as it is known: networks and addresses in text form."""

    service_networks: frozenset[str] = frozenset()
    api_server: frozenset[str] = frozenset()
    controller: frozenset[str] = frozenset()


def parse_networks(texts: Iterable[str]) -> tuple[IPNetwork, ...]:
    """CIDRs. Raises ValueError with the one that is none."""
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text.strip()))
        except ValueError as error:
            raise ValueError(f"found {text!r}, allowed: networks such as 192.0.2.0/24 ({error})") from None
    return tuple(found)


def _addresses(texts: Iterable[str]) -> frozenset[IPAddress]:
    found = set()
    for text in texts:
        try:
            found.add(ipaddress.ip_address(text))
        except ValueError:
            continue
    return frozenset(found)


class Guard:
    """Says of an address why it is refused.

    `allowed` are the networks of `--endpoint-pool-allowed-cidrs`; none: all. Loopback is open only where `loopback`
    holds and one of them lies in it. `is_service` says whether an address is one of a Service, and is asked each time.
    """

    def __init__(
        self,
        allowed: tuple[IPNetwork, ...] = (),
        around: Surroundings = Surroundings(),  # noqa: B008 - immutable
        *,
        loopback: bool = False,
        is_service: Callable[[str], bool] = lambda address: False,
    ) -> None:
        self._allowed = allowed
        self._loopback = tuple(one for one in allowed if loopback and any(_within(one, other) for other in _LOOPBACK))
        self._may_open_loopback, self._is_service = loopback, is_service
        self.around = around
        self._networks = tuple(ipaddress.ip_network(text) for text in sorted(around.service_networks))
        self._known = (
            (_addresses(around.api_server), "an address of the API server"),
            (_addresses(around.controller), "an address of Tidegate itself"),
        )
        self._answers: dict[str, tuple[str, tuple[str, ...]]] = {}  # and what each address stands for

    def within(self, around: Surroundings) -> Guard:
        """The same rules in other surroundings."""
        return Guard(self._allowed, around, loopback=self._may_open_loopback, is_service=self._is_service)

    def refusal(self, address: str) -> str:
        """Why this address is refused, or the empty string."""
        answer = self._answers.get(address)
        if answer is None:
            answer = self._answers[address] = self._judge(address)
        reason, meanings = answer
        return reason or ("the address of a Service" if any(map(self._is_service, meanings)) else "")

    def _judge(self, text: str) -> tuple[str, tuple[str, ...]]:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return "no IP address", ()
        for one in _meanings(address):
            if reason := self._refusal(one):
                return reason, ()
        if self._allowed and not any(address in network for network in self._allowed):
            return "outside of --endpoint-pool-allowed-cidrs", ()
        return "", tuple(map(str, _meanings(address)))

    def _refusal(self, address: IPAddress) -> str:
        if any(address in network for network in _LOOPBACK):
            if any(address in network for network in self._loopback):
                return ""
            remedy = " (--endpoint-pool-allowed-cidrs may name it)" if self._may_open_loopback else ""
            return f"a loopback address{remedy}"
        for network, what in _NOBODYS:
            if address in network:
                return what
        for addresses, what in self._known:
            if address in addresses:
                return what
        if any(address in network for network in self._networks):
            return "in the address range of Services"
        return ""


def _within(inner: IPNetwork, outer: IPNetwork) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _meanings(address: IPAddress) -> Iterator[IPAddress]:
    """The address, and the IPv4 address that it stands for."""
    yield address
    if not isinstance(address, ipaddress.IPv6Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if any(address in network for network in (*_NAT64, _COMPATIBLE)) and int(address) > 1:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
