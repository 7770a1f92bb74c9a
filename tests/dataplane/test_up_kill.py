"""`tidegate up` when something is killed under load: NGINX comes back by itself, and who returns takes over."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from dataplane import Reply, Request, Server, echo, until
from steadyload import Load
from tidegate.agent.orphans import is_alive
from up import Up, free_ports, ingress, running, service, tidegate

HOST = "shop.test"
FURTHER = ("fd74:6964::1/128", "dev", "lo")


@pytest.fixture
def up() -> Iterator[Up]:
    with running(manifests=lambda port: [ingress("shop", HOST)]) as (one, _):
        yield one


@contextmanager
def further_address() -> Iterator[None]:
    """An address that this machine did not have before, as each container that starts brings one."""
    subprocess.run(["ip", "addr", "add", *FURTHER], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "addr", "del", *FURTHER], check=True)


def test_a_killed_worker_is_replaced_and_costs_at_most_what_it_held(up: Up) -> None:
    before, master = up.all_workers(), up.master()
    victim = min(before)
    with Load(up, HOST) as load:
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(up.worker_pids() - {victim}) == 2)
        load.more()
    assert len(load.failures) <= 4, load.failures
    assert up.master() == master
    assert up.status()["reloads"] == 0


def test_all_workers_killed_at_once_come_back_with_the_state(up: Up) -> None:
    before, master = up.all_workers(), up.master()
    with Load(up, HOST) as load:
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(up.worker_pids() - before) == 2)
        load.more()
    assert len(load.failures) <= 20, load.failures
    assert up.master() == master
    up.apply("more", ingress("more", "more.test"))
    assert up.backend_of("more.test") == "echo"


def test_a_killed_master_is_replaced_with_data_from_the_state_file_and_its_orphans_go(up: Up) -> None:
    up.apply("more", ingress("more", "more.test"))  # in the log of the state file, not in its base
    before, master = up.all_workers(), up.master()
    with Load(up, HOST) as load:
        os.kill(master, signal.SIGKILL)
        until(lambda: not any(map(is_alive, before)))
        load.more()
    assert not load.failures
    assert up.master() != master
    assert up.backend_of("more.test") == "echo"
    up.apply("third", ingress("third", "third.test"))
    assert up.backend_of("third.test") == "echo"
    assert up.status()["reloads"] == 0
    assert up.ask_admin("/healthz")[0] == 200


def test_a_killed_agent_is_started_again_and_adopts_nginx(up: Up) -> None:
    before, master, agent = up.all_workers(), up.master(), up.agent()
    with Load(up, HOST) as load:
        os.kill(agent, signal.SIGKILL)
        until(lambda: up.ask_admin("/healthz")[0] == 200 and up.agent() != agent)
        load.more()
    assert not load.failures
    assert (up.worker_pids(), up.master()) == (before, master)
    status = up.apply("policy", ingress("policy", "policy.test", limit_rps="50"))
    assert status["reloads"] == 1
    assert up.backend_of("policy.test") == "echo"


def test_agent_and_master_killed_together_come_back(up: Up) -> None:
    before, master, agent = up.all_workers(), up.master(), up.agent()
    os.kill(agent, signal.SIGKILL)
    os.kill(master, signal.SIGKILL)
    until(lambda: not any(map(is_alive, before)) and len(up.worker_pids()) == 2, 40)
    assert up.backend_of(HOST) == "echo"
    up.apply("more", ingress("more", "more.test"))
    assert up.backend_of("more.test") == "echo"


def test_a_restarted_control_plane_takes_over_without_a_reload_or_a_failed_request(up: Up) -> None:
    up.apply("policy", ingress("policy", "policy.test", limit_rps="50"))
    workers, agent = up.all_workers(), up.agent()
    with Load(up, HOST) as load:
        up.kill()
        load.more()
        up.spawn()
        up.wait_ready()
        load.more()
        assert up.status()["reloads"] == 0
        assert (up.worker_pids(), up.agent()) == (workers, agent)
    assert not load.failures
    assert up.backend_of("policy.test") == "echo"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives this machine an address")
def test_addresses_that_come_to_the_machine_are_no_reason_to_reload_for_the_next_control_plane(up: Up) -> None:
    workers = up.worker_pids()
    up.kill()
    with further_address():
        up.spawn()
        up.wait_ready()
        assert up.status()["reloads"] == 0
        assert up.worker_pids() == workers
        up.apply("policy", ingress("policy", "policy.test", limit_rps="50"))
        assert up.backend_of("policy.test") == "echo"


def test_what_changed_while_the_control_plane_was_dead_is_applied_on_its_return(up: Up) -> None:
    up.apply("old", ingress("old", "old.test"))
    with Server("other") as other, Load(up, HOST) as load:
        up.kill()
        up.write("new", service("other", other.port), ingress("new", "new.test", backend="other", limit_rps="50"))
        (up.folder / "old.yaml").unlink()
        up.spawn()
        up.wait_ready()
        assert up.backend_of("new.test") == "other"
        assert up.get("old.test")[0] == 404
        assert up.status()["reloads"] == 1
        load.more()
    assert not load.failures


def test_control_plane_and_agent_killed_leave_an_nginx_that_the_next_run_adopts(up: Up) -> None:
    workers, agent = up.all_workers(), up.agent()
    with Load(up, HOST) as load:
        up.kill()
        os.kill(agent, signal.SIGKILL)
        load.more()
        up.spawn()
        up.wait_ready()
        assert up.worker_pids() == workers
        load.more()
    assert not load.failures
    assert up.status()["reloads"] == 0


def test_a_control_plane_killed_in_the_midst_of_reloads_is_followed_by_one_that_finds_its_way(up: Up) -> None:
    with Load(up, HOST) as load:
        for number in range(4):
            up.write("policy", ingress("policy", "policy.test", limit_rps=str(50 + number)))
            until(lambda: (up.run / "conf" / "candidate.conf").exists() or up.backend_of("policy.test") == "echo")
            up.kill()
            up.spawn()
            up.wait_ready()
            assert up.backend_of("policy.test") == "echo"
        load.more()
    assert not load.failures


def test_a_take_over_without_the_files_of_the_run_before_costs_a_reload_and_no_request(up: Up) -> None:
    up.apply("policy", ingress("policy", "policy.test", limit_rps="50"))
    with Load(up, HOST) as load:
        up.kill()
        for path in (up.run / "state").iterdir():
            path.unlink()
        up.spawn()
        up.wait_ready()
        load.more()
        assert up.status()["reloads"] == 1
    assert not load.failures
    up.apply("more", ingress("more", "more.test"))
    assert up.backend_of("policy.test") == up.backend_of("more.test") == "echo"


def test_a_take_over_with_other_options_brings_them_into_force(up: Up) -> None:
    up.kill()
    before = up.http
    up.http = free_ports(1)[0]
    up.workers = 1
    up.spawn()
    up.wait_ready()
    assert up.backend_of(HOST) == "echo"
    until(lambda: len(up.worker_pids()) == 1)
    up.http = before
    until(lambda: refused(up))
    assert up.status()["reloads"] == 1


def refused(up: Up) -> bool:
    try:
        up.get(HOST)
    except OSError:
        return True
    return False


def test_stop_ends_what_a_killed_control_plane_left(up: Up) -> None:
    up.kill()
    assert up.backend_of(HOST) == "echo"
    assert tidegate("up", "--stop", "--run-dir", up.run).returncode == 0
    assert up.nothing_left()
    again = tidegate("up", "--stop", "--run-dir", up.run)
    assert (again.returncode, "nothing runs" in again.stderr) == (1, True)


def test_stop_ends_an_nginx_that_has_no_agent_either(up: Up) -> None:
    agent = up.agent()
    up.kill()
    os.kill(agent, signal.SIGKILL)
    until(lambda: not is_alive(agent))
    assert tidegate("up", "--stop", "--run-dir", up.run).returncode == 0
    assert up.nothing_left()


def test_stop_ends_a_control_plane_that_lives(up: Up) -> None:
    assert tidegate("up", "--stop", "--run-dir", up.run).returncode == 0
    assert up.process is not None
    assert up.process.wait(20) == 0
    assert up.nothing_left()


def test_a_term_signal_ends_everything_after_the_requests_in_flight() -> None:
    arrived, go = threading.Event(), threading.Event()

    def slow(request: Request) -> Reply:
        if request.target == "/slow":
            arrived.set()
            go.wait(30)
        return echo(request)

    with Server("slow", slow) as server, Up() as up:
        up.start(service("slow", server.port), ingress("slow", HOST, backend="slow"))
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(up.get(HOST, "/slow")[0]))
        asking.start()
        assert arrived.wait(20)
        assert up.process is not None
        up.process.send_signal(signal.SIGTERM)
        until(lambda: not up.worker_pids())  # they drain
        assert up.process.poll() is None
        go.set()
        assert up.process.wait(30) == 0
        asking.join(20)
        assert answers == [200]
        assert up.nothing_left()


def test_a_later_run_in_the_same_directory_starts_afresh(up: Up) -> None:
    assert up.stop() == 0
    assert up.nothing_left()
    up.http, up.https = up.https, up.http  # also on other ports
    up.write("more", ingress("more", "more.test", limit_rps="50"))
    up.spawn()
    up.wait_ready()
    assert up.backend_of(HOST) == up.backend_of("more.test") == "echo"
