"""The black-box cases against `tidegate up` with a real NGINX: one test for each case.

A group is a set of cases that one controller, started with certain flags, has to pass. Its controller and the runner
(`run.py`) run once, with just the cases that were asked for; each test then looks up its own case in the result.
So the tests of this file belong into one worker of pytest-xdist: `--dist=loadfile`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from judging import CASES, Found, judge, lay_out, read_result, tail

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "dataplane"))
from claims import claim, free_row  # noqa: E402

PROJECT = HERE.parent.parent
TIDEGATE = Path(sys.executable).with_name("tidegate")
RESULTS = PROJECT / ".cache" / "conformance"
NEWER_NGINX = PROJECT / "scripts" / "nginx-trixie"
START_SECONDS = 60
RUNNER_SECONDS = 1200
TCP_SERVICES, UDP_SERVICES = "ingress-nginx/tcp-services", "ingress-nginx/udp-services"
DNS_PORT = 10053  # above 1023: needs no root


@dataclass(frozen=True)
class Group:
    """A controller with certain flags, and the areas of cases that it has to pass."""

    name: str
    areas: tuple[str, ...]
    also: Path | None = None  # a file with more cases, one area/name a line
    flags: tuple[str, ...] = ()
    runner: tuple[str, ...] = ()
    jobs: int = 4
    newer: bool = False  # on the NGINX of Debian 13 instead of this machine's
    names: tuple[str, ...] = ()  # cases by area/name

    def cases(self) -> list[str]:
        found = list(self.names)
        found += [f"{area}/{path.stem}" for area in self.areas for path in sorted((CASES / area).glob("*.yaml"))]
        return found + [name for name in (listed(self.also) if self.also else []) if name not in found]


def listed(path: Path) -> list[str]:
    lines = (line.split("#", 1)[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


GROUPS = {
    group.name: group
    for group in (
        Group(
            name="main",
            areas=(
                "routing",
                "rewrite",
                "redirect",
                "services",
                "class",
                "balancing",
                "affinity",
                "canary",
                "limits",
                "access",
                "errors",
                "headers",
                "stream",
                "timeouts",
            ),
            also=HERE / "also.txt",
        ),
        Group(name="single", areas=(), also=HERE / "single.txt", flags=("--workers", "1")),
        Group(name="newer", areas=(), also=HERE / "newer.txt", newer=True),
        Group(
            name="passthrough",
            areas=(),
            flags=("--enable-ssl-passthrough",),
            runner=("--have", "flag:enable-ssl-passthrough"),
            names=(
                "flags/ssl-passthrough",
                "flags/ssl-passthrough-client-address",
                "flags/ssl-passthrough-proxy-protocol",
            ),
        ),
        Group(
            name="default-backend",
            areas=(),
            flags=("--default-backend-service", "bb-flag/pages"),
            runner=("--have", "flag:default-backend-service=bb-flag/pages"),
            names=("flags/default-backend-service",),
        ),
        Group(
            name="strict",
            areas=(),
            flags=(
                "--disable-catch-all",
                "--disable-svc-external-name",
                "--metrics-per-undefined-host",
                "--exclude-socket-metrics=request_size,nginx_ingress_controller_header_duration_seconds,nonsense",
            ),
            runner=(
                "--have",
                "flag:disable-catch-all,flag:disable-svc-external-name,flag:metrics-per-undefined-host,"
                "flag:exclude-socket-metrics",
            ),
            names=(
                "flags/disable-catch-all-update",
                "flags/disable-svc-external-name",
                "flags/exclude-socket-metrics",
                "flags/metrics-per-undefined-host",
            ),
        ),
    )
}
EXPECTED_FAILURES: dict[str, str] = yaml.safe_load((HERE / "expected_failures.yaml").read_text()) or {}


def parameters() -> Iterator[object]:
    for group in GROUPS.values():
        for case in group.cases():
            yield pytest.param(group.name, case, id=f"{case}-newer" if group.newer else case)


def free_ports() -> tuple[int, int, int]:
    """HTTP, HTTPS and admin port. The cases take a few ports above these for TCP and UDP services."""
    http, https, admin, *_ = free_row(20)
    return http, https, admin


def free_network() -> str:
    """A /24 of the loopback range for the backends of one run, so that several can go on side by side."""
    return f"127.{claim('network', range(18, 120))}.0.0/24"


class Controller:
    """`tidegate up` on an empty folder; `stop` ends it and everything that it started."""

    def __init__(self, group: Group, network: str, folder: Path, log: Path, env: dict[str, str] | None = None):
        self.http, self.https, self.admin = free_ports()
        self.manifests = folder / "manifests"
        self.manifests.mkdir()
        self.run_dir = folder / "run"
        self.log = log
        resolver = f"{network.rsplit('.', 1)[0]}.20:{DNS_PORT}"
        command = [
            str(TIDEGATE),
            "up",
            str(self.manifests),
            "--http-address",
            "127.0.0.1",
            "--http-port",
            str(self.http),
            "--https-port",
            str(self.https),
            "--healthz-host",
            "127.0.0.1",
            "--healthz-port",
            str(self.admin),
            "--ingress-class",
            "nginx",
            "--configmap",
            "ingress-nginx/ingress-nginx-controller",
            "--tcp-services-configmap",
            TCP_SERVICES,
            "--udp-services-configmap",
            UDP_SERVICES,
            "--resolver",
            resolver,
            "--run-dir",
            str(self.run_dir),
            *(("--nginx-binary", str(NEWER_NGINX)) if group.newer else ()),
            *group.flags,
        ]
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=env,
            )

    def wait_until_ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"tidegate up ended with status {self.process.returncode}:\n{tail(self.log)}")
            with contextlib.suppress(OSError, urllib.error.URLError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=2).close()
                return
            time.sleep(0.1)
        raise RuntimeError(f"tidegate up was not ready after {START_SECONDS} s:\n{tail(self.log)}")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        if self.process.returncode != 0:  # it may have left its NGINX behind
            command = [str(TIDEGATE), "up", str(self.manifests), "--run-dir", str(self.run_dir), "--stop"]
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)


def run_cases(
    group: Group, wanted: list[str], *, cases: Path = CASES, results: Path = RESULTS, env: dict[str, str] | None = None
) -> Found:
    """Runs the wanted cases of a group.

    `cases` is the folder that has them, `results` the one that logs go to, `env` the environment of the controller.
    """
    results.mkdir(parents=True, exist_ok=True)
    result_file, log = results / f"{group.name}.json", results / f"{group.name}-controller.log"
    output = results / f"{group.name}-runner.log"
    result_file.unlink(missing_ok=True)
    # A short path: the run directory holds Unix sockets.
    folder = Path(tempfile.mkdtemp(prefix="tg-"))
    laid = lay_out(wanted, folder / "cases", cases)
    network = free_network()
    controller = Controller(group, network, folder, log, env)
    try:
        controller.wait_until_ready()
        command = [
            sys.executable,
            str(HERE / "run.py"),
            "--target",
            f"dir:{controller.manifests}",
            "--http",
            f"127.0.0.1:{controller.http}",
            "--https",
            f"127.0.0.1:{controller.https}",
            "--metrics",
            f"127.0.0.1:{controller.admin}",
            "--healthz",
            f"127.0.0.1:{controller.admin}",
            "--configmap",
            "ingress-nginx/ingress-nginx-controller",
            "--tcp-configmap",
            TCP_SERVICES,
            "--udp-configmap",
            UDP_SERVICES,
            "--access-log",
            str(controller.run_dir / "logs" / "access.log"),
            "--lack",
            "log-dir",  # which would be /var/log/nginx
            "--ingress-class",
            "nginx",
            "--backend-net",
            network,
            "--dns-port",
            str(DNS_PORT),
            "--cases",
            str(laid),
            "--jobs",
            str(group.jobs),
            "--hopeless",
            ",".join(EXPECTED_FAILURES),
            "--json",
            str(result_file),
            *group.runner,
        ]
        with output.open("w") as stream:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                timeout=RUNNER_SECONDS,
                check=False,
            )
        if controller.process.poll() is not None:
            raise RuntimeError(f"tidegate up ended while the cases ran:\n{tail(log)}")
    finally:
        controller.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return read_result(result_file, output)


@functools.lru_cache
def missing_nginx() -> str:
    """Why there is no newer NGINX here; empty when there is one."""
    made = subprocess.run([PROJECT / "scripts/trixie-rootfs.sh"], capture_output=True, text=True)
    return made.stderr.strip()[-300:] if made.returncode else ""


@pytest.fixture(scope="session")
def outcome(request: pytest.FixtureRequest) -> object:
    """A function: group name -> what became of the selected cases of that group."""
    done: dict[str, Found | Exception] = {}

    def look_up(name: str) -> Found:
        if GROUPS[name].newer and (reason := missing_nginx()):
            pytest.skip(f"the root file system of Debian 13 could not be made: {reason}")
        if name not in done:
            selected = [
                item.callspec.params["case"]
                for item in request.session.items
                if getattr(item, "originalname", "") == "test_case" and item.callspec.params.get("group") == name
            ]
            try:
                done[name] = run_cases(GROUPS[name], selected)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                done[name] = error
        found = done[name]
        if isinstance(found, Exception):
            pytest.fail(f"the cases could not be run: {found}", pytrace=False)
        return found

    return look_up


@pytest.mark.parametrize(("group", "case"), list(parameters()))
def test_case(group: str, case: str, outcome) -> None:
    judge(case, outcome(group), EXPECTED_FAILURES)


def test_lists_name_cases_that_are_run() -> None:
    run = [case for group in GROUPS.values() if not group.newer for case in group.cases()]
    assert len(run) == len(set(run)), "a case is run twice"
    assert set(GROUPS["newer"].cases()) <= set(run), "a case is run on the newer NGINX alone"
    assert [case for case in run if not (CASES / f"{case}.yaml").exists()] == []
    assert [case for case in EXPECTED_FAILURES if case not in run] == []
    assert [case for case, reason in EXPECTED_FAILURES.items() if not reason] == []
