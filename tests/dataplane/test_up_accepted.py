"""`tidegate up`: the last accepted revision of an Ingress outlives a restart of everything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from up import Up, ingress, running

REJECTED = "/etc/passwd"  # a path that deep inspection refuses


@pytest.fixture
def up() -> Iterator[Up]:
    with running() as (one, _):
        yield one


def restart(up: Up) -> None:
    assert up.stop() == 0
    up.spawn()
    up.wait_ready()


def test_a_rejected_update_leaves_the_old_revision_served_also_after_a_restart(up: Up) -> None:
    up.apply("shop", ingress("shop", "shop.test", "/old"))
    up.apply("shop", ingress("shop", "shop.test", REJECTED))
    for _ in range(2):
        assert (up.backend_of("shop.test", "/old"), up.get("shop.test", "/other")[0]) == ("echo", 404)
        row = up.ingress("shop")
        assert row["state"] == "rejected"
        assert row["servedGeneration"] == 1
        restart(up)


def test_a_rejected_update_that_changes_a_security_setting_closes_exactly_its_paths(up: Up) -> None:
    up.apply("wide", ingress("wide", "shop.test", "/"))
    up.apply("shop", ingress("shop", "shop.test", "/old"))
    up.apply("shop", ingress("shop", "shop.test", REJECTED, whitelist_source_range="10.0.0.0/8"))
    for _ in range(2):
        answers = {path: up.get("shop.test", path)[0] for path in ("/old", "/old/x", REJECTED, "/", "/older")}
        assert answers == {"/old": 503, "/old/x": 503, REJECTED: 503, "/": 200, "/older": 200}
        row = up.ingress("shop")
        assert (row["state"], row["servedGeneration"]) == ("rejected", 0)
        restart(up)


def test_an_ingress_that_is_deleted_while_nobody_looks_is_not_gone_back_to(up: Up) -> None:
    up.apply("shop", ingress("shop", "shop.test", "/old"))
    assert up.stop() == 0
    (up.folder / "shop.yaml").unlink()
    up.spawn()
    up.wait_ready()
    up.apply("shop", ingress("shop", "shop.test", REJECTED))
    assert up.get("shop.test", "/old")[0] == 404
    assert up.ingress("shop")["state"] == "rejected"
