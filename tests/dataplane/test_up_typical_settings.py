"""`tidegate up`: what typical manifests change never reloads, once each kind of policy was seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from up import Manifest, Up, configmap, ingress, running

HOST = "typical.test"
Variants = list[dict[str, str]]


def headers(number: int) -> Manifest:
    meta = {"name": f"headers-{number}", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"X-Number": str(number)}}


# What comes first in each row is there from the start; the others were never seen.
FAMILIES: dict[str, Variants] = {
    "permanent redirects": [
        {"permanent_redirect": f"https://else.test/{number}", "permanent_redirect_code": f"30{number % 3}"}
        for number in range(4)
    ],
    "temporal redirects": [{"temporal_redirect": f"https://else.test/{number}"} for number in range(4)],
    "redirects of a host": [
        {},
        {"from_to_www_redirect": "true"},
        {"app_root": "/start"},
        {"app_root": "/other"},
        {"force_ssl_redirect": "true"},
    ],
    "rewrites": [
        {"rewrite_target": f"/new{number}/$1", "use_regex": "true", "x_forwarded_prefix": f"/old{number}"}
        for number in range(4)
    ],
    "headers of answers": [{"custom_headers": f"default/headers-{number}"} for number in range(4)],
    "the name towards backends": [{"upstream_vhost": f"vhost{number}.test"} for number in range(4)],
    "other origins": [
        {
            "enable_cors": "true",
            "cors_allow_origin": f"https://app{number}.test",
            "cors_allow_methods": ("GET", "PUT, GET")[number % 2],
            "cors_allow_headers": f"X-Header-{number}",
            "cors_max_age": str(number),
        }
        for number in range(4)
    ],
    "auth URLs": [
        {
            "auth_url": f"http://127.0.0.1/check/{number}",
            "auth_signin": f"https://login.test/{number}",
            "auth_response_headers": "X-User",
        }
        for number in range(4)
    ],
    "allow lists": [{"whitelist_source_range": f"10.{number}.0.0/16,127.0.0.1"} for number in range(4)],
    "deny lists": [{"denylist_source_range": f"10.{number}.0.0/16"} for number in range(4)],
    "canaries": [
        {"canary": "true", "canary_weight": str(number), "canary_by_header": f"X-Canary-{number}"}
        for number in range(4)
    ],
    "affinity": [
        {"affinity": "cookie", "session_cookie_name": f"route{number}", "session_cookie_max_age": str(number)}
        for number in range(4)
    ],
    "balancing": [{"upstream_hash_by": f"$arg_a{number}"} for number in range(4)],
    "time-outs": [
        {"proxy_connect_timeout": str(5 + number), "proxy_read_timeout": str(60 + number), "proxy_send_timeout": "70"}
        for number in range(4)
    ],
    "body sizes of a small set": [{"proxy_body_size": size} for size in ("8m", "50m", "8192k", "51200k", "8m", "50m")],
}
WARM: dict[str, int] = {"body sizes of a small set": 2}  # how many of a row are there from the start; else one


def typical(name: str, host: str, variant: dict[str, str]) -> list[Manifest]:
    """An Ingress, and the one beside which a canary stands."""
    beside: list[Any] = [ingress(f"{name}-main", host)] if "canary" in variant else []
    return [*beside, ingress(name, host, **variant)]


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    """Each kind of policy is in use."""
    with running("--configmap", "default/settings") as (one, _):
        one.apply("headers", [headers(number) for number in range(4)])
        one.apply("settings", configmap(global_allowed_response_headers="X-Number"))
        items = [
            typical(f"warm-{row}-{place}", f"warm{row}-{place}.test", variant)
            for row, (name, variants) in enumerate(FAMILIES.items())
            for place, variant in enumerate(variants[: WARM.get(name, 1)])
        ]
        one.apply("warm", *items)
        yield one


@pytest.mark.parametrize("name", FAMILIES)
def test_a_change_of_typical_settings_never_reloads(up: Up, name: str) -> None:
    reloads = up.status()["reloads"]
    for variant in FAMILIES[name]:
        up.apply("typical", typical("typical", HOST, variant))
        row = up.ingress("typical")
        assert (row["state"], row["findings"]) == ("applied", [])
        assert up.get(HOST)[0] != 404
    assert up.status()["reloads"] == reloads


def test_many_of_them_in_one_ingress_are_one_policy(up: Up) -> None:
    """What has to be configuration is the same for all of them."""
    reloads = 0
    for number in range(4):
        data = {
            key: value
            for name in ("rewrites", "headers of answers", "other origins", "affinity", "time-outs")
            for key, value in FAMILIES[name][number].items()
        }
        guarded = {"whitelist_source_range": f"127.0.0.1,10.{number}.0.0/16"}
        guarded["proxy_body_size"] = ("8m", "8192k")[number % 2]
        up.apply("typical", typical("typical", HOST, {**data, **guarded}))
        assert up.ingress("typical")["findings"] == []
        reloads = reloads or up.status()["reloads"]
    assert up.status()["reloads"] == reloads
