"""The corpus against one real `tidegate up`: whatever is dropped into the folder, an innocent Ingress is served all the
time, NGINX's configuration keeps its shape, no answer has a header that a manifest made up, no guarded path opens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostile
import pytest
from hostile import CORPUS
from prometheus_client.parser import text_string_to_metric_families
from served import Answer, Up, Visitor, until, up
from shape import BAD_LOG, check_configuration

SLOW = 5.0  # seconds; an innocent request takes a few milliseconds
LIVE = [file for file in hostile.files() if hostile.expected(file).live]


@pytest.fixture(scope="module")
def served() -> Iterator[Up]:
    with up() as one:
        one.settle()
        yield one


def own_headers(answer: Answer) -> None:
    """No manifest has made up a header, or a part of one."""
    assert not re.search("inject|evil", str(answer.headers), re.IGNORECASE), answer


def try_routes(served: Up, wanted: hostile.Expected) -> None:
    for host, path in wanted.guarded:
        answer = served.ask(host, path)
        assert answer.status != 200, f"{host}{path} is open: {answer}"
        own_headers(answer)
    for host, path in wanted.ask:
        answer = served.ask(host, path)
        assert answer.seconds < SLOW, answer
        own_headers(answer)


def check_everything(served: Up, visitor: Visitor, files: list[Path]) -> None:
    for file in files:
        try_routes(served, hostile.expected(file))
    check_configuration(served.run / "conf/nginx.conf")
    log = served.errors()
    assert not BAD_LOG.search(log), [line for line in log.splitlines() if BAD_LOG.search(line)][:5]
    assert "Traceback" not in served.output(), served.output()[-3000:]
    assert not visitor.wrong, visitor.wrong[:5]
    assert visitor.requests > 0
    assert visitor.slowest < SLOW


def test_hostile_manifests_one_after_another_touch_nobody_else(served: Up, visitor: Visitor) -> None:
    for file in LIVE:
        wanted = hostile.expected(file)
        served.put(file.name, file.read_bytes())

        def found(wanted: hostile.Expected = wanted) -> bool:
            return any(
                row["reason"] == wanted.reason
                and wanted.field in row["field"]
                and wanted.says in row["message"]
                and _named(row["object"]).startswith(wanted.object)
                for row in served.findings()
            )

        until(found, f"the finding about {file.name}")
        try_routes(served, wanted)
        if "ConfigMap" in wanted.object or wanted.object.startswith("Secret"):
            served.remove(file.name)  # the next one of that name would be a duplicate
    served.settle()
    check_everything(served, visitor, LIVE)


def _named(key: Any) -> str:
    kind, namespace, name = key if isinstance(key, list) else (key["kind"], key["namespace"], key["name"])
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def test_hostile_manifests_all_at_once_touch_nobody_else(served: Up, visitor: Visitor) -> None:
    for file in LIVE:
        (served.folder / file.name).unlink(missing_ok=True)
    served.settle()
    for file in LIVE:
        served.put(file.name, file.read_bytes())
    served.settle()
    check_everything(served, visitor, LIVE)


def test_what_is_said_about_them_is_still_json_and_metrics(served: Up, visitor: Visitor) -> None:
    for path in ("ingresses", "routes", "backends", "certificates", "policies", "findings", "changes", "status"):
        served.admin(f"/api/v1/{path}")
    families = list(text_string_to_metric_families(served.admin("/metrics", raw=True).decode()))
    assert {"nginx_ingress_controller_requests"} <= {family.name for family in families}


def test_a_pattern_that_takes_for_ever_ends_soon_and_holds_nobody_up(served: Up, visitor: Visitor) -> None:
    served.put("bomb.yaml", (CORPUS / "a-pattern-that-takes-for-ever.yaml").read_bytes())
    served.settle()
    visitor.slowest = 0.0
    for length in (10, 30, 1000, 7000):
        answer = served.ask("bomb.hostile.test", "/" + "a" * length + "!")
        assert answer.status in (404, 500)
        assert answer.seconds < SLOW
    assert visitor.slowest < SLOW
    assert not visitor.wrong


def test_when_they_are_gone_nothing_of_them_is_left(served: Up, visitor: Visitor) -> None:
    for file in served.folder.iterdir():
        if not file.name.startswith("0-"):
            file.unlink()
    hosts = {"innocent.test"}
    until(lambda: {row["host"] for row in served.admin("/api/v1/routes")} == hosts, "no other host is left")
    until(lambda: not [row for row in served.findings() if "hostile" in str(row)], "nothing is said about them")
    served.settle()
    for file in LIVE:
        for host, path in hostile.expected(file).ask:
            assert served.ask(host, path).status == 404


def test_it_starts_with_all_of_them_there() -> None:
    with up() as one:
        for file in LIVE:
            one.put(file.name, file.read_bytes())
        one.settle()
        assert one.ask("innocent.test", "/").status == 200
    with up(configmap=(CORPUS / "ciphers-that-nobody-knows.yaml").read_text()) as one:
        assert one.ask("innocent.test", "/").status == 200
