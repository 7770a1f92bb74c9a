"""What the agent and its client say to each other: JSON over HTTP on `agent.sock`."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Stage(StrEnum):
    """How far an apply came before it failed."""

    TEST = "test"  # `nginx -t` refused the text
    START = "start"  # NGINX could not be started with it
    RELOAD = "reload"  # the running NGINX refused it, or its new workers never came up
    STOPPED = "stopped"  # the agent is on its way out


class AgentState(StrEnum):
    """What the agent is doing about NGINX."""

    EMPTY = "empty"  # nothing was ever handed over
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"  # NGINX does not come up; tried again with back-off
    DRAINING = "draining"  # told to end: still serves for a while, so that nobody sends it more by then
    STOPPING = "stopping"


class NginxError(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing NGINX had to say, in its own words, with the place it names.

    `address` is set for listeners that could not be opened; `code` is then the system's errno.
    """

    message: str
    level: str = "emerg"
    file: str | None = None
    line: int | None = None
    address: str | None = None
    code: int | None = None


class ApplyRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A configuration to put into force; `workers` is the number of workers that must confirm it (0: as NGINX says).

    With `test_only` NGINX is just asked whether it would take it.
    """

    generation: int
    conf: str
    workers: int = 0
    test_only: bool = False


class ApplyResult(msgspec.Struct, frozen=True):
    """What became of an `ApplyRequest`.

    `reloaded` is false when NGINX was started, or when exactly this text was running already. `restored` says, after
    a failure, that the last good configuration is in force (or on disk, when NGINX did not run).
    """

    ok: bool
    generation: int
    stage: Stage | None = None
    errors: tuple[NginxError, ...] = ()
    output: str = ""
    seconds: float = 0.0
    test_seconds: float = 0.0
    pid: int | None = None
    reloaded: bool = False
    restored: bool = False


class WorkerStatus(msgspec.Struct, frozen=True):
    """One NGINX worker; `generation` is -1 when it is older than everything the agent remembers."""

    pid: int
    generation: int
    shutting_down: bool
    rss: int
    started: float


class Machine(msgspec.Struct, frozen=True):
    """What NGINX has here: processors, and the open files that its limit may be raised to."""

    cores: int = 1
    open_files: int = 1024


class AgentStatus(msgspec.Struct, frozen=True):
    """What runs now. `generation` is the last confirmed one, 0 when there is none.

    `instance` tells one agent from the next: in a container each is process 1.
    """

    state: AgentState
    agent_pid: int
    pid: int | None
    running: bool
    generation: int
    workers: tuple[WorkerStatus, ...]
    old_generations: int
    restarts: int
    reloads: int
    adopted: bool
    last_error: str
    instance: str = ""
    machine: Machine = Machine()


class ProcessUsage(msgspec.Struct, frozen=True):
    """What NGINX's processes use together. What ended ones used counts in the totals."""

    processes: int = 0
    cpu_seconds: float = 0.0
    read_bytes: int = 0
    write_bytes: int = 0
    resident_bytes: int = 0
    virtual_bytes: int = 0
    oldest_start: float = 0.0


class StopRequest(msgspec.Struct, frozen=True):
    """End NGINX gracefully within `timeout` seconds, then forcibly."""

    timeout: float | None = None


class StopResult(msgspec.Struct, frozen=True):
    """`graceful` is false when something had to be ended by force."""

    ok: bool
    graceful: bool
    seconds: float


class RetireRequest(msgspec.Struct, frozen=True):
    """Keep at most `keep` generations of draining workers."""

    keep: int = 0


class RetireResult(msgspec.Struct, frozen=True):
    """The workers that were ended, and their generations."""

    pids: tuple[int, ...]
    generations: tuple[int, ...]


class Refusal(msgspec.Struct, frozen=True):
    """The body of an HTTP error answer."""

    error: str
