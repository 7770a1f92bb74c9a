"""Bringing NGINX to the configuration that is wanted, and finding out what in it NGINX refuses."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from tidegate.agent.client import AgentClient, AgentError
from tidegate.agent.protocol import ApplyResult, NginxError, Stage
from tidegate.apply.memo import Content, Loaded, Memo
from tidegate.apply.quarantine import Suspect, bisect, suspect_at
from tidegate.model import CATCH_ALL, Globals, Listener, Policy, Server, listens_of
from tidegate.render.configuration import Configuration
from tidegate.render.quoting import UnsafeValue
from tidegate.render.runtime import Runtime
from tidegate.render.template import render

log = logging.getLogger("tidegate.apply")

RELOAD_GAP = 1.0
MOST_GENERATIONS = 8
OLDEST_LIVES = 30.0  # seconds that a reload waits for the oldest of too many generations before it ends it
CONFIGURATIONS = ("nginx.conf", "candidate.conf")


class StartError(Exception):
    """NGINX cannot be brought up, or not with what is asked for outside of manifests, such as a busy port."""


class Refused(msgspec.Struct, frozen=True):
    """What the data plane would not take, and why: policies and servers by digest, listeners by name, or others."""

    policies: dict[str, str] = {}
    servers: dict[str, str] = {}
    listeners: dict[str, str] = {}
    settings: str = ""
    memory: str = ""


class Loader:
    """Knows what configuration runs. `loaded` is None until one does; `last_reload` is a monotonic time."""

    def __init__(self, run_dir: Path, runtime: Runtime, agent: AgentClient, fallback: Globals) -> None:
        self.loaded: Loaded | None = None
        self.reloads = self.failures = 0
        self.last_reload_successful = True
        self.last_success = 0.0
        self.last_reload = 0.0
        self._runtime, self._agent, self._fallback = runtime, agent, fallback
        self._memo = Memo(run_dir / "state" / "generation.json")
        self._memory: list[Loaded] = []

    @property
    def policies(self) -> dict[str, Policy]:
        """Those that the newest workers know."""
        return self.loaded.content.policies if self.loaded else {}

    @property
    def good_globals(self) -> Globals:
        """Global settings that NGINX is known to take: those that run, else those that ran last, else the defaults."""
        if self.loaded is not None:
            return self.loaded.content.globals
        return next((one.content.globals for one in self._memory if one.confirmed), self._fallback)

    @property
    def former_data_size(self) -> int:
        """Of the newest generation that an earlier control plane has written down; 0 for none."""
        return max((one.content.capacity.data for one in self._memory), default=0)

    # -- taking over ------------------------------------------------------------------------------------------------

    async def recall(self) -> None:
        """Read what an earlier control plane has written down."""
        self._memory = await asyncio.to_thread(self._memo.read)

    async def adopt(self, generation: int) -> bool:
        """Go on with the generation that runs, if it is known what it was made from.

        The same text is handed over again: so whatever an earlier control plane asked for is over when this returns,
        and what has changed in the program or its options comes into force. For an unchanged text nothing happens.
        """
        known = [one for one in self._memory if one.generation == generation]
        if not known:
            return False
        result, _ = await self._hand_over(generation, known[-1].content)
        if not result.ok:
            raise _failure(result)
        self.loaded = replace(known[-1], confirmed=True)
        await self._remember([self.loaded])
        self._note(result)
        return True

    # -- loading ----------------------------------------------------------------------------------------------------

    async def room(self, *, serial: bool = False) -> float:
        """Seconds to wait before the next reload: reloads are kept apart, and old generations bounded in number.

        With `serial` there must be none.
        """
        now = time.monotonic()
        if now < self.last_reload + RELOAD_GAP:
            return self.last_reload + RELOAD_GAP - now
        status = await self._agent.status()
        if status.old_generations == 0 or (status.old_generations < MOST_GENERATIONS and not serial):
            return 0.0
        if serial:
            return 0.2  # NGINX ends them after worker-shutdown-timeout
        if now < self.last_reload + OLDEST_LIVES:
            return 0.2
        await self._agent.retire(MOST_GENERATIONS - 1)
        return 0.0

    async def load(self, wanted: Content, newest: int) -> Refused | None:
        """Load a configuration as a generation above `newest`; what NGINX refuses, or None when it is in force.

        Raises StartError or AgentError when the fault is none of those that Refused can tell.
        """
        result, text = await self._apply(wanted, newest)
        if result.ok:
            return None
        self.failures += 1
        self.last_reload_successful = False
        if listeners := _closed_to_us(result, wanted.listeners):
            return Refused(listeners=listeners)
        if lines := _taken_by_lines(result, wanted.servers):
            return Refused(servers=lines)
        busy = any(error.address for error in result.errors) and not self._moves_listeners(wanted.globals)
        if result.stage is Stage.STOPPED or busy:
            raise _failure(result)
        log.error("NGINX refused the configuration: %s", _words(result))
        return await self._find_fault(wanted, newest, result, text)

    def _moves_listeners(self, settings: Globals) -> bool:
        """Whether an address that cannot be had may be one that the settings ask for, and not the command line."""
        good = self.good_globals
        return (settings.bind_ipv4, settings.bind_ipv6) != (good.bind_ipv4, good.bind_ipv6)

    async def _apply(self, content: Content, newest: int) -> tuple[ApplyResult, str]:
        generation = max(newest, self.loaded.generation if self.loaded else 0) + 1
        tried = Loaded(generation, content)
        await self._remember([*(one for one in self._memory if one.confirmed), tried])
        result, text = await self._hand_over(generation, content)
        if result.ok:
            self.loaded = replace(tried, confirmed=True)
            await self._remember([self.loaded])
            self._note(result)
        elif result.stage is not Stage.TEST:
            self.last_reload = time.monotonic()
        return result, text

    async def _remember(self, generations: list[Loaded]) -> None:
        self._memory = generations
        await asyncio.to_thread(self._memo.write, generations)

    async def _hand_over(self, generation: int, content: Content) -> tuple[ApplyResult, str]:
        try:
            text = await asyncio.to_thread(self._render, generation, content)
        except UnsafeValue as error:
            return _unsafe(generation, error), ""
        workers = content.globals.workers or self._runtime.workers
        return await self._agent.apply(generation, text, workers), text

    def _render(self, generation: int, content: Content) -> str:
        return render(
            Configuration(
                generation,
                content.globals,
                content.policies,
                self._runtime.with_own_networks(content.own_networks),
                content.capacity,
                content.users,
                content.servers,
                content.listeners,
                content.sessions,
            )
        )

    def _note(self, result: ApplyResult) -> None:
        self.last_reload_successful, self.last_success = True, time.time()
        if result.reloaded:
            self.reloads += 1
            self.last_reload = time.monotonic()

    # -- what is at fault -------------------------------------------------------------------------------------------

    async def _find_fault(self, wanted: Content, newest: int, result: ApplyResult, text: str) -> Refused:
        words = _words(result)
        only_tested = result.stage is Stage.TEST

        async def attempt(content: Content) -> tuple[ApplyResult, str]:
            if only_tested:
                return await self._test(content)
            await asyncio.sleep(max(0.0, self.last_reload + RELOAD_GAP - time.monotonic()))
            return await self._apply(content, newest)

        rest = wanted
        if wanted.globals != self.good_globals:
            rest = replace(wanted, globals=self.good_globals)
            result, text = await attempt(rest)
            if result.ok:
                return Refused(settings=words)
        opened = self.loaded.content.listeners if self.loaded else ()
        if fresh := [listener for listener in rest.listeners if listener not in opened]:
            kept = tuple(listener for listener in rest.listeners if listener in opened)
            other, _ = await attempt(replace(rest, listeners=kept))
            if other.ok:
                return Refused(listeners={listener.name: words for listener in fresh})
        bad: dict[Suspect, str] = {}
        while not result.ok and (found := _culprit(result, text, rest)):
            suspect, message = found
            bad[suspect] = message
            rest = _only(rest, _suspects(rest) - {suspect})
            result, text = await attempt(rest)
        if not result.ok:
            known = _suspects(rest) & (_suspects(self.loaded.content) if self.loaded else set())

            async def refusal(suspects: Sequence[Suspect]) -> str:
                answer, _ = await attempt(_only(rest, known | set(suspects)))
                return "" if answer.ok else _words(answer)

            bad |= await bisect(sorted(_suspects(rest) - known), refusal)
        if not bad:
            raise StartError(f"NGINX does not take its configuration: {words}")
        return Refused(
            policies={suspect.digest: message for suspect, message in bad.items() if not suspect.server},
            servers={suspect.digest: message for suspect, message in bad.items() if suspect.server},
        )

    async def _test(self, content: Content) -> tuple[ApplyResult, str]:
        try:
            text = await asyncio.to_thread(self._render, 0, content)
        except UnsafeValue as error:
            return _unsafe(0, error), ""
        return await self._agent.test(text), text


def _closed_to_us(result: ApplyResult, listeners: Sequence[Listener]) -> dict[str, str]:
    """The listeners whose ports could not be opened, and why."""
    messages = {error.address.rpartition(":")[2]: error.message for error in result.errors if error.address}
    return {one.name: messages[str(one.port)] for one in listeners if str(one.port) in messages}


def _taken_by_lines(result: ApplyResult, servers: Mapping[str, Server]) -> dict[str, str]:
    """The lines for `stream` that ask for a port which could not be opened, and why."""
    messages = {error.address.rpartition(":")[2]: error.message for error in result.errors if error.address}
    return {
        digest: messages[port]
        for digest, server in servers.items()
        for address in listens_of(server.profile.stream)
        if (port := address.rpartition(":")[2]) in messages
    }


def _unsafe(generation: int, error: UnsafeValue) -> ApplyResult:
    return ApplyResult(False, generation, Stage.TEST, (NginxError(str(error)),))


def _words(result: ApplyResult) -> str:
    return result.errors[0].message if result.errors else result.output.strip()[-300:] or "no reason was given"


def _failure(result: ApplyResult) -> Exception:
    return AgentError(_words(result)) if result.stage is Stage.STOPPED else StartError(_words(result))


def _culprit(result: ApplyResult, text: str, content: Content) -> tuple[Suspect, str] | None:
    """What stands at a line that NGINX names, and what it says about it."""
    for error in result.errors:
        if error.line and error.file and Path(error.file).name in CONFIGURATIONS:
            suspect = suspect_at(text, error.line)
            if suspect in _suspects(content):
                return suspect, error.message
    return None


def _suspects(content: Content) -> set[Suspect]:
    servers = {Suspect(digest, server=True) for digest in content.servers if digest != CATCH_ALL}
    return {Suspect(digest) for digest in content.policies} | servers


def _only(content: Content, kept: set[Suspect]) -> Content:
    """The same without the other policies and server profiles."""
    policies = {digest: policy for digest, policy in content.policies.items() if Suspect(digest) in kept}
    servers = {
        digest: replace(server, policies=tuple(one for one in server.policies if one in policies))
        for digest, server in content.servers.items()
        if digest == CATCH_ALL or Suspect(digest, server=True) in kept
    }
    return replace(content, policies=policies, servers=servers)
