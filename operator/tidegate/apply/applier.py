"""From what the data plane has to what the model says, in the order that breaks nothing.

Records that need no new configuration are pushed at once. Records that name a policy the running workers lack wait for
a reload; reloads are coalesced and kept apart. After one, while older workers still finish requests, each host's former
record stays readable for them. What is unused goes last.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from tidegate.agent.client import AgentClient, AgentError
from tidegate.agent.protocol import AgentState, AgentStatus
from tidegate.apply.dataplane import DataPlane, DataPlaneError, MemoryFullError
from tidegate.apply.loader import Loader, Refused, StartError
from tidegate.apply.memo import Content
from tidegate.apply.own import without_own
from tidegate.apply.pusher import Pusher
from tidegate.apply.records import Record, built_in_backend, data_size, needs_of, policies_of
from tidegate.apply.revisions import Revisions
from tidegate.apply.servers import loses_verification, with_policies
from tidegate.apply.streams import StreamFiles
from tidegate.apply.wanted import WantedConfiguration
from tidegate.apply.wanted_records import WantedRecords
from tidegate.model import Globals, Passthrough, Policy, Server, Stream
from tidegate.render.runtime import MIB, Capacity, Runtime

__all__ = ["Applied", "Applier", "Refused", "StartError"]

log = logging.getLogger("tidegate.apply")

PUSH_BYTES = 512 * 1024
RETRY_AFTER = 0.5
STARTING_LIMIT = 40.0  # longer than the agent gives NGINX to come up
FAILED_LIMIT = 1.0
LARGEST_DATA = 4096 * MIB
LEAST_FREE = 0.3
PAGE = 4096


class Applied(msgspec.Struct, frozen=True):
    """Changes that are in force now: up to which revision, how many records, how long since they were asked for."""

    revision: int
    records: int
    reloaded: bool
    seconds: float


class Applier:
    """Applies wanted state; `on_applied` and `on_refused` are called in the event loop.

    Each refusal of policies or settings is to be answered by a `want` that counts it: until then nothing that was
    refused counts as running. `fallback` are global settings that NGINX is known to take.
    """

    def __init__(
        self,
        run_dir: Path,
        runtime: Runtime,
        agent: AgentClient,
        fallback: Globals,
        revisions: Revisions,
        *,
        on_applied: Callable[[Applied], None],
        on_refused: Callable[[Refused], None],
    ) -> None:
        self._default_socket, self._own = runtime.default_socket, runtime.own
        self._agent = agent
        self.loader = Loader(run_dir, runtime, agent, fallback)
        self._pusher = Pusher(run_dir)
        self.revisions = revisions
        self._on_applied, self._on_refused = on_applied, on_refused
        self._records = WantedRecords()
        self._configuration = WantedConfiguration(self.loader, fallback)
        self._capacity = Capacity()
        self._stream_files = StreamFiles(Path(runtime.worker_place) / "streams")
        self._started = False  # whether what runs is known
        self._ever_started = False
        self._full = False  # the data plane took no more: until it has grown, or something else is wanted
        self._at_limit = False
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._pushed, self._reloads_told = 0, 0

    @property
    def plane(self) -> DataPlane:
        return self._pusher.plane

    @property
    def memory(self) -> tuple[int, int]:
        """Capacity and free bytes of the data dictionary."""
        return self._pusher.memory

    # -- what is wanted ---------------------------------------------------------------------------------------------

    def want(
        self,
        records: Iterable[Record],
        globals_: Globals,
        policies: dict[str, Policy],
        policy_users: dict[str, int],
        revision: int,
        answered: int = 0,
        servers: dict[str, Server] | None = None,
        streams: Mapping[str, Stream] | None = None,
        passthrough: Mapping[str, Passthrough | None] | None = None,
    ) -> None:
        """Take over a change of the wanted state.

        `policies` are all that any wanted route names, `servers` the native ones by the digest of their profile;
        `answered` is the number of refusals that this takes into account; of `passthrough` just what changed.
        """
        streams = {name: without_own(stream, self._own) for name, stream in (streams or {}).items()}
        passed = {name: host and without_own(host, self._own) for name, host in (passthrough or {}).items()}
        self._stream_files.want(streams, passed)
        self._configuration.take(globals_, policies, policy_users, servers or {}, streams, revision)
        self._records.take(records, revision)
        self.revisions.want(revision, answered)
        self._full = False
        again = self._configuration.refused_again(self._records.pending)
        if again is not None:
            self._refuse(again)
        self._wake.set()

    def resume(self) -> None:
        """NGINX or its agent was away: look again at what it has."""
        self._started = False
        self._wake.set()

    # -- the loop ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Apply whatever is wanted, until cancelled. Raises StartError when NGINX cannot be brought up at first."""
        await self._pusher.load()
        await self.loader.recall()
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._step()
            except StartError as error:
                if not self._ever_started:
                    raise
                log.error("%s; trying again", error)
                self._wake_later(RETRY_AFTER)
            except MemoryFullError as error:
                self._grow(error)
            except (AgentError, DataPlaneError, OSError) as error:
                log.warning("%s; trying again", error)
                self._started = False
                self._wake_later(RETRY_AFTER)

    def _wake_later(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if self._timer is not None:
            if loop.time() < self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = loop.call_at(when, self._wake.set)

    async def _step(self) -> None:
        if not self.revisions.wanted:
            return  # nothing is known yet
        if (seconds := self._configuration.until_next_listener()) is not None:
            self._wake_later(seconds)
        self._pushed += self._stream_files.write(self._configuration.globals.stream)
        if not self._started:
            await self._start()
        if self._started:
            await self._push_ready()
            await self._confirm()
            if self._needs_reload():
                seconds = await self.loader.room(serial=self._configuration.globals.serial_reloads)
                if seconds:
                    self._wake_later(seconds)
                elif await self._reload():
                    await self._push_ready()
        await self._confirm()
        if self._started:
            await self._drop_former_records()

    async def _confirm(self) -> None:
        waiting = self._records.since
        if not self._started:
            waiting.append(self.revisions.running + 1)
        waiting += self._configuration.since
        seconds = self.revisions.reach(waiting)
        if seconds is None:
            return
        reloaded = self.loader.reloads > self._reloads_told
        records, self._pushed, self._reloads_told = self._pushed, 0, self.loader.reloads
        self._on_applied(Applied(self.revisions.running, records, reloaded, seconds))
        await self.revisions.tell()

    # -- start and take-over ----------------------------------------------------------------------------------------

    async def _start(self) -> None:
        """Take over NGINX where it runs, else bring it up with everything that is wanted."""
        self._started = True  # unless somebody says meanwhile that NGINX was away once more
        try:
            default = built_in_backend(self._default_socket)
            self._records.by_key.setdefault(default.key, default)
            status = await self._settled()
            if not (status.running and await self._adopt(status)) and not await self._bring_up(status):
                self._started = False  # what was refused has to be answered first
                return
        except BaseException:
            self._started = False
            raise
        self._ever_started = True

    async def _settled(self) -> AgentStatus:
        """The agent's status once it is not just about to bring NGINX up."""
        began = time.monotonic()
        while True:
            status = await self._agent.status()
            patience = {AgentState.STARTING: STARTING_LIMIT, AgentState.FAILED: FAILED_LIMIT}.get(status.state, 0.0)
            if time.monotonic() - began >= patience:
                return status
            await asyncio.sleep(0.02)

    async def _adopt(self, status: AgentStatus) -> bool:
        """Go on with an NGINX that runs, if its configuration and our files are known to fit together."""
        if not await self.loader.adopt(status.generation):
            return False
        values = self._pusher.values
        assert self.loader.loaded is not None
        content = self.loader.loaded.content
        if not await asyncio.to_thread(lambda: all(content.fits(needs_of(*item)) for item in values.items())):
            return False
        self._capacity = content.capacity
        self._pusher.capacity = self._capacity.data
        try:
            await self._pusher.catch_up()
        except MemoryFullError:
            return False
        differing = self._records.compare(values, self.revisions.wanted)
        log.info("took over NGINX at generation %d, %d records differ", status.generation, differing)
        return True

    async def _bring_up(self, status: AgentStatus) -> bool:
        """Start NGINX, or reload it, with everything wanted; False when something of that was refused.

        The workers read the state file because their shared memory is empty: it has another size than any before.
        """
        wanted = dict(self._records.by_key)
        values = {key: record.value for key, record in wanted.items() if record.value is not None}
        size = data_size(values.values())
        if size <= self.loader.former_data_size < size + MIB:
            size = self.loader.former_data_size + PAGE
        self._capacity = Capacity(data=size)
        await self._pusher.replace(values)
        if not await self._reload(status.generation):
            return False
        self._records.loaded(wanted)
        self._pushed += len(wanted)
        return True

    # -- data -------------------------------------------------------------------------------------------------------

    def _fits(self, record: Record) -> bool:
        """Whether the workers that run can serve by a record."""
        return self.loader.loaded is not None and self.loader.loaded.content.fits(record)

    async def _push_ready(self) -> None:
        """Push what may go."""
        if self._full:
            return
        ready = self._records.ready(self._fits, self._configuration.settings_since)
        if self._at_limit:
            ready.sort(key=lambda record: record.value is not None)  # what is dropped makes room
        position = 0
        while position < len(ready):
            batch: dict[str, bytes | None] = {}
            first, size = position, 0
            while position < len(ready) and size < PUSH_BYTES:
                record = ready[position]
                batch.update(self._pusher.with_former(record))
                size += len(record.value or b"") + len(record.key)
                position += 1
            await self._pusher.push(batch)
            self._note_memory()
            for record in ready[first:position]:
                self._records.pushed(record)
            self._pushed += position - first

    def _note_memory(self) -> None:
        """Memory grows ahead of need."""
        capacity, free = self._pusher.memory
        if free < capacity * LEAST_FREE:
            self._capacity = Capacity(min(2 * capacity, LARGEST_DATA), self._capacity.metrics)
        else:
            self._at_limit = False

    def _grow(self, error: MemoryFullError) -> None:
        """The shared memory is full: ask for more, or, where there is no more, say so and wait for another change."""
        self._full = True
        if error.capacity >= LARGEST_DATA:
            self._at_limit = True
            self._on_refused(Refused(memory=str(error)))
            return
        values = (record.value for record in self._records.by_key.values() if record.value)
        needed = data_size([*self._pusher.values.values(), *values])
        self._capacity = Capacity(min(max(2 * error.capacity, needed), LARGEST_DATA), self._capacity.metrics)
        self._wake.set()

    async def _drop_former_records(self) -> None:
        """Once no older worker is left, the records kept for them go."""
        kept = self._pusher.kept
        if not kept or self._full:
            return
        status = await self._agent.status()
        if status.old_generations:
            self._wake_later(2.0)
        else:
            await self._pusher.push(dict.fromkeys(kept))

    # -- configuration ----------------------------------------------------------------------------------------------

    def _needs_reload(self) -> bool:
        loaded = self.loader.loaded
        return (
            loaded is None
            or self._configuration.waits
            or self._capacity != loaded.content.capacity
            or not all(map(self._fits, self._records.pending))
        )

    def _policies_to_load(self) -> dict[str, Policy]:
        """Those that routes shall name, and those that they name now, for as long as they do."""
        named = {policy for record in self._records.by_key.values() for policy in record.policies}
        for record in self._records.pending:
            named |= policies_of(self._pusher.values.get(record.key))
        known = {**self.loader.policies, **self._configuration.policies}
        return {digest: known[digest] for digest in named if digest in known and self._configuration.takes(digest)}

    def _policies_of_hosts(self, names: Iterable[str]) -> set[str]:
        """Those that records of these hosts name now."""
        return set[str]().union(*(policies_of(self._pusher.values.get(f"h:{name}")) for name in names))

    def _sessions(self, servers: dict[str, Server]) -> int:
        """Which TLS sessions may go on: those of before, unless clients are now verified in another way."""
        if self.loader.loaded is None:
            return int(time.time())
        content = self.loader.loaded.content
        return content.sessions + loses_verification(content.servers, servers)

    def _unfit(self, content: Content) -> list[Record]:
        """What takes the place of records by which workers with this configuration cannot serve."""
        values = self._pusher.values
        pending = [record for record in self._records.pending if record.key in values]
        return [record for record in pending if not content.fits(needs_of(record.key, values[record.key]))]

    async def _reload(self, newest: int = 0) -> bool:
        """Load the configuration that is wanted; what NGINX refuses is reported and left out."""
        configuration = self._configuration
        listeners = configuration.listeners
        policies = self._policies_to_load()
        servers = {
            digest: with_policies(server, self._policies_of_hosts(server.hosts), policies)
            for digest, server in configuration.servers.items()
        }
        content = Content(
            configuration.settings,
            policies,
            configuration.policy_users,
            self._capacity,
            servers,
            tuple(sorted(listeners)),
            self._sessions(servers),
            self._own.networks if self._own else (),
        )
        if self.loader.loaded is not None:
            await self._pusher.offer(self._unfit(content))
        refused = await self.loader.load(content, newest)
        if refused is not None:
            self._refuse(refused)
            return False
        self._full = False
        if self._pusher.capacity != content.capacity.data:
            self._pusher.capacity = content.capacity.data
            await self._pusher.catch_up()
        return True

    def _refuse(self, refused: Refused) -> None:
        """Set aside what NGINX does not take, and report it."""
        held = [self.revisions.wanted, *self._configuration.refuse(refused), *self._records.refuse(refused)]
        self.revisions.hold(min(held))
        self._on_refused(refused)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._pusher.close()
