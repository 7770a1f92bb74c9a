"""Tools that drive ingress controllers, in a cluster with the webhook: what each creates, in its order, is let in and
served as it expects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from apiserver import ApiServer
from toolsequences import SEQUENCES
from toolworld import Cluster, toolworld


@pytest.fixture(scope="module")
def world(cluster: ApiServer) -> Iterator[Cluster]:
    with toolworld(cluster, "tidegate-tools") as one:
        yield one


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_what_tools_do_to_a_cluster_is_served_as_they_expect(
    world: Cluster, sequence: str, record_property: Callable[[str, object], None]
) -> None:
    for name, seconds in SEQUENCES[sequence](world).items():
        record_property(name, seconds)
        print(f"{name}: {seconds * 1000:.0f} ms")
