"""The agent and the control plane as two users of one group, neither started by the other: as in a pod."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dataplane import Server, until
from otherusers import as_user, plain_environment, plain_program, python_of_others
from steadyload import Load
from up import START, Up, free_ports, ingress, service, tidegate

AGENT, CONTROL, GROUP = 20101, 20102, 20082
HOST = "shop.test"


class Pod:
    """One run directory with an agent and, as another user, `tidegate up --agent external`."""

    def __init__(self, server: Server) -> None:
        self.python = python_of_others()
        self.up = Up("--agent", "external")
        os.chown(self.up.base, AGENT, GROUP)
        self.up.base.chmod(0o3777)
        self.up.before, self.up.program = as_user(CONTROL, GROUP), plain_program(self.python)
        self.up.env = plain_environment(self.up.base)
        self.up.write("start", service("echo", server.port), ingress("shop", HOST, limit_rps="1000"))
        (self.health,) = free_ports(1)
        self.agent: subprocess.Popen[bytes] | None = None
        self.agent_log = self.up.base / "agent.log"

    def start_agent(self, *flags: str) -> None:
        more = ["--run-dir", str(self.up.run), "--shared", "--health-port", str(self.health), *flags]
        with self.agent_log.open("ab") as output:
            self.agent = subprocess.Popen(
                [*as_user(AGENT, GROUP), *plain_program(self.python), "agent", *more],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.up.env},
            )

    def start(self, *agent_flags: str) -> None:
        self.start_agent(*agent_flags)
        self.up.spawn()
        self.up.wait_ready()

    def said(self) -> str:
        """What the agent's container would show."""
        return self.agent_log.read_text(errors="replace") if self.agent_log.exists() else ""

    def probe(self, path: str) -> int:
        """What the agent answers to a probe; 0 for nothing."""
        connection = http.client.HTTPConnection("127.0.0.1", self.health, timeout=5)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().status
        return 0

    def kill_container(self) -> None:
        """The agent and its NGINX at once, as when process 1 of a container dies."""
        assert self.agent is not None
        pids = [one.pid for one in self.up.nginx()]
        self.agent.kill()
        self.agent.wait()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not self.up.nginx())

    def close(self) -> None:
        if self.agent is not None and self.agent.poll() is None:
            self.agent.kill()
            self.agent.wait()
        print(self.said()[-4000:])


@pytest.fixture
def pod() -> Iterator[Pod]:
    with Server("echo") as server:
        one = Pod(server)
        with one.up:
            try:
                yield one
            finally:
                one.close()


@pytest.mark.parametrize("agent_first", [True, False])
def test_either_may_start_first(pod: Pod, agent_first: bool) -> None:
    if agent_first:
        pod.start_agent()
        until(lambda: pod.probe("/healthz") == 200, START, pod.said())
        assert pod.probe("/readyz") == 503  # NGINX has nothing to serve yet
        pod.up.spawn()
    else:
        pod.up.spawn()
        until(lambda: "waiting for the agent" in pod.up.said(), START)
        assert pod.up.ask_admin("/livez")[0] == 200
        assert pod.up.ask_admin("/healthz")[0] == 500
        pod.start_agent()
    pod.up.wait_ready()
    assert pod.up.backend_of(HOST) == "echo"
    assert (pod.probe("/healthz"), pod.probe("/readyz")) == (200, 200)


def test_each_has_what_is_its_own_and_others_have_nothing(pod: Pod) -> None:
    pod.start()
    entries = {path.name: path.lstat() for path in pod.up.run.iterdir()}
    owners = {name: entry.st_uid for name, entry in entries.items()}
    own = {"control.lock", "state", "streams", "tls", "users"}
    assert {name for name, owner in owners.items() if owner == CONTROL} == own
    assert set(owners.values()) == {AGENT, CONTROL}
    assert pod.up.run.stat().st_mode & stat.S_ISVTX  # neither can take the other's entries away
    folders = [entry for entry in entries.values() if stat.S_ISDIR(entry.st_mode)]
    assert all(entry.st_mode & 0o027 == 0 for entry in folders)
    assert pod.up.run.stat().st_mode & 0o007 == 0
    keys = (pod.up.run / "tls" / "default.pem", *(pod.up.run / "state").iterdir())
    assert all(path.stat().st_mode & 0o027 == 0 for path in keys)
    assert {Path(f"/proc/{pid}").stat().st_uid for pid in pod.up.worker_pids()} == {AGENT}


def test_a_new_nginx_container_serves_the_last_state_by_itself(pod: Pod) -> None:
    pod.start()
    pod.up.apply("more", ingress("more", "more.test"))
    pod.up.kill()
    pod.kill_container()
    pod.start_agent()
    until(lambda: pod.probe("/readyz") == 200, START, pod.said())
    assert pod.up.backend_of("more.test") == "echo"


def test_the_control_plane_goes_on_with_a_new_nginx_container(pod: Pod) -> None:
    pod.start()
    pod.kill_container()
    pod.start_agent()
    until(lambda: pod.probe("/readyz") == 200, START, pod.said())
    pod.up.apply("more", ingress("more", "more.test", limit_rps="2000"))
    assert pod.up.backend_of("more.test") == "echo"
    until(lambda: pod.up.ask_admin("/healthz")[0] == 200)


def test_a_new_control_plane_container_takes_over_without_a_reload_or_a_failed_request(pod: Pod) -> None:
    pod.start()
    workers = pod.up.all_workers()
    with Load(pod.up, HOST) as load:
        pod.up.kill()
        pod.up.spawn()
        pod.up.wait_ready()
        load.more()
        assert pod.up.stop() == 0  # nor does a clean end of it touch NGINX
        load.more()
        pod.up.spawn()
        pod.up.wait_ready()
        load.more()
    assert not load.failures
    assert pod.up.worker_pids() == workers
    assert pod.up.status()["reloads"] == 0


def test_after_a_signal_the_agent_serves_on_with_fresh_routes_until_its_grace_period_is_over(pod: Pod) -> None:
    pod.start("--shutdown-grace-period", "6")
    assert pod.agent is not None
    with Load(pod.up, HOST) as load:
        pod.agent.terminate()
        until(lambda: pod.probe("/readyz") == 503)
        assert pod.probe("/healthz") == 200
        pod.up.apply("more", ingress("more", "more.test"))
        assert pod.up.backend_of("more.test") == "echo"
        load.more()
    assert not load.failures
    assert pod.agent.wait(START) == 0
    assert not pod.up.nginx()


def test_a_second_signal_ends_the_agent_without_the_grace_period(pod: Pod) -> None:
    pod.start("--shutdown-grace-period", "3600")
    assert pod.agent is not None
    pod.agent.terminate()
    until(lambda: pod.probe("/readyz") == 503)
    pod.agent.terminate()
    assert pod.agent.wait(START) == 0


def test_the_agent_shows_what_nginx_says(pod: Pod) -> None:
    pod.start()
    pod.up.apply("broken", service("gone", 1), ingress("broken", "broken.test", backend="gone"))
    assert pod.up.backend_of("broken.test") == "502"
    until(lambda: "connect() failed" in pod.said())


def test_root_shares_no_run_directory(pod: Pod) -> None:
    found = tidegate("agent", "--run-dir", pod.up.run, "--shared")
    assert found.returncode == 1
    assert "ordinary user" in found.stderr, found.stderr
