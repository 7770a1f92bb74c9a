"""Bringing NGINX from one configuration to the next, and knowing that it arrived.

`nginx -t` does not see everything (the key of a limit zone of the same name, `init_by_lua`, memory): so a start or a
reload counts only when every new worker has answered with the new generation. Until then the error output is read as
it comes, so that a refusal is known in milliseconds and not after a time-out.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec

from tidegate.agent import errors, orphans, ports
from tidegate.agent.errors import LogRecord, LogTail
from tidegate.agent.probe import probe
from tidegate.agent.process import Master, Nginx
from tidegate.agent.protocol import NginxError, Stage
from tidegate.agent.rundir import RunDir

log = logging.getLogger("tidegate.agent")

_POLL = 0.01
_DEAF_LIMIT = 2.0
_WORKER_LUA = "init_worker_by_lua error"


class Target(msgspec.Struct, frozen=True):
    """What must come up: a generation with so many workers (0: as many as NGINX says that it has)."""

    generation: int
    workers: int


class Outcome(msgspec.Struct):
    """How a start or a reload ended. `applied` says that NGINX took the configuration although it was not confirmed."""

    stage: Stage
    ok: bool = False
    errors: tuple[NginxError, ...] = ()
    output: str = ""
    applied: bool = False
    master: Master | None = None
    pids: frozenset[int] = frozenset()

    @property
    def address_in_use(self) -> bool:
        """Whether it failed because somebody holds an address."""
        return any(error.address and error.code == errno.EADDRINUSE for error in self.errors)

    def summary(self) -> str:
        """The errors in one line."""
        return "; ".join(error.message for error in self.errors) or self.output.strip() or "unknown failure"


class Transition:
    """Starts and reloads NGINX and waits for the confirmation."""

    def __init__(
        self,
        run_dir: RunDir,
        nginx: Nginx,
        *,
        on_death: Callable[[Master], None],
        interrupted: Callable[[], bool],
        limit: float,
    ) -> None:
        self._dir = run_dir
        self._nginx = nginx
        self._on_death = on_death
        self._interrupted = interrupted
        self._limit = limit

    async def start(self, target: Target) -> Outcome:
        """Starts NGINX on the run directory's configuration; no master may be alive."""
        self.remove_stale_sockets()
        log = LogTail(self._dir.error_log)
        output = LogTail(self._dir.start_log)
        try:
            pid, ended = self._nginx.start()
        except OSError as error:
            return Outcome(Stage.START, errors=(NginxError(f"NGINX cannot be started: {error}"),), output=str(error))
        master: Master | None = None
        with contextlib.suppress(ProcessLookupError):
            master = Master(pid, self._on_death)
        spoken: list[LogRecord] = []

        def verdict() -> tuple[NginxError, ...] | None:
            spoken.extend(output.read())
            if any(errors.is_address_in_use(record) for record in spoken):
                return errors.errors_of(spoken)  # NGINX would go on trying for 2.5 s
            if ended.done():
                return errors.errors_of(spoken) or (NginxError(f"NGINX ended at once ({_ending(ended.result())})"),)
            return self._worker_failure(log.read(), pid, frozenset())

        pids = await self._confirm(target, frozenset(), verdict)
        if isinstance(pids, frozenset) and master is not None:
            return Outcome(Stage.START, ok=True, applied=True, master=master, pids=pids)
        if master is not None:
            await self.end(master, ended)
        said = self._dir.start_log.read_text(errors="replace")
        return Outcome(Stage.START, errors=pids if isinstance(pids, tuple) else (), output=said)

    async def reload(self, master: Master, target: Target) -> Outcome:
        """Has a running NGINX take up the configuration that is in place now."""
        before = await probe(self._dir.push_socket)
        old = (before.pids if before else frozenset()) | self._children(master)
        log = LogTail(self._dir.error_log)
        seen: list[LogRecord] = []
        rounds_since_refusal = 0
        refused = False

        def verdict() -> tuple[NginxError, ...] | None:
            nonlocal rounds_since_refusal, refused
            if not master.alive:
                return (NginxError("the NGINX master process ended during the reload"),)
            seen.extend(record for record in log.read() if record.pid == master.pid or _WORKER_LUA in record.message)
            own = [record for record in seen if record.pid == master.pid]
            if any(_is_refusal(record) for record in own):
                refused = True
                rounds_since_refusal += 1
                # one more look: NGINX may be in the middle of what it has to say
                return errors.errors_of(own) if rounds_since_refusal > 1 else None
            return self._worker_failure(seen, master.pid, old)

        master.send(signal.SIGHUP)
        pids = await self._confirm(target, old, verdict)
        if isinstance(pids, frozenset):
            await self._until_deaf(old)
            return Outcome(Stage.RELOAD, ok=True, applied=True, master=master, pids=pids)
        said = "\n".join(f"[{record.level}] {record.message}" for record in seen)
        return Outcome(Stage.RELOAD, errors=pids, output=said, applied=not refused and master.alive, master=master)

    async def _confirm(
        self, target: Target, old: frozenset[int], verdict: Callable[[], tuple[NginxError, ...] | None]
    ) -> frozenset[int] | tuple[NginxError, ...]:
        """Waits until the new workers answer (their pids), or `verdict` names errors, or the limit passes."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limit
        seen = 0
        while True:
            if (found := verdict()) is not None:
                return found
            status = await probe(self._dir.push_socket)
            if status is not None and status.generation == target.generation:
                wanted = target.workers or status.worker_count or 1
                live = frozenset(pid for pid in status.pids - old if orphans.is_alive(pid))
                seen = len(live)
                if seen >= wanted:
                    return live
            if self._interrupted():
                return (NginxError("the agent was told to stop"),)
            if loop.time() > deadline:
                return (
                    NginxError(
                        f"{seen} of {target.workers or 'the'} new workers confirmed generation {target.generation} "
                        f"within {self._limit:g} s"
                    ),
                )
            await asyncio.sleep(_POLL)

    async def _until_deaf(self, old: frozenset[int]) -> None:
        """Wait until the old workers take no connections any more.

        NGINX tells them a tenth of a second after it has started the new ones: until then, a client that asks again
        could still meet the former configuration.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _DEAF_LIMIT
        while any(map(_accepts, old)):
            if loop.time() > deadline:
                log.warning("old workers still take connections %g s after a reload", _DEAF_LIMIT)
                return
            await asyncio.sleep(_POLL)

    def _worker_failure(
        self, records: list[LogRecord], master: int, old: frozenset[int]
    ) -> tuple[NginxError, ...] | None:
        """Errors of new workers after which they will never confirm."""
        fatal = [
            record
            for record in records
            if (record.pid == master and "cannot be respawned" in record.message)
            or (record.pid not in old and _WORKER_LUA in record.message)
        ]
        return errors.errors_of(fatal) or None

    def _children(self, master: Master) -> frozenset[int]:
        try:
            text = Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text()
            return frozenset(map(int, text.split()))
        except OSError:
            return frozenset()

    async def end(self, master: Master, ended: asyncio.Future[int] | None = None) -> None:
        """Ends a master that did not come up, and its workers."""
        master.send(signal.SIGTERM)
        if not await master.wait(1.5):
            master.send(signal.SIGKILL)
            await master.wait(5)
        if ended is not None:
            await asyncio.wait([ended], timeout=1)
        self.remove_stale_sockets()

    def remove_stale_sockets(self) -> None:
        """Removes the Unix sockets of the configuration: a dead master leaves them, and they block the next start."""
        paths = {self._dir.push_socket, *ports.unix_sockets(self._dir.read_conf() or "")}
        for path in paths:
            if path.is_socket() and path != self._dir.agent_socket:
                path.unlink(missing_ok=True)


def _accepts(pid: int) -> bool:
    """Whether this is a worker that was not told to end: it closes its listeners right after it has renamed itself."""
    found = orphans.read_process(pid)
    return found is not None and found.role is orphans.Role.WORKER and not found.shutting_down


def _is_refusal(record: LogRecord) -> bool:
    """Whether a master's log record means that it keeps the old configuration.

    A busy address is not yet one: NGINX tries again five times, then says that it could not.
    """
    if record.level == "emerg":
        return not errors.is_address_in_use(record)
    return record.message.startswith(("mmap(", "shmget(", "init_by_lua error"))


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
