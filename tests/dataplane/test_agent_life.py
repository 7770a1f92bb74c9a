"""The agent: deaths of every kind under load, adoption, orphans, stale sockets, and a clean end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from agent_conf import Load, Site, eventually
from agent_conf import site as new_site
from tidegate.agent.client import AgentUnavailableError
from tidegate.agent.orphans import Role, is_alive
from tidegate.agent.protocol import AgentState, AgentStatus


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async with new_site() as one:
        await one.spawn()
        yield one


async def settled(site: Site, workers: int = 2) -> AgentStatus:
    """The status once NGINX runs with its workers and nothing drains."""

    async def quiet() -> AgentStatus | None:
        status = await site.client.status()
        calm = status.running and len(status.workers) == workers and status.old_generations == 0
        return status if calm and all(one.generation == status.generation for one in status.workers) else None

    return await eventually(quiet)


async def test_killed_worker_is_replaced(site: Site) -> None:
    await site.applied(1)
    before = await settled(site)
    victim = before.workers[0].pid
    async with Load(site) as load:
        await load.more()
        os.kill(victim, signal.SIGKILL)
        await eventually(lambda: _replaced(site, {victim}))
        await load.more()
    assert len(load.failures) <= 6  # at most what that worker held
    after = await settled(site)
    assert (after.pid, after.restarts) == (before.pid, 0)
    await site.applied(2)


async def test_all_workers_killed(site: Site) -> None:
    await site.applied(1)
    before = await settled(site)
    victims = {one.pid for one in before.workers}
    async with Load(site) as load:
        await load.more()
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        await eventually(lambda: _replaced(site, victims))
        await load.more()
    assert len(load.failures) <= 6
    after = await settled(site)
    assert (after.pid, after.restarts) == (before.pid, 0)
    await site.applied(2)


async def _replaced(site: Site, victims: set[int]) -> bool:
    pids = {one.pid for one in (await site.client.status()).workers}
    return len(pids) == 2 and not pids & victims


async def test_killed_master_comes_back_while_orphans_serve(site: Site) -> None:
    await site.applied(1)
    before = await settled(site)
    assert before.pid is not None
    async with Load(site) as load:
        await load.more()
        os.kill(before.pid, signal.SIGKILL)
        await eventually(lambda: _another_master(site, before.pid))
        await load.more()
        after = await settled(site)
    assert load.failures == []
    assert (after.restarts, after.generation, after.last_error) == (1, 1, "")
    assert not any(is_alive(one.pid) for one in before.workers)
    await site.applied(2)
    assert await site.serves("generation 2")


async def _another_master(site: Site, pid: int | None) -> bool:
    status = await site.client.status()
    return status.running and status.pid != pid


async def test_killed_master_without_reuseport(site: Site) -> None:
    await site.applied(1, listen="127.0.0.1:{port}")
    before = await settled(site)
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    await eventually(lambda: _another_master(site, before.pid))
    await settled(site)
    assert await site.get() == "generation 1\n"


async def test_master_killed_again_and_again(site: Site) -> None:
    await site.applied(1)
    async with Load(site) as load:
        for _ in range(3):
            pid = (await settled(site)).pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda pid=pid: _another_master(site, pid))
        await load.more()
    assert load.failures == []
    assert (await settled(site)).restarts == 3


async def test_request_on_an_orphan_worker_is_finished(site: Site) -> None:
    await site.applied(1)
    pid = (await settled(site)).pid
    assert pid is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await reader.readuntil(b"begun ")
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: _another_master(site, pid))
    (site.dir.tmp / "release").touch()
    assert b"ended" in await reader.read(-1)
    writer.close()
    await settled(site)


async def test_everything_of_nginx_killed(site: Site) -> None:
    await site.applied(1)
    before = await settled(site)
    for one in site.finder.ours():
        site.finder.send(one, signal.SIGKILL)
    await eventually(lambda: _another_master(site, before.pid))
    await settled(site)
    assert await site.get() == "generation 1\n"


async def test_killed_agent_leaves_nginx_and_the_next_one_adopts_it(site: Site) -> None:
    await site.applied(1)
    before = await settled(site)
    async with Load(site) as load:
        await load.more()
        site.kill_agent()
        await load.more()
        with pytest.raises(AgentUnavailableError):
            await site.client.status()
        handle = await site.spawn()
        assert handle.started
        after = await settled(site)
        assert (after.pid, after.generation, after.adopted) == (before.pid, 1, True)
        assert [one.pid for one in after.workers] == [one.pid for one in before.workers]
        again = await site.applied(1)
        assert not again.reloaded
        await site.applied(2)
        await load.more()
    assert load.failures == []
    assert (await settled(site)).pid == before.pid


async def test_adopted_master_is_watched_too(site: Site) -> None:
    await site.applied(1)
    site.kill_agent()
    await site.spawn()
    before = await settled(site)
    assert before.pid is not None
    async with Load(site) as load:
        os.kill(before.pid, signal.SIGKILL)
        await eventually(lambda: _another_master(site, before.pid))
        await load.more()
        await settled(site)
    assert load.failures == []


async def test_agent_and_master_killed_orphans_serve_until_the_next_agent(site: Site) -> None:
    await site.applied(1)
    before = await settled(site)
    assert before.pid is not None
    async with Load(site) as load:
        site.kill_agent()
        os.kill(before.pid, signal.SIGKILL)
        await load.more()
        await site.spawn()
        await eventually(lambda: _another_master(site, before.pid))
        await settled(site)
        await load.more()
    assert load.failures == []
    assert not any(is_alive(one.pid) for one in before.workers)


async def test_orphans_without_a_configuration_are_ended(site: Site) -> None:
    await site.applied(1)
    before = await settled(site)
    assert before.pid is not None
    site.kill_agent()
    os.kill(before.pid, signal.SIGKILL)
    site.dir.conf.unlink()
    await site.spawn()

    async def clean() -> bool:
        return not site.finder.ours() and not site.dir.push_socket.exists()

    await eventually(clean)
    assert (await site.client.status()).state is AgentState.EMPTY
    await site.applied(2)


async def test_another_run_directory_is_left_alone(site: Site) -> None:
    async with new_site() as other:
        await other.spawn()
        await other.applied(1)
        theirs = await settled(other)
        await site.applied(1)
        ours = await settled(site)
        assert ours.pid is not None
        os.kill(ours.pid, signal.SIGKILL)
        await eventually(lambda: _another_master(site, ours.pid))
        await settled(site)
        await site.client.stop()
        after = await other.client.status()
        assert (after.pid, [one.pid for one in after.workers]) == (theirs.pid, [one.pid for one in theirs.workers])
        assert await other.get() == "generation 1\n"


async def test_stale_sockets_and_pid_file_do_not_block(site: Site) -> None:
    site.kill_agent()
    assert site.dir.agent_socket.is_socket()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(site.dir.push_socket))
    site.dir.pid_file.write_text(f"{os.getpid()}\n")  # a live process that is not NGINX
    await site.spawn()
    await site.applied(1)
    assert await site.get() == "generation 1\n"


async def test_last_state_comes_back_after_everything_died(site: Site) -> None:
    await site.applied(7)
    site.kill_agent()
    for one in site.finder.ours():
        site.finder.send(one, signal.SIGKILL)
    await site.spawn()
    status = await settled(site)
    assert (status.generation, status.adopted, status.restarts) == (7, False, 0)
    assert await site.get() == "generation 7\n"


async def test_agent_killed_between_swap_and_confirmation_falls_back(site: Site) -> None:
    await site.applied(1)
    site.kill_agent()
    for one in site.finder.ours():
        site.finder.send(one, signal.SIGKILL)
    site.dir.write_candidate(site.conf(2, http="init_by_lua_block { error('no way') }"), 2, 2)
    site.dir.swap()
    await site.spawn()
    status = await settled(site)
    assert status.generation == 1
    assert await site.get() == "generation 1\n"


@pytest.mark.parametrize(("more", "generation"), [("", 2), ("init_by_lua_block { error('no way') }", 1)])
async def test_unconfirmed_configuration_of_an_adopted_nginx_is_settled(site: Site, more: str, generation: int) -> None:
    await site.applied(1)
    site.kill_agent()
    site.dir.write_candidate(site.conf(2, http=more), 2, 2)
    site.dir.swap()  # the agent died before its signal
    await site.spawn()

    async def settled_on() -> bool:
        return not site.dir.unconfirmed and (await settled(site)).generation == generation

    await eventually(settled_on)
    assert await site.get() == f"generation {generation}\n"


async def test_start_is_tried_again_until_the_port_is_free(site: Site) -> None:
    await site.applied(1)
    await site.client.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", site.port))
        other.listen()
        await site.spawn()

        async def failed() -> bool:
            status = await site.client.status()
            return status.state is AgentState.FAILED and f"{site.port} is in use" in status.last_error

        await eventually(failed)
    assert (await settled(site)).generation == 1


async def test_second_agent_is_refused_and_names_the_first(site: Site) -> None:
    pid = (await site.client.status()).agent_pid
    argv = [sys.executable, "-m", "tidegate.agent", "--run-dir", str(site.dir.path)]
    second = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True)
    assert second.returncode == 1
    assert f"belongs to another agent (process {pid})" in second.stderr
    assert "Traceback" not in second.stderr
    handle = await site.spawn()
    assert not handle.started
    assert handle.pid == pid


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
async def test_signal_lets_requests_end_and_leaves_nothing(site: Site, sig: signal.Signals) -> None:
    handle = await site.spawn()
    await site.applied(1)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await reader.readuntil(b"begun ")
    os.kill(handle.pid, sig)

    async def refused() -> bool:
        return not await site.serves("generation")

    await eventually(refused)
    assert is_alive(handle.pid)
    (site.dir.tmp / "release").touch()
    assert b"ended" in await reader.read(-1)
    writer.close()
    await _gone(site)
    assert site.left() == []


async def _gone(site: Site) -> None:
    """Waits until the agent that this process started has ended, with exit status 0."""
    started = site.handles[0]
    assert await started.wait()
    assert started.process is not None
    assert started.process.returncode == 0


async def test_stop_is_bounded(site: Site) -> None:
    await site.applied(1)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await reader.readuntil(b"begun ")
    result = await site.client.stop(0.2)
    assert (result.ok, result.graceful) == (True, False)
    assert result.seconds < 15
    await _gone(site)
    writer.close()
    assert site.left() == []


async def test_stop_ends_orphans_and_draining_workers_too(site: Site) -> None:
    await site.applied(1)
    before = await settled(site)
    assert before.pid is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await reader.readuntil(b"begun ")
    os.kill(before.pid, signal.SIGKILL)
    await eventually(lambda: _another_master(site, before.pid))
    stop = asyncio.create_task(site.client.stop())

    async def only_the_orphan() -> bool:
        left = site.finder.ours()
        return len(left) == 1 and left[0].role is Role.WORKER

    await eventually(only_the_orphan)
    (site.dir.tmp / "release").touch()
    assert (await stop).graceful
    assert b"ended" in await reader.read(-1)
    writer.close()
    await _gone(site)
    assert site.left() == []


async def test_stop_during_an_apply(site: Site) -> None:
    await site.applied(1)
    apply = asyncio.create_task(site.client.apply(2, site.conf(2), 50))  # so many never come

    async def busy() -> bool:
        return "generation 2" in site.dir.conf.read_text()

    await eventually(busy)
    stop = asyncio.create_task(site.client.stop())
    result = await apply
    assert not result.ok
    assert "told to stop" in result.errors[0].message
    assert (await stop).ok
    await _gone(site)
    assert site.left() == []


async def test_no_zombies(site: Site) -> None:
    handle = await site.spawn()
    for generation in (1, 2, 3):
        await site.applied(generation)
    pid = (await settled(site)).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: _another_master(site, pid))
    await settled(site)

    async def none() -> bool:
        table = await asyncio.to_thread(
            subprocess.run, ["ps", "--ppid", str(handle.pid), "-o", "stat="], capture_output=True, text=True
        )
        return "Z" not in table.stdout

    await eventually(none)
