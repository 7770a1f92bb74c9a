"""The state machine: what the agent does with NGINX, and what it does when something dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal

from tidegate.agent import ports
from tidegate.agent.errors import parse_errors
from tidegate.agent.handover import hand_over
from tidegate.agent.machine import machine
from tidegate.agent.orphans import Finder
from tidegate.agent.probe import PushStatus, probe
from tidegate.agent.process import Master, Nginx, Reaper
from tidegate.agent.protocol import (
    AgentState,
    AgentStatus,
    ApplyRequest,
    ApplyResult,
    NginxError,
    ProcessUsage,
    RetireResult,
    Stage,
    StopResult,
)
from tidegate.agent.rundir import RunDir, trailer
from tidegate.agent.transition import Outcome, Target, Transition
from tidegate.agent.usage import Meter
from tidegate.agent.workers import Workers

log = logging.getLogger("tidegate.agent")

_BACKOFF_FIRST, _BACKOFF_MAX = 0.1, 5.0
_STABLE = 10.0  # a master that lived so long starts the back-off anew
_POLL = 0.02


class Supervisor:
    """Owns the NGINX of one run directory. The caller has prepared the directory and holds its lock."""

    def __init__(
        self, run_dir: RunDir, reaper: Reaper, *, binary: str = "nginx", confirm_timeout: float = 30.0
    ) -> None:
        self._dir = run_dir
        self._nginx = Nginx(binary, run_dir, reaper)
        self._finder = Finder(run_dir.path, run_dir.conf, binary)
        self._workers = Workers(run_dir, self._finder)
        self._meter = Meter()
        self._transition = Transition(
            run_dir,
            self._nginx,
            on_death=self._master_died,
            interrupted=lambda: self._stopping,
            limit=confirm_timeout,
        )
        self._master: Master | None = None
        self._confirmed = False  # the running generation has answered
        self._generation = 0  # the last confirmed one
        self._lock = asyncio.Lock()  # whoever changes NGINX holds it
        self._wake = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._stop: asyncio.Task[StopResult] | None = None
        self._draining = self._stopping = False
        self._instance = secrets.token_hex(8)
        self._machine = machine()
        self._failures = 0
        self._restarts = self._reloads = 0
        self._adopted = False
        self._last_error = ""

    @property
    def running(self) -> bool:
        """Whether a master lives."""
        return self._master is not None and self._master.alive

    @property
    def confirmed(self) -> bool:
        """Whether the running generation has answered."""
        return self._confirmed

    # Starting, and coming back

    async def start(self) -> None:
        """Adopts the run directory's NGINX if it runs; else brings the last state back, in the background."""
        if pid := self._dir.master_pid():
            self._finder.sessions.add(pid)
        found = self._finder.master(self._dir.master_pid())
        if found is not None:
            with contextlib.suppress(ProcessLookupError):
                self._take(Master(found.pid, self._master_died))
                self._adopted = True
                log.info("adopted the running NGINX (pid %d)", found.pid)
        self._keeper = asyncio.create_task(self._keep())
        if self.running:
            await self._settle_adopted()
        else:
            self._generation = trailer(self._dir.last_confirmed() or "")[0]
            self._wake.set()

    def _take(self, master: Master) -> None:
        self._master = master
        self._finder.sessions.add(master.pid)
        if not master.alive:
            self._master_died(master)

    async def _settle_adopted(self) -> None:
        """Asks the adopted NGINX what it runs."""
        status: PushStatus | None = None
        for _ in range(50):
            status = await probe(self._dir.push_socket)
            if status is not None:
                break
            await asyncio.sleep(_POLL)
        self._generation = trailer(self._dir.last_confirmed() or "")[0]
        if status is not None:
            self._confirmed = not self._dir.unconfirmed
            self._generation = status.generation
            self._workers.note(status.pids, status.generation)

    async def _finish_apply(self) -> None:
        """An agent died between swap and confirmation: has NGINX take what lies there, or goes back."""
        async with self._lock:
            master, current = self._master, self._dir.last_confirmed()
            if master is None or not master.alive or not self._dir.unconfirmed or self._stopping:
                return
            log.warning("the last configuration was never confirmed: it is tried again")
            outcome, _ = await self._reload(master, Target(*trailer(self._dir.read_conf() or "")), current)
            if not outcome.ok:
                self._last_error = outcome.summary()
                log.warning("it is refused, and the one before it restored: %s", self._last_error)

    def _master_died(self, master: Master) -> None:
        if master is not self._master:
            return
        self._confirmed = False
        if not self._stopping:
            log.error("the NGINX master (pid %d) ended", master.pid)
            self._last_error = f"the NGINX master (pid {master.pid}) ended"
            if asyncio.get_running_loop().time() - master.since >= _STABLE:
                self._failures = 0
            self._wake.set()

    async def _keep(self) -> None:
        """Brings NGINX back whenever it is gone, at once and then with growing pauses."""
        await self._finish_apply()
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            while not self._stopping and not self.running:
                if self._failures:
                    pause = min(_BACKOFF_MAX, _BACKOFF_FIRST * 2 ** (self._failures - 1))
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), pause)
                    self._wake.clear()
                async with self._lock:
                    if self._stopping or self.running:
                        break
                    if self._dir.read_conf() is None:
                        await self._workers.end(self._workers.leftovers(None), 2.0)
                        self._transition.remove_stale_sockets()
                        break
                    self._failures += 1
                    try:
                        await self._bring_back()
                    except Exception:
                        log.exception("NGINX could not be brought back")

    async def _bring_back(self) -> None:
        """Starts NGINX on the last state. Orphan workers serve on until the new ones are confirmed."""
        target = Target(*trailer(self._dir.read_conf() or ""))
        outcome = await self._start(target)
        if outcome.ok:
            log.info("NGINX is back (pid %d, generation %d)", self._pid or 0, target.generation)
            return
        self._last_error = outcome.summary()
        log.error("NGINX does not start: %s", self._last_error)
        if self._dir.unconfirmed and not outcome.address_in_use and self._dir.restore():
            log.warning("the last configuration was never confirmed: the one before it is restored")

    async def _start(self, target: Target) -> Outcome:
        """Starts NGINX on the configuration in place; nothing of it may run, but for orphan workers."""
        leftovers = self._workers.leftovers(self._pid)
        conf = self._dir.read_conf() or ""
        if not leftovers and (busy := ports.busy(ports.listeners(conf))):
            return Outcome(Stage.START, errors=busy, output="\n".join(error.message for error in busy))
        outcome = await self._transition.start(target)
        if not outcome.ok and outcome.address_in_use and leftovers:
            log.info("orphan workers hold the ports: they are ended first")
            await self._workers.end(leftovers, 2.0)
            outcome = await self._transition.start(target)
        if outcome.ok and outcome.master is not None:
            self._restarts += self._master is not None
            self._take(outcome.master)
            self._after_confirmation(outcome, target)
            if leftovers:
                await hand_over(
                    outcome.master.pid,
                    lambda: self._workers.send(leftovers, signal.SIGQUIT),
                    lambda: self.running and not self._stopping,
                )
        return outcome

    def _after_confirmation(self, outcome: Outcome, target: Target) -> None:
        self._dir.commit()
        self._confirmed = True
        self._generation = target.generation
        self._last_error = ""
        self._workers.note(outcome.pids, target.generation)

    @property
    def _pid(self) -> int | None:
        return self._master.pid if self._master is not None and self._master.alive else None

    # Applying

    async def apply(self, request: ApplyRequest) -> ApplyResult:
        """Puts a configuration into force, or leaves everything as it was and says why."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            began = loop.time()
            target = Target(request.generation, request.workers)
            if self._stopping:
                stopped = NginxError("the agent is stopping")
                return ApplyResult(False, request.generation, Stage.STOPPED, (stopped,))
            current = self._dir.read_conf()
            text = await asyncio.to_thread(self._dir.write_candidate, request.conf, request.generation, request.workers)
            if text == current and self.running and self._confirmed and not request.test_only:
                self._dir.candidate.unlink(missing_ok=True)
                return ApplyResult(True, request.generation, pid=self._pid, seconds=loop.time() - began)
            accepted, output = await self._nginx.test(self._dir.candidate)
            tested = loop.time() - began
            if request.test_only:
                self._dir.candidate.unlink(missing_ok=True)
                errors = () if accepted else parse_errors(output)
                stage = None if accepted else Stage.TEST
                return ApplyResult(accepted, request.generation, stage, errors, output, tested, tested, self._pid)
            if not accepted:
                return self._failed(request, Stage.TEST, parse_errors(output), output, began, tested, True)
            outcome, restored = await self._change(target, current, text)
            if not outcome.ok:
                return self._failed(request, outcome.stage, outcome.errors, outcome.output, began, tested, restored)
            return ApplyResult(
                ok=True,
                generation=request.generation,
                output=output,
                seconds=loop.time() - began,
                test_seconds=tested,
                pid=self._pid,
                reloaded=outcome.stage is Stage.RELOAD,
            )

    async def _change(self, target: Target, current: str | None, text: str) -> tuple[Outcome, bool]:
        """Swaps a tested candidate in; says how that ended and whether the last good state was restored."""
        master = self._master if self.running else None
        if master is None:
            self._dir.swap()
            outcome = await self._start(target)
        else:
            busy = ports.busy(ports.listeners(text), ports.listeners(current or ""))
            if busy:
                output = "\n".join(error.message for error in busy)
                return Outcome(Stage.RELOAD, errors=busy, output=output), True
            self._workers.note_serving(self._pid, self._generation)
            self._dir.swap()
            return await self._reload(master, target, current)
        found = not outcome.ok and self._dir.restore()
        if found and not self._stopping:
            self._wake.set()
        return outcome, found

    async def _reload(self, master: Master, target: Target, current: str | None) -> tuple[Outcome, bool]:
        """Reloads to what lies in place; on failure puts the previous configuration (`current`) back."""
        outcome = await self._transition.reload(master, target)
        if outcome.ok:
            self._reloads += 1
            self._after_confirmation(outcome, target)
            return outcome, False
        found = self._dir.restore()
        if outcome.applied and found and self.running:
            # NGINX took it but its workers did not come up: the old workers are draining already, so reload back
            previous = Target(*trailer(current or ""))
            back = await self._transition.reload(master, previous)
            found = back.ok
            self._reloads += 2
            if back.ok:
                self._after_confirmation(back, previous)
        elif self.running:
            self._confirmed = found
        return outcome, found

    def _failed(
        self,
        request: ApplyRequest,
        stage: Stage,
        errors: tuple[NginxError, ...],
        output: str,
        began: float,
        tested: float,
        restored: bool,
    ) -> ApplyResult:
        if not errors:
            errors = (NginxError(output.strip() or "NGINX gave no reason"),)
        self._last_error = f"generation {request.generation} refused ({stage}): {errors[0].message}"
        log.warning("%s", self._last_error)
        seconds = asyncio.get_running_loop().time() - began
        return ApplyResult(
            False, request.generation, stage, errors, output, seconds, tested, self._pid, restored=restored
        )

    # Looking, retiring, stopping

    def status(self) -> AgentStatus:
        """What runs now."""
        workers = self._workers.status(self._pid, self._generation)
        return AgentStatus(
            state=self.state,
            agent_pid=os.getpid(),
            pid=self._pid,
            running=self.running,
            generation=self._generation,
            workers=workers,
            old_generations=len({one.generation for one in workers if one.shutting_down}),
            restarts=self._restarts,
            reloads=self._reloads,
            adopted=self._adopted,
            last_error=self._last_error,
            instance=self._instance,
            machine=self._machine,
        )

    def usage(self) -> ProcessUsage:
        """What NGINX's processes use."""
        return self._meter.read(self._finder.ours())

    @property
    def state(self) -> AgentState:
        """What the agent is doing about NGINX."""
        if self._stopping:
            return AgentState.STOPPING
        if self._draining:
            return AgentState.DRAINING
        if self.running:
            return AgentState.RUNNING
        if self._lock.locked():
            return AgentState.STARTING
        return AgentState.FAILED if self._dir.conf.exists() else AgentState.EMPTY

    def retire(self, keep: int) -> RetireResult:
        """Ends the oldest generations of draining workers beyond the newest `keep`."""
        return self._workers.retire(self._pid, self._generation, keep)

    def drain(self) -> None:
        """Says that the end is near; all goes on as before."""
        self._draining = True

    async def stop(self, grace: float) -> StopResult:
        """Ends NGINX: gracefully within `grace` seconds, then by force. A second call joins the first."""
        self._stopping = True
        self._wake.set()
        if self._stop is None:
            self._stop = asyncio.create_task(self._stop_all(grace))
        return await asyncio.shield(self._stop)

    async def _stop_all(self, grace: float) -> StopResult:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with self._lock:
            graceful = True
            leftovers = self._workers.leftovers(self._pid)
            if self._master is not None:
                self._master.send(signal.SIGQUIT)
            self._workers.send(leftovers, signal.SIGQUIT)
            while self.running or self._finder.ours():
                if loop.time() - began > grace:
                    graceful = False
                    await self._workers.end(self._finder.ours(), 1.0)
                    break
                await asyncio.sleep(_POLL)
            self._transition.remove_stale_sockets()
            self._dir.pid_file.unlink(missing_ok=True)
        if self._keeper is not None:
            self._keeper.cancel()
        log.info("NGINX has ended (%s)", "gracefully" if graceful else "by force")
        return StopResult(True, graceful, loop.time() - began)
