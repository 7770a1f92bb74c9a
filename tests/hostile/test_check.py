"""Each manifest of the corpus, and some too large or too odd for a file: a finding that names object, field and reason,
never an exception, and soon."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import hostile
import pytest
from tidegate.findings import Finding, Severity

SOON = 30.0  # seconds; the slowest, a million values, takes five on an idle machine
PREFIX = "nginx.ingress.kubernetes.io"


def ingress(name: str, *paths: str, **annotations: str) -> str:
    rules = [
        {
            "path": path,
            "pathType": "ImplementationSpecific",
            "backend": {"service": {"name": "a", "port": {"number": 80}}},
        }
        for path in paths
    ]
    given = {f"{PREFIX}/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return json.dumps(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": name, "namespace": "hostile", "annotations": given},
            "spec": {"rules": [{"host": "a.test", "http": {"paths": rules}}]},
        }
    )


def configmap(key: str, value: str) -> str:
    metadata = {"name": "config", "namespace": "hostile"}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {key: value}})


def check(path: Path) -> tuple[Finding, ...]:
    started = time.monotonic()
    found = hostile.findings(path)
    assert time.monotonic() - started < SOON
    for finding in found:
        for text in (str(finding.object), finding.field, finding.message, finding.place):
            assert text.isprintable(), text
            assert len(text) < 1500, f"{text[:200]} ..."
    return found


@pytest.mark.parametrize("file", hostile.files(), ids=lambda file: file.stem)
def test_a_hostile_manifest_gives_a_finding_that_names_object_field_and_reason(file: Path) -> None:
    wanted = hostile.expected(file)
    found = check(file)
    assert any(map(wanted.is_met_by, found)), found


def test_the_corpus_has_at_least_eighty_manifests() -> None:
    assert len(hostile.files()) >= 80


def test_all_of_the_corpus_at_once_gives_findings_about_as_many_files(tmp_path: Path) -> None:
    for file in hostile.files():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert len({finding.object for finding in check(tmp_path)}) > 150


MADE: dict[str, tuple[str, Callable[[], str | bytes], hostile.Expected]] = {
    "json with a comma too many": (
        "a.json",
        lambda: '{"apiVersion": "v1", "kind": "Service",}',
        hostile.Expected("File", "", "UnreadableFile", "error", "not JSON"),
    ),
    "json that is cut off": (
        "a.json",
        lambda: ingress("a", "/")[:-9],
        hostile.Expected("File", "", "UnreadableFile", "error", "not JSON"),
    ),
    "json with half of a surrogate pair": (
        "a.json",
        lambda: '{"kind": "\\ud800"}',
        hostile.Expected("File", "", "UnreadableFile", "error", "surrogate"),
    ),
    "json that is deeply nested": (
        "a.json",
        lambda: "[" * 200_000,
        hostile.Expected("File", "", "UnreadableFile", "error", "nested"),
    ),
    "a number of many digits": (
        "a.json",
        lambda: (
            '{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": %s}]}}'
            % ("9" * 4000)
        ),
        hostile.Expected("Service default/a", "spec.ports[0].port", "Invalid", "error", "a huge integer"),
    ),
    "a file behind a byte order mark": (
        "a.yaml",
        lambda: b"\xef\xbb\xbf" + ingress("a", "no-slash").encode(),
        hostile.Expected("Ingress hostile/a", ".path", "Invalid", "error", "must be an absolute path"),
    ),
    "half of a utf-16 file": (
        "a.yaml",
        lambda: "kind: Ingress".encode("utf-16")[:-1],
        hostile.Expected("File", "", "UnreadableFile", "error", "not UTF-16"),
    ),
    "a file that is too large": (
        "a.yaml",
        lambda: b"a" * (33 * 1024 * 1024),
        hostile.Expected("File", "", "UnreadableFile", "error", "larger than 32 MiB"),
    ),
    "a million values": (
        "a.yaml",
        lambda: "- a\n" * 1_100_000,
        hostile.Expected("File", "", "UnreadableFile", "error", "more than 1000000 values"),
    ),
    "a huge annotation": (
        "a.yaml",
        lambda: ingress("a", "/", server_alias="a" * 300_000),
        hostile.Expected("Ingress hostile/a", "metadata.annotations", "Invalid", "error", "Too long"),
    ),
    "a huge value": (
        "a.yaml",
        lambda: ingress("a", "/", proxy_body_size="9" * 200_000),
        hostile.Expected("Ingress hostile/a", "proxy-body-size", "InvalidValue", "warning", "9..."),
    ),
    "a huge allow list with one bad element": (
        "a.yaml",
        lambda: ingress("a", "/", whitelist_source_range="10.0.0.1," * 25_000 + "10.0.0.256"),
        hostile.Expected("Ingress hostile/a", "whitelist-source-range", "InvalidValue", "error", "'10.0.0.256'"),
    ),
    "ten thousand paths and one bad port": (
        "a.yaml",
        lambda: ingress("a", *(f"/path-{number}" for number in range(10_000)), proxy_body_size="x"),
        hostile.Expected("Ingress hostile/a", "proxy-body-size", "InvalidValue", "warning", "found 'x'"),
    ),
    "ten thousand bad paths": (
        "a.yaml",
        lambda: ingress("a", *(f"path-{number}" for number in range(10_000))),
        hostile.Expected("Ingress hostile/a", "", "Invalid", "error", "9980 more problems"),
    ),
    "a path that keeps the inspection busy": (
        "a.yaml",
        lambda: ingress("a", "/" + "alias " * 150_000, proxy_body_size="x"),
        hostile.Expected("Ingress hostile/a", "proxy-body-size", "InvalidValue", "warning", "found 'x'"),
    ),
    "a path that is inspected for long and refused": (
        "a.yaml",
        lambda: ingress("a", "/" + "root " * 150_000 + ";"),
        hostile.Expected("Ingress hostile/a", ".path", "Rejected", "error", "an attempt to reach files"),
    ),
    "a pattern that no engine compiles": (
        "a.yaml",
        lambda: ingress("a", "/" + "a|" * 400_000, use_regex="true"),
        hostile.Expected("Ingress hostile/a", ".path", "Rejected", "error", "longer than 8192 characters"),
    ),
    "a pattern of parentheses": (
        "a.yaml",
        lambda: ingress("a", "/" + "(" * 8000, use_regex="true"),
        hostile.Expected("Ingress hostile/a", ".path", "Rejected", "error", "not a valid regular expression"),
    ),
    "a log format that is longer than what nginx reads": (
        "a.yaml",
        lambda: configmap("log-format-upstream", "x" * 4097),
        hostile.Expected("ConfigMap hostile/config", "log-format-upstream", "InvalidValue", "warning", "at most 4000"),
    ),
    "a log format that quotes make too long": (
        "a.yaml",
        lambda: configmap("log-format-upstream", '"' * 2500),
        hostile.Expected("ConfigMap hostile/config", "log-format-upstream", "InvalidValue", "warning", "at most 4000"),
    ),
    "a cipher list without end": (
        "a.yaml",
        lambda: configmap("ssl-ciphers", "HIGH:" * 100_000 + "HIGH"),
        hostile.Expected("ConfigMap hostile/config", "ssl-ciphers", "InvalidValue", "warning", "found 'HIGH"),
    ),
    "a secret that is too large": (
        "a.yaml",
        lambda: json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "a"},
                "stringData": {"a": "x" * (1 << 20) + "y"},
            }
        ),
        hostile.Expected("Secret default/a", "data", "Invalid", "error", "Too long"),
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_what_is_too_large_for_the_corpus_is_found_as_well(name: str, tmp_path: Path) -> None:
    file, make, wanted = MADE[name]
    made = make()
    (tmp_path / file).write_bytes(made.encode() if isinstance(made, str) else made)
    found = check(tmp_path / file)
    assert any(map(wanted.is_met_by, found)), found


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "---\n...\n---\n", "null\n", "\ufeff"])
def test_a_file_that_says_nothing_is_fine(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert check(tmp_path) == ()


def test_a_folder_is_read_though_it_holds_no_file_that_can_be(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    (tmp_path / "b.yaml").symlink_to("b.yaml")
    (tmp_path / "c.yaml").symlink_to("/nowhere")
    (tmp_path / "d").symlink_to(tmp_path)
    (tmp_path / "e\n\x1b[31m.yaml").write_text("kind: [\n")
    (only,) = check(tmp_path)
    assert (only.severity, only.reason) == (Severity.ERROR, "UnreadableFile")


def test_two_files_with_one_object_are_both_named(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(ingress("a", "/"))
    (finding,) = [finding for finding in check(tmp_path) if finding.reason == "DuplicateObject"]
    assert all(name in f"{finding.message} {finding.place}" for name in ("a.yaml", "b.yaml"))
