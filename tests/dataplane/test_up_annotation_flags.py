"""The flags that say which annotations count, and how strictly they are read."""

from __future__ import annotations

import pytest
from up import Manifest, ingress, running


def renamed(manifest: Manifest, prefix: str) -> Manifest:
    """With another prefix of its annotations."""
    rows = manifest["metadata"]["annotations"]
    rows = {f"{prefix}/{name.partition('/')[2]}": value for name, value in rows.items()}
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": rows}}


def test_annotations_prefix_says_which_annotations_count() -> None:
    usual = ingress("usual", "usual.test", permanent_redirect="http://elsewhere.test/")
    other = renamed(ingress("other", "other.test", permanent_redirect="http://elsewhere.test/"), "example.com")
    with running("--annotations-prefix", "example.com", manifests=lambda _: [usual, other]) as (up, _):
        assert up.get("usual.test")[0] == 200
        assert up.get("other.test")[0] == 301


@pytest.mark.parametrize("flag", ["--enable-annotation-validation=false", "--no-enable-annotation-validation"])
def test_without_validation_a_bad_value_only_loses_its_own_effect(flag: str) -> None:
    found = [
        ingress("plain", "plain.test", permanent_redirect="a b", upstream_vhost="inner.test"),
        ingress("guarded", "guarded.test", auth_url="http://a b/"),
        ingress("risky", "risky.test", configuration_snippet="return 200;"),
    ]
    with running(flag, manifests=lambda _: found) as (up, _):
        status, body = up.get("plain.test")
        assert (status, '["Host", "inner.test"]' in body) == (200, True)
        assert up.ingress("plain")["state"] == "degraded"
        assert up.get("guarded.test")[0] == 503  # what protects is never left open
        assert up.ingress("risky")["state"] == "rejected"  # the risk counts all the same


def test_with_validation_a_bad_value_rejects_its_ingress() -> None:
    found = [ingress("plain", "plain.test", permanent_redirect="a b", upstream_vhost="inner.test")]
    with running(manifests=lambda _: found) as (up, _):
        assert up.ingress("plain")["state"] == "rejected"
        assert up.get("plain.test")[0] == 404
