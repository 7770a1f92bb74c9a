"""The agent: applying a configuration, knowing that it runs, refusing what is bad."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from agent_conf import Load, Site, eventually
from agent_conf import site as new_site
from claims import free_ports
from tidegate.agent.client import AgentClient, AgentRefusedError, AgentUnavailableError
from tidegate.agent.main import AgentOptions, AgentStartError, spawn_agent
from tidegate.agent.protocol import AgentState, Stage


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async with new_site() as one:
        await one.spawn()
        yield one


async def test_first_apply_starts_nginx(site: Site) -> None:
    assert (await site.client.status()).state is AgentState.EMPTY
    result = await site.applied(1)
    assert not result.reloaded
    assert result.seconds >= result.test_seconds > 0
    assert await site.get() == "generation 1\n"
    status = await site.client.status()
    assert (status.state, status.running, status.pid) == (AgentState.RUNNING, True, result.pid)
    assert (status.generation, status.old_generations, status.restarts, status.reloads) == (1, 0, 0, 0)
    assert [(one.generation, one.shutting_down) for one in status.workers] == [(1, False)] * 2
    assert all(one.rss > 1_000_000 and time.time() - 60 < one.started <= time.time() + 2 for one in status.workers)
    assert not site.dir.candidate.exists()
    assert "generation 1" in site.dir.conf.read_text()


async def test_reload_is_confirmed_by_every_worker_and_loses_no_request(site: Site) -> None:
    first = await site.applied(1)
    async with Load(site) as load:
        for generation in range(2, 6):
            result = await site.applied(generation, workers=generation)
            assert result.reloaded
            assert result.pid == first.pid
            await load.more(5)
    assert load.failures == []
    status = await site.client.status()
    assert len([one for one in status.workers if not one.shutting_down]) == 5
    assert (status.generation, status.reloads) == (5, 4)
    assert "generation 4" in site.dir.previous.read_text()


async def test_workers_may_be_left_to_nginx(site: Site) -> None:
    result = await site.client.apply(1, site.conf(1, workers=3))
    assert result.ok
    assert len((await site.client.status()).workers) == 3


async def test_same_text_again_does_not_reload(site: Site) -> None:
    await site.applied(1)
    again = await site.applied(1)
    assert not again.reloaded
    assert (await site.client.status()).reloads == 0


async def test_same_generation_with_another_text_is_confirmed_by_new_workers(site: Site) -> None:
    await site.applied(1)
    before = {one.pid for one in (await site.client.status()).workers}
    await site.applied(1, server="location = /new { return 200 new; }")

    async def replaced() -> bool:
        status = await site.client.status()
        return not before & {one.pid for one in status.workers if not one.shutting_down}

    await eventually(replaced)
    assert await site.get("/new") == "new"


async def test_bad_text_is_refused_in_nginx_words_with_its_line(site: Site) -> None:
    await site.applied(1)
    pid = (await site.client.status()).pid
    bad = site.conf(2, http="no_such_directive on;")
    line = next(number for number, text in enumerate(bad.splitlines(), 1) if "no_such_directive" in text)
    async with Load(site) as load:
        result = await site.client.apply(2, bad, 2)
        await load.more()
    assert (result.ok, result.stage, result.restored) == (False, Stage.TEST, True)
    assert len(result.errors) == 1
    error = result.errors[0]
    assert error.message == 'unknown directive "no_such_directive"'
    assert (error.level, error.line, error.file) == ("emerg", line, str(site.dir.candidate))
    assert "test failed" in result.output
    assert load.failures == []
    status = await site.client.status()
    assert (status.pid, status.generation, status.reloads) == (pid, 1, 0)
    assert "generation 2 refused" in status.last_error
    assert await site.get() == "generation 1\n"
    assert "no_such_directive" not in site.dir.conf.read_text()


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (
            "limit_req_zone $uri zone=a:1m rate=1r/s;",
            "limit_req_zone $host zone=a:1m rate=1r/s;",
            'limit_req "a" uses the "$host" key while previously it used the "$uri" key',
        ),
        ("", "init_by_lua_block { error('no way') }", "no way"),
    ],
    ids=["key of a zone", "init_by_lua"],
)
async def test_reload_that_nginx_refuses_although_the_test_passed(
    site: Site, first: str, second: str, words: str
) -> None:
    await site.applied(1, http=first)
    before = await site.client.status()
    async with Load(site) as load:
        result = await site.apply(2, http=second)
        await load.more()
    assert (result.ok, result.stage, result.restored) == (False, Stage.RELOAD, True)
    assert words in result.errors[0].message
    assert "stack traceback" not in result.errors[0].message
    assert result.seconds < 10
    assert load.failures == []
    after = await site.client.status()
    assert after.generation == 1
    assert [one.pid for one in after.workers] == [one.pid for one in before.workers]
    assert "generation 1" in site.dir.conf.read_text()
    await site.applied(3, http=first)
    assert (await site.client.status()).generation == 3


async def test_workers_that_never_come_up_are_taken_back(site: Site) -> None:
    await site.applied(1)
    async with Load(site) as load:
        result = await site.apply(2, init_worker="error('not today')")
        await load.more()
    assert (result.stage, result.restored) == (Stage.RELOAD, True)
    assert "not today" in result.errors[0].message
    assert result.errors[0].line is not None
    assert load.failures == []
    assert (await site.client.status()).generation == 1
    assert await site.get() == "generation 1\n"


async def test_failed_first_start_leaves_nothing(site: Site) -> None:
    result = await site.apply(1, http="init_by_lua_block { error('no way') }")
    assert (result.ok, result.stage, result.restored) == (False, Stage.START, False)
    assert "no way" in result.errors[0].message
    status = await site.client.status()
    assert (status.state, status.running) == (AgentState.EMPTY, False)
    assert not site.finder.ours()
    await site.applied(2)


@pytest.mark.parametrize("listen", ["127.0.0.1:{port}", "127.0.0.1:{port} reuseport", "{port}"])
async def test_busy_port_is_named_at_once(site: Site, listen: str) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # an NGINX of the same user would
        other.bind(("127.0.0.1", site.port))
        other.listen()
        result = await site.apply(1, listen=listen)
    address = f"127.0.0.1:{site.port}" if "127" in listen else f"0.0.0.0:{site.port}"
    assert (result.ok, result.stage) == (False, Stage.START)
    assert [error.message for error in result.errors] == [f"port {address} is in use by another process"]
    assert result.errors[0].address == address
    assert "bind()" not in result.output
    await site.applied(2)


async def test_port_that_nginx_finds_busy_is_named_before_its_retries_end(
    site: Site,
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", site.port))
        other.listen()
        # a name hides the address from the agent's own look
        result = await site.apply(1, listen="localhost:{port}")
    assert [error.message for error in result.errors] == [f"port 127.0.0.1:{site.port} is in use by another process"]
    assert result.stage is Stage.START
    assert "bind()" in result.output and "still could not bind()" not in result.output
    assert not site.finder.ours()


@pytest.mark.parametrize("hidden", [False, True], ids=["seen by the agent", "found by NGINX"])
async def test_busy_port_at_a_reload_keeps_the_old(site: Site, hidden: bool) -> None:
    await site.applied(1)
    (port,) = free_ports(1)
    extra = f"}} server {{\nlisten {'localhost' if hidden else '127.0.0.1'}:{port};"
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        result = await site.apply(2, server=extra)
        assert (result.stage, result.restored) == (Stage.RELOAD, True)
        assert [error.message for error in result.errors] == [f"port 127.0.0.1:{port} is in use by another process"]
        assert await site.get() == "generation 1\n"
    await site.applied(3, server=extra)


async def test_retire_ends_the_oldest_draining_generations(site: Site) -> None:
    await site.applied(1)
    slow = []
    for generation in (2, 3, 4):
        slow.append(await _begun(site))
        await site.applied(generation)

    async def draining() -> bool:
        return (await site.client.status()).old_generations == 3

    await eventually(draining)
    status = await site.client.status()
    assert sorted({one.generation for one in status.workers if one.shutting_down}) == [1, 2, 3]
    retired = await site.client.retire(keep=1)
    assert retired.generations == (1, 2)

    async def gone() -> bool:
        return (await site.client.status()).old_generations == 1

    await eventually(gone)
    (site.dir.tmp / "release").touch()
    assert [await task for task in slow] == [False, False, True]


async def _begun(site: Site) -> asyncio.Task[bool]:
    """A request that a worker answers slowly, once it does: whether it is answered to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await reader.readuntil(b"begun ")

    async def rest() -> bool:
        try:
            return b"ended" in await reader.read(-1)
        except OSError:
            return False
        finally:
            writer.close()

    return asyncio.create_task(rest())


async def test_applies_wait_for_each_other(site: Site) -> None:
    results = await asyncio.gather(*(site.apply(generation) for generation in (1, 2, 3)))
    assert all(one.ok for one in results)
    assert (await site.client.status()).state is AgentState.RUNNING


async def test_configuration_may_set_daemon_and_master_process_itself(site: Site) -> None:
    text = "daemon on; master_process off;\n" + site.conf(1)
    assert (await site.client.apply(1, text, 2)).ok
    assert (await site.client.status()).running


async def test_large_configuration(site: Site) -> None:
    await site.applied(1, http="# x\n" * 1_000_000)


async def test_run_directory_is_private(site: Site) -> None:
    await site.applied(1)
    mode = site.dir.path.stat()
    assert stat.S_IMODE(mode.st_mode) == 0o700
    assert stat.S_IMODE(site.dir.agent_socket.stat().st_mode) == 0o600
    if os.geteuid() == 0:
        assert mode.st_uid != 0


async def test_wrong_requests_are_refused_and_absence_is_an_error(site: Site) -> None:
    with pytest.raises(AgentRefusedError, match="400"):
        await site.client.apply("one", "", 1)  # type: ignore[arg-type]
    assert (await site.client.apply(1, "", 1)).stage is Stage.TEST
    async with AgentClient(site.dir.path / "nobody.sock") as nobody:
        with pytest.raises(AgentUnavailableError, match="no agent answers"):
            await nobody.status()


async def test_agent_that_cannot_start_says_why(site: Site) -> None:
    missing = AgentOptions(run_dir=site.dir.path.parent / "other", nginx_binary="/nonexistent/nginx")
    with pytest.raises(AgentStartError, match=r"there is no NGINX: '/nonexistent/nginx'"):
        await spawn_agent(missing)
