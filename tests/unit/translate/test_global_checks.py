"""Global settings that are valid, and that this NGINX or this machine cannot carry out."""

from __future__ import annotations

import pytest
from tidegate.findings import ObjectKey
from tidegate.resources.changes import Change
from tidegate.resources.model import ConfigMap, Metadata
from tidegate.store import Store
from tidegate.translate.engine import Translator
from tidegate.translate.options import NginxFacts, Options

KEY = ObjectKey("ConfigMap", "ns", "settings")


def translated(data: dict[str, str], facts: NginxFacts) -> Translator:
    store, translator = Store(), Translator(Options(configmap=KEY, nginx=facts))
    given = ConfigMap(Metadata("settings", "ns"), data)
    headers = ConfigMap(Metadata("headers", "ns"), {"X-A": "b"})
    translator.update(store, store.apply([Change(given.key, given), Change(headers.key, headers)]))
    return translator


@pytest.mark.parametrize(
    ("data", "facts", "reason"),
    [
        ({"enable-brotli": "true"}, NginxFacts(modules=()), "NginxLacks"),
        ({"add-headers": "ns/headers"}, NginxFacts(modules=()), "NginxLacks"),
        ({"debug-connections": "10.0.0.1"}, NginxFacts(debug=False), "NginxLacks"),
        ({"max-worker-open-files": "2000"}, NginxFacts(open_files=1000), "NoEffect"),
        ({"bind-address": "10.0.0.1"}, NginxFacts(wildcard=False), "NoEffect"),
        ({"enable-syslog": "true"}, NginxFacts(), "Incomplete"),
    ],
)
def test_what_cannot_be_carried_out_is_told_and_left_out(data: dict[str, str], facts: NginxFacts, reason: str) -> None:
    translator = translated(data, facts)
    (finding,) = translator.findings()
    assert (finding.object, finding.field, finding.reason) == (KEY, f"data[{next(iter(data))}]", reason)
    if reason == "NginxLacks":
        assert translator.globals == translated({}, facts).globals


@pytest.mark.parametrize("name", ["enable-brotli", "debug-connections"])
def test_nothing_is_said_where_nginx_can_do_it(name: str) -> None:
    text = {"enable-brotli": "true", "debug-connections": "10.0.0.1"}[name]
    assert translated({name: text}, NginxFacts()).findings() == ()
