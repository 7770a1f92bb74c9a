"""From what the data plane has to what the model says, in the order that breaks nothing.

Records that need no new configuration are pushed at once. Records that name a policy the running workers lack wait for
a reload; reloads are coalesced and kept apart. After one, while older workers still finish requests, each host's former
record stays readable for them. What is unused goes last.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from tidegate.agent.client import AgentClient, AgentError
from tidegate.agent.protocol import ApplyResult
from tidegate.apply.dataplane import DataPlane, DataPlaneError, MemoryFullError, VersionConflictError
from tidegate.apply.frames import Transaction, encode
from tidegate.apply.quarantine import bisect, policy_at
from tidegate.apply.records import Record, built_in_backend, in_order
from tidegate.apply.statefile import StateFile
from tidegate.model import Globals, Policy
from tidegate.render.configuration import MIB, Capacity, Configuration, Runtime
from tidegate.render.quoting import UnsafeValue
from tidegate.render.template import render

log = logging.getLogger("tidegate.apply")

FIRST_VERSION = 1000
PUSH_BYTES = 512 * 1024
RELOAD_GAP = 1.0
MOST_GENERATIONS = 8
KEPT_RECORDS = 8
RETRY_AFTER = 1.0
LARGEST_DATA = 4096 * MIB


class StartError(Exception):
    """NGINX cannot be started for a reason that trying again does not mend, such as a busy port."""


class Refused(msgspec.Struct, frozen=True):
    """What NGINX would not take: policies by digest, the global settings, or (memory full) the whole change."""

    policies: tuple[str, ...]
    settings: bool
    memory: bool
    message: str


class Applied(msgspec.Struct, frozen=True):
    """One step that reached the data plane. `seconds` is how long it took; `revision` what is running after it."""

    revision: int
    records: int
    reloaded: bool
    seconds: float


class Applier:
    """Applies wanted state; `on_applied` and `on_refused` are called in the event loop."""

    def __init__(
        self,
        run_dir: Path,
        runtime: Runtime,
        agent: AgentClient,
        *,
        on_applied: Callable[[Applied], None],
        on_refused: Callable[[Refused], None],
    ) -> None:
        self.runtime = runtime
        self._run_dir = run_dir
        self._agent = agent
        self.plane = DataPlane(run_dir)
        self._state = StateFile(run_dir / "state")
        self._on_applied, self._on_refused = on_applied, on_refused
        self._pending: dict[str, Record] = {}
        self._wanted: dict[str, Record] = {}
        self._since: dict[str, int] = {}  # the revision that asked for a pending record
        self._globals: Globals | None = None
        self._globals_since = 0
        self._policies: dict[str, Policy] = {}
        self._policy_users: dict[str, int] = {}
        self._loaded_policies: dict[str, Policy] = {}
        self._loaded_globals: Globals | None = None
        self._loaded_zones: list[object] = []
        self._capacity = Capacity()
        self._loaded_capacity: Capacity | None = None
        self._generation = 0
        self._last_reload = 0.0
        self._wake = asyncio.Event()
        self._changed = asyncio.Condition()
        self._refused_policies: set[str] = set()
        self._refused_globals: Globals | None = None
        self._started = False
        self.wanted_revision = 0
        self.running_revision = 0
        self.reloads = 0
        self.memory = (0, 0)  # capacity and free bytes of the data dictionary
        self.failures = 0
        self.last_reload_successful = True
        self.last_success = 0.0

    # -- what is wanted -------------------------------------------------------------------------------------------

    def want(
        self,
        records: Iterable[Record],
        globals_: Globals,
        policies: dict[str, Policy],
        policy_users: dict[str, int],
        revision: int,
    ) -> None:
        """Take over a change of the wanted state; `policies` are all that any wanted route names."""
        for record in records:
            self._pending[record.key] = record
            self._since[record.key] = revision
            if record.value is None:
                self._wanted.pop(record.key, None)
            else:
                self._wanted[record.key] = record
        if globals_ not in (self._refused_globals, self._globals):
            self._globals, self._globals_since = globals_, revision
        self._policies, self._policy_users = policies, policy_users
        self.wanted_revision = revision
        self._wake.set()

    async def wait(self, revision: int, limit: float) -> bool:
        """Whether the revision was confirmed running within `limit` seconds."""
        try:
            async with asyncio.timeout(limit), self._changed:
                await self._changed.wait_for(lambda: self.running_revision >= revision)
        except TimeoutError:
            return False
        return True

    # -- the loop -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Apply whatever is wanted, until cancelled. Raises StartError when NGINX cannot be brought up at first."""
        await asyncio.to_thread(self._state.load)
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._step()
            except StartError as error:
                if not self._started:
                    raise
                log.error("%s; trying again", error)
                self._wake_later(RETRY_AFTER)
            except (AgentError, DataPlaneError) as error:
                log.warning("%s; trying again", error)
                self._wake_later(RETRY_AFTER)

    def resume(self) -> None:
        """NGINX or its agent was away: look again at what it has."""
        self._started = False
        self._wake.set()

    def _wake_later(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(max(seconds, 0.0), self._wake.set)

    async def _step(self) -> None:
        started = time.monotonic()
        revision = self.wanted_revision
        if not self._started:
            await self._start()
            await self._confirm(revision, len(self._wanted), self.reloads > 0, started)
            return
        count = await self._push_ready()
        if self._needs_reload():
            wait = self._last_reload + RELOAD_GAP - time.monotonic()
            if wait > 0:
                self._wake_later(wait)
                return
            if not await self._room_for_a_generation():
                self._wake_later(0.2)
                return
            if await self._reload():
                count += await self._push_ready()
                await self._confirm(revision, count, True, started)
            return
        await self._confirm(revision, count, False, started)
        await self._drop_former_records()

    async def _confirm(self, revision: int, records: int, reloaded: bool, started: float) -> None:
        if self._pending:
            self._wake.set()
            return
        if revision == self.running_revision and not records:
            return
        self.running_revision = revision
        self._on_applied(Applied(revision, records, reloaded, time.monotonic() - started))
        async with self._changed:
            self._changed.notify_all()

    # -- start and adoption -----------------------------------------------------------------------------------------

    async def _start(self) -> None:
        """Bring up NGINX with everything wanted, or take over one that runs."""
        assert self._globals is not None
        default = built_in_backend(self.runtime.run_dir)
        self._wanted.setdefault(default.key, default)
        status = await self._agent.status()
        if status.running and await self._adopt(status.generation):
            self._started = True
            self._wake.set()
            return
        values = {key: record.value for key, record in self._wanted.items() if record.value is not None}
        self._capacity = Capacity(data=_data_size(values.values()))
        version = max(self._state.version + 1, FIRST_VERSION + sum(map(len, values.values())) // (128 * 1024))
        await asyncio.to_thread(self._state.replace, values, version)
        self._generation = max(self._generation, status.generation)
        before = dict(self._pending)
        if await self._reload():
            for key, record in before.items():
                if self._pending.get(key) is record:
                    del self._pending[key]
            self._started = True
            if status.running:  # its memory was not empty, so the files were not read
                await self._rewrite()

    async def _adopt(self, generation: int) -> bool:
        """Go on with a running NGINX whose data are those of our files."""
        try:
            plane = await self.plane.status()
        except DataPlaneError:
            return False
        if plane.version != self._state.version:
            behind = self._state.transactions_after(plane.version)
            if behind is None:
                return False
            for transaction in behind:
                await self.plane.push(encode(transaction))
        former = await asyncio.to_thread(_read_memo, self._run_dir)
        if former is None or former.generation != generation:
            return False
        self._generation = generation
        self._loaded_globals, self._loaded_policies = former.globals, former.policies
        self._capacity = self._loaded_capacity = Capacity(former.data, former.metrics)
        self._loaded_zones = self._zones(former.globals, former.policies)
        self._pending = {
            key: record for key, record in self._wanted.items() if self._state.values.get(key) != record.value
        }
        for key in self._state.values:
            if key not in self._wanted and not key.startswith("q:"):
                self._pending[key] = Record(key, None)
        log.info("took over NGINX at generation %d, %d records differ", generation, len(self._pending))
        return True

    async def _rewrite(self) -> None:
        """Replace all data by ours in one transaction."""
        version = 1
        await self.plane.push(encode(Transaction(version, dict(self._state.values))))
        await asyncio.to_thread(self._state.replace, self._state.values, version)

    # -- data -------------------------------------------------------------------------------------------------------

    def _blocked(self, record: Record) -> bool:
        return not record.policies <= self._loaded_policies.keys()

    def _may_go(self, record: Record, first_blocked: int | None) -> bool:
        """Routes keep their order: who sees a change sees all earlier ones. Endpoints and certificates overtake."""
        if first_blocked is None:
            return True
        if record.key.startswith("h:"):
            return self._since.get(record.key, 0) < first_blocked
        return record.value is not None

    async def _push_ready(self) -> int:
        waiting = [self._since.get(key, 0) for key, record in self._pending.items() if self._blocked(record)]
        if self._globals != self._loaded_globals:
            waiting.append(self._globals_since)
        first_blocked = min(waiting, default=None)
        ready = [record for record in in_order(self._pending.values()) if self._may_go(record, first_blocked)]
        position = 0
        while position < len(ready):
            batch: dict[str, bytes | None] = {}
            size = 0
            while position < len(ready) and size < PUSH_BYTES:
                record = ready[position]
                batch.update(self._with_former(record))
                size += len(record.value or b"") + len(record.key)
                position += 1
            if not await self._push(batch):
                return 0
            for record in ready[:position]:
                if self._pending.get(record.key) is record:
                    del self._pending[record.key]
        return len(ready)

    def _with_former(self, record: Record) -> dict[str, bytes | None]:
        """The record, and before it, for workers without its policies, the one it takes the place of."""
        former = self._state.values.get(record.key)
        if not record.policies or former is None or former == record.value:
            return {record.key: record.value}
        kept = "q:" + record.key[2:]
        older = self._state.values.get(kept, b"[]")
        rows: list[msgspec.Raw] = msgspec.json.decode(older, type=list[msgspec.Raw])
        rows = [msgspec.Raw(former), *rows][:KEPT_RECORDS]
        return {kept: msgspec.json.encode(rows), record.key: record.value}

    async def _push(self, operations: dict[str, bytes | None]) -> bool:
        transaction = Transaction(self._state.version + 1, operations)
        encoded = self._state.append(transaction)
        try:
            result = await self.plane.push(encoded)
        except MemoryFullError as error:
            self._state.withdraw(encoded)
            self._grow(error)
            return False
        except VersionConflictError as error:
            self._state.withdraw(encoded)
            log.warning("%s, expected %d: writing everything anew", error, self._state.version)
            await self._rewrite()
            return False
        except DataPlaneError:
            self._state.withdraw(encoded)
            self._started = False
            raise
        self._state.accept(transaction)
        self.memory = (result.capacity, result.free)
        if result.free < result.capacity * 0.3:
            self._capacity = Capacity(min(2 * result.capacity, LARGEST_DATA), self._capacity.metrics)
        return True

    def _grow(self, error: MemoryFullError) -> None:
        if self._capacity.data >= LARGEST_DATA:
            self._on_refused(Refused((), False, True, str(error)))
            self._pending.clear()
            return
        needed = _data_size([*self._state.values.values(), *(r.value for r in self._pending.values() if r.value)])
        self._capacity = Capacity(min(max(2 * error.capacity, needed), LARGEST_DATA), self._capacity.metrics)
        self._wake.set()

    async def _drop_former_records(self) -> None:
        """Once no older worker is left, the records kept for them go."""
        kept = [key for key in self._state.values if key.startswith("q:")]
        if not kept:
            return
        status = await self._agent.status()
        if status.old_generations:
            self._wake_later(2.0)
            return
        await self._push(dict.fromkeys(kept))

    # -- configuration ----------------------------------------------------------------------------------------------

    def _needs_reload(self) -> bool:
        return (
            self._globals != self._loaded_globals
            or self._capacity != self._loaded_capacity
            or any(self._blocked(record) for record in self._pending.values())
        )

    def _zones(self, globals_: Globals, policies: dict[str, Policy]) -> list[object]:
        return list(self._configuration(globals_, policies).rate_zones)

    def _configuration(self, globals_: Globals, policies: dict[str, Policy]) -> Configuration:
        return Configuration(self._generation + 1, globals_, policies, self.runtime, self._capacity, self._policy_users)

    def _policies_to_load(self) -> dict[str, Policy]:
        """Those that routes shall name, and those that they name now, for as long as they do."""
        named = {policy for record in self._wanted.values() for policy in record.policies}
        for key in self._pending:
            named |= _policies_of(self._state.values.get(key))
        known = {**self._loaded_policies, **self._policies}
        return {digest: known[digest] for digest in named if digest in known and digest not in self._refused_policies}

    async def _room_for_a_generation(self) -> bool:
        """Keep the number of older generations bounded: wait for one to end, and at last end the oldest."""
        status = await self._agent.status()
        if status.old_generations < MOST_GENERATIONS:
            return True
        if time.monotonic() - self._last_reload < 30:
            return False
        await self._agent.retire(MOST_GENERATIONS - 1)
        return True

    async def _try(self, globals_: Globals, policies: dict[str, Policy]) -> tuple[ApplyResult, str]:
        configuration = self._configuration(globals_, policies)
        text = render(configuration)
        result = await self._agent.apply(self._generation + 1, text, configuration.workers)
        self._last_reload = time.monotonic()
        if result.ok:
            self._generation += 1
            self._loaded_globals, self._loaded_policies = globals_, policies
            self._loaded_capacity = self._capacity
            memo = _Memo(self._generation, globals_, policies, self._capacity.data, self._capacity.metrics)
            await asyncio.to_thread(_write_memo, self._run_dir, memo)
            if result.reloaded:
                self.reloads += 1
        return result, text

    async def _reload(self) -> bool:
        """Load the configuration that is wanted; what NGINX refuses is reported and left out."""
        assert self._globals is not None
        policies = self._policies_to_load()
        try:
            result, text = await self._try(self._globals, policies)
        except UnsafeValue as error:
            self._refuse_globals(str(error))
            return False
        if result.ok:
            self.last_reload_successful, self.last_success = True, time.time()
            return True
        self.failures += 1
        self.last_reload_successful = False
        message = result.errors[0].message if result.errors else result.output[-300:]
        log.error("NGINX refused the configuration: %s", message)
        if result.stage == "start" and any(error.address for error in result.errors):
            raise StartError(message)
        await self._quarantine(result, text, policies, message)
        return False

    async def _quarantine(self, result: ApplyResult, text: str, policies: dict[str, Policy], message: str) -> None:
        assert self._globals is not None
        for error in result.errors:
            digest = policy_at(text, error.line) if error.line else None
            if digest is not None:
                self._refuse_policies([digest], error.message)
                return
        if self._loaded_globals is not None and self._globals != self._loaded_globals:
            self._refuse_globals(message)
            return
        loaded, settings = self._loaded_policies, self._globals
        new = [digest for digest in policies if digest not in loaded]

        async def accepts(digests: Iterable[str]) -> bool:
            chosen = {**loaded, **{digest: policies[digest] for digest in digests}}
            return (await self._try(settings, chosen))[0].ok

        bad = await bisect(new, accepts)
        if bad:
            self._refuse_policies(bad, message)
            return
        self._wake_later(RETRY_AFTER)
        raise AgentError(f"NGINX does not take its configuration: {message}")

    def _refuse_policies(self, digests: list[str], message: str) -> None:
        self._refused_policies |= set(digests)
        for key, record in list(self._pending.items()):
            if record.policies & self._refused_policies:
                del self._pending[key]
        self._on_refused(Refused(tuple(digests), False, False, message))
        self._wake.set()

    def _refuse_globals(self, message: str) -> None:
        self._refused_globals = self._globals
        self._globals = self._loaded_globals
        self._on_refused(Refused((), True, False, message))
        self._wake.set()

    async def close(self) -> None:
        await self.plane.close()


class _Memo(msgspec.Struct, frozen=True):
    """What the running generation was made from, for the next control plane."""

    generation: int
    globals: Globals
    policies: dict[str, Policy]
    data: int
    metrics: int


def _memo_path(run_dir: Path) -> Path:
    return run_dir / "state" / "generation.json"


def _write_memo(run_dir: Path, memo: _Memo) -> None:
    path = _memo_path(run_dir)
    temporary = path.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(memo))
    temporary.rename(path)


def _read_memo(run_dir: Path) -> _Memo | None:
    try:
        return msgspec.json.decode(_memo_path(run_dir).read_bytes(), type=_Memo)
    except (OSError, msgspec.DecodeError):
        return None


class _PoliciesOnly(msgspec.Struct):
    class RoutePolicy(msgspec.Struct):
        policy: str = ""

    routes: list[RoutePolicy] = []


def _policies_of(value: bytes | None) -> set[str]:
    if value is None or not value.startswith(b'{"name"'):
        return set()
    return {route.policy for route in msgspec.json.decode(value, type=_PoliciesOnly).routes if route.policy}


def _data_size(values: Iterable[bytes]) -> int:
    """Room for these records twice over (slab pages, the log of keys, growth), in a power of two of MiB."""
    needed = 2 * sum(len(value) + 256 for value in values)
    size = 32 * MIB
    while size < needed:
        size *= 2
    return size
