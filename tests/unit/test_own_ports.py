"""TCP and UDP services never lead to the ports of this pod itself."""

from __future__ import annotations

import pytest
from tidegate.apply.own import own_ports, without_own
from tidegate.model import Endpoint, Listener, Passthrough, Stream
from tidegate.render.runtime import OwnPorts

OWN = OwnPorts(("127.0.0.0/8", "0.0.0.0/32", "10.244.0.7/32", "::1/128"), (10254, 8443))


def stream(*endpoints: Endpoint) -> Stream:
    return Stream(Listener("tcp", 9000), "shop/db:9000", endpoints)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "10.244.0.7", "[::1]", "[::ffff:127.0.0.1]"])
def test_own_ports_are_left_out(address: str) -> None:
    good = (Endpoint("10.244.0.8", 10254), Endpoint(address, 5432))
    assert without_own(stream(*good, Endpoint(address, 10254)), OWN).endpoints == good
    assert without_own(Passthrough("a.test", "shop/a", (Endpoint(address, 8443),)), OWN).endpoints == ()


def test_what_leads_elsewhere_is_the_very_same() -> None:
    target = stream(Endpoint("10.244.0.7", 5432))
    assert without_own(target, OWN) is target
    assert without_own(target, None) is target


def test_the_addresses_of_this_machine_are_found() -> None:
    found = own_ports(10254, 8443, 10254)
    assert {"127.0.0.0/8", "127.0.0.1/32", "::1/128"} <= set(found.networks)
    assert found.ports == (8443, 10254)
