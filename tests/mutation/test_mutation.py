"""What `make mutation` stands on: a setting that is ignored, and the tests that mention it."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import Any

import yaml
from mentions import Mentions, all_settings, mark, mentioned, named_in
from mutate import hooked, unseen

PROGRAM = """
from tidegate.resources.model import ConfigMap, Ingress, Metadata
from tidegate.settings import annotations as ann, configmap as cm
from tidegate.settings.global_settings import read_configmap
from tidegate.settings.ingress_settings import resolve

def values(annotations, data={}):
    globals_, about_data = read_configmap(ConfigMap(Metadata("settings", "default"), data))
    written = {f"nginx.example/{name}": text for name, text in annotations.items()}
    found = resolve(Ingress(Metadata("web", "shop", annotations=written)), globals_, "nginx.example")
    limits = found.get(ann.LIMIT_RPS), found.get(ann.LIMIT_RPM), found.is_set(ann.ALLOWLIST_SOURCE_RANGE)
    return *limits, globals_.get(cm.GZIP_LEVEL), len(found.findings) + len(about_data)

limits = {"limit-rps": "5", "limit-rpm": "7"}
print(values(limits, {"gzip-level": "7"}))
print(values({"limit-rps": "bad", "allowlist-source-range": "10.0.0.0/8"}, {"gzip-level": "bad"}))
print(values({"whitelist-source-range": "10.0.0.0/8"}))
limits["tidegate-test-ignored"] = "limit-rpm"
print(values(limits, {"gzip-level": "7", "tidegate-test-ignored": "gzip-level"}))
"""


def values(ignored: str = "") -> list[tuple[int, int, bool, int, int]]:
    """limit-rps, limit-rpm, whether there is an allow list, gzip-level, how many findings; with a setting ignored."""
    command = [sys.executable, "-c", PROGRAM]
    said = subprocess.run(command, env=hooked(ignored), capture_output=True, text=True, check=True).stdout
    return [ast.literal_eval(line) for line in said.splitlines()]


PLAIN = [(5, 7, False, 7, 0), (0, 0, True, 1, 2), (0, 0, True, 1, 0), (5, 0, False, 1, 0)]


def test_nothing_is_ignored_but_what_an_object_names() -> None:
    assert values() == PLAIN


def test_an_ignored_annotation_leaves_its_default_and_all_else_as_it_is() -> None:
    assert values("annotation/limit-rps") == [(0, 7, False, 7, 0), *PLAIN[1:]]


def test_an_ignored_key_leaves_its_default_and_all_else_as_it_is() -> None:
    assert values("configmap/gzip-level") == [(5, 7, False, 1, 0), *PLAIN[1:]]


def test_several_settings_are_ignored_together() -> None:
    assert values("annotation/limit-rps,annotation/limit-rpm,configmap/gzip-level")[0] == (0, 0, False, 1, 0)


def test_an_alias_is_ignored_alone() -> None:
    assert [allowed for _, _, allowed, _, _ in values("annotation/whitelist-source-range")][1:3] == [True, False]


CASE = """
configmap: {hsts: "false"}
ingresses:
  - {annotations: {limit-rps: 2, nginx.ingress.kubernetes.io/limit-rpm: 3}}
  - {annotations: {limit-rpm: 3}}
steps:
  - {apply: {ingress: {annotations: {limit-rps: 3}}}}
  - {configmap: {gzip-level: "3"}}
"""


def test_a_case_names_its_settings_and_is_marked_where_it_sets_one() -> None:
    case: dict[str, Any] = yaml.safe_load(CASE)
    settings = {"configmap/hsts", "configmap/gzip-level", "annotation/limit-rps", "annotation/limit-rpm"}
    assert set(named_in(case)) == settings
    rps = mark(yaml.safe_load(CASE), "annotation/limit-rps")
    assert [one["annotations"].get("tidegate-test-ignored") for one in rps["ingresses"]] == ["limit-rps", None]
    assert rps["steps"][0]["apply"]["ingress"]["annotations"]["tidegate-test-ignored"] == "limit-rps"
    rpm = mark(yaml.safe_load(CASE), "annotation/limit-rpm")
    assert rpm["ingresses"][0]["annotations"]["nginx.ingress.kubernetes.io/tidegate-test-ignored"] == "limit-rpm"
    hsts = mark(yaml.safe_load(CASE), "configmap/hsts")
    assert hsts["configmap"] == {"hsts": "false", "tidegate-test-ignored": "hsts"}
    assert hsts["steps"] == case["steps"] and hsts["ingresses"] == case["ingresses"]


def test_code_names_a_setting_as_a_text_or_as_an_argument() -> None:
    settings = {"annotation/limit-rps", "annotation/limit-rpm", "configmap/gzip-level"}
    assert mentioned('ingress("a", limit_rps="5"), {"gzip-level": "5"}', settings) == settings - {
        "annotation/limit-rpm"
    }
    assert mentioned('ingress("a", limit_rps_more="5", no_limit_rps="5")', settings) == set()


def test_each_setting_is_mentioned_by_a_test_on_a_real_nginx_or_has_a_reason() -> None:
    found = Mentions(all_settings())
    assert [one for one in all_settings() if not found.of(one) and one not in unseen()] == []


def test_reasons_are_given_for_settings_that_exist() -> None:
    assert [one for one in unseen() if one not in all_settings()] == []
    assert [one for one, reason in unseen().items() if not reason] == []
