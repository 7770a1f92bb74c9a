"""The workers: which generation each belongs to (remembered over restarts of the agent), and ending them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterable

import msgspec

from tidegate.agent import orphans
from tidegate.agent.orphans import Finder, NginxProcess, Role
from tidegate.agent.protocol import RetireResult, WorkerStatus
from tidegate.agent.rundir import RunDir

UNKNOWN = -1
_POLL = 0.02


class Workers:
    """The NGINX processes of one run directory, with the generation of each worker.

    A process is known by its pid and start time.
    """

    def __init__(self, run_dir: RunDir, finder: Finder) -> None:
        self._finder = finder
        self._file = run_dir.generations_file
        self._known: dict[int, tuple[int, int]] = {}  # pid -> (start, generation)
        try:
            self._known = msgspec.json.decode(self._file.read_bytes(), type=dict[int, tuple[int, int]])
        except (OSError, msgspec.DecodeError):
            self._known = {}

    def _generation(self, process: NginxProcess) -> int:
        started, generation = self._known.get(process.pid, (0, UNKNOWN))
        return generation if started == process.started else UNKNOWN

    def note(self, pids: frozenset[int], generation: int) -> None:
        """Remembers the generation of the workers `pids` and forgets the dead."""
        live = {worker.pid: worker for worker in self._finder.ours()}
        known = {pid: entry for pid, entry in self._known.items() if pid in live and live[pid].started == entry[0]}
        known |= {pid: (live[pid].started, generation) for pid in pids if pid in live}
        if known != self._known:
            self._known = known
            self._file.write_bytes(msgspec.json.encode(known))

    def note_serving(self, master: int | None, generation: int) -> None:
        """Remembers the generation of all that serve now, also of those that the master started again."""
        mine = [one for one in self._finder.ours() if one.role is Role.WORKER]
        self.note(frozenset(one.pid for one in mine if one.ppid == master and not one.shutting_down), generation)

    def look(self, master: int | None, generation: int) -> list[tuple[NginxProcess, int, bool]]:
        """Each worker with its generation and whether it drains (orphans do as soon as there is a master)."""
        found = []
        for one in self._finder.ours():
            if one.role is not Role.WORKER:
                continue
            known = self._generation(one)
            serving = one.ppid == master and not one.shutting_down
            if 0 <= known < generation:
                serving = False  # its successors are up: NGINX tells it to drain within 0.1 s
            elif known == UNKNOWN and serving:
                known = generation  # started again by the master
            found.append((one, known, not serving and master is not None))
        return found

    def status(self, master: int | None, generation: int) -> tuple[WorkerStatus, ...]:
        """The workers as the API shows them."""
        return tuple(
            WorkerStatus(one.pid, known, draining, orphans.rss(one.pid), orphans.started_at(one))
            for one, known, draining in self.look(master, generation)
        )

    def retire(self, master: int | None, generation: int, keep: int) -> RetireResult:
        """Ends the oldest generations of draining workers beyond the newest `keep`."""
        draining: dict[int, list[NginxProcess]] = {}
        for one, known, drains in self.look(master, generation):
            if drains:
                draining.setdefault(known, []).append(one)
        retired = sorted(draining)[: max(0, len(draining) - keep)]
        doomed = [one for number in retired for one in draining[number]]
        return RetireResult(tuple(one.pid for one in doomed if self._finder.send(one, signal.SIGTERM)), tuple(retired))

    def leftovers(self, master: int | None) -> list[NginxProcess]:
        """NGINX processes of this run directory that are not under the live master."""
        return [one for one in self._finder.ours() if one.pid != master and (master is None or one.ppid != master)]

    def send(self, processes: Iterable[NginxProcess], sig: signal.Signals) -> list[NginxProcess]:
        """Signals processes and returns those that got it."""
        return [one for one in processes if self._finder.send(one, sig)]

    async def end(self, processes: Iterable[NginxProcess], limit: float) -> None:
        """Ends processes, by force after `limit` seconds."""
        loop = asyncio.get_running_loop()
        left = self.send(processes, signal.SIGTERM)
        deadline = loop.time() + limit
        forced = False
        while left := [one for one in left if orphans.is_alive(one.pid)]:
            if loop.time() > deadline:
                if forced:
                    return
                forced, deadline = True, loop.time() + 2.0
                self.send(left, signal.SIGKILL)
            await asyncio.sleep(_POLL)
