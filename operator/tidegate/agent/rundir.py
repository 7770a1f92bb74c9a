"""The run directory: its paths, its lock, and the configuration files that change places in it."""

from __future__ import annotations

import fcntl
import os
import pwd
import re
from pathlib import Path

_TRAILER = re.compile(r"\n# tidegate-agent: generation=(\d+) workers=(\d+)\n\Z")
_OWNED_BY_AGENT = re.compile(r"(?m)^[ \t]*(?:(?:daemon|master_process)\s+(?:on|off)\s*;[ \t]*)+")
_SOCKET_PATH_MAX = 107
SHARED_MODE = 0o3770  # of the group, each entry its owner's alone to remove


class RunDirError(Exception):
    """The run directory cannot be used."""


class AgentLockedError(RunDirError):
    """Another agent owns the run directory."""

    def __init__(self, run_dir: Path, pid: int | None) -> None:
        self.pid = pid
        who = f"process {pid}" if pid else "another process"
        super().__init__(f"the run directory {run_dir} belongs to another agent ({who})")


def _write(path: Path, text: str) -> None:
    """Writes a file so that it is there in full or not at all, also after a crash."""
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _place(source: Path, target: Path) -> None:
    """Makes `target` the same file as `source`, atomically."""
    new = target.with_name(target.name + ".new")
    new.unlink(missing_ok=True)
    os.link(source, new)
    new.replace(target)
    new.unlink(missing_ok=True)  # a rename between two names of one file does nothing and leaves both


class RunDir:
    """Paths below one run directory, and what is done to them."""

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        """`shared`: the control plane is another user of this group, with folders of its own in it."""
        self.path = Path(os.path.realpath(path))
        self.shared = shared
        self.agent_socket = self.path / "agent.sock"
        self.push_socket = self.path / "push.sock"
        self.lock_file = self.path / "agent.lock"
        self.pid_file = self.path / "nginx.pid"
        self.conf = self.path / "conf" / "nginx.conf"
        self.candidate = self.path / "conf" / "candidate.conf"
        self.previous = self.path / "conf" / "previous.conf"
        self._unconfirmed = self.path / "conf" / "unconfirmed"
        self.generations_file = self.path / "conf" / "workers.json"
        self.logs = self.path / "logs"
        self.error_log = self.logs / "error.log"
        self.start_log = self.logs / "start.log"
        self.test_log = self.logs / "test.log"
        self.agent_log = self.logs / "agent.log"
        self.tmp = self.path / "tmp"
        self._lock: int | None = None

    def prepare(self, worker_user: str | None = None) -> None:
        """Creates the directories; when root, the workers' user owns the run directory and its `tmp`."""
        for socket in (self.agent_socket, self.push_socket):
            if len(os.fsencode(socket)) > _SOCKET_PATH_MAX:
                raise RunDirError(
                    f"the socket path {socket} is longer than {_SOCKET_PATH_MAX} bytes: choose a shorter --run-dir"
                )
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self.shared:
                self.path.chmod(0o700)
            elif self.path.stat().st_uid == os.geteuid():  # else a volume's, or made by the control plane
                self.path.chmod(SHARED_MODE)
            for folder in (self.conf.parent, self.logs, self.tmp):
                folder.mkdir(mode=0o700, exist_ok=True)
            if worker_user is not None and os.geteuid() == 0:
                user = pwd.getpwnam(worker_user)
                for folder in (self.path, self.tmp):
                    os.chown(folder, user.pw_uid, user.pw_gid)
        except OSError as error:
            raise RunDirError(f"the run directory {self.path} cannot be used: {error}") from error
        except KeyError:
            raise RunDirError(f"there is no user named {worker_user!r} on this machine") from None

    def lock(self) -> None:
        """Takes the lock for the life of this process; raises `AgentLockedError` when another agent has it."""
        fd = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(fd, 32).decode(errors="replace").strip()
            os.close(fd)
            raise AgentLockedError(self.path, int(text) if text.isdigit() else None) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._lock = fd

    def unlock(self) -> None:
        """Gives the lock up."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def master_pid(self) -> int | None:
        """The pid that NGINX wrote (`nginx -t` leaves the file empty)."""
        try:
            text = self.pid_file.read_text().strip()
        except FileNotFoundError:
            return None
        return int(text) if text.isdigit() else None

    # The configuration files. A text carries its generation and number of workers at its end (so that line numbers in
    # NGINX's messages stay right), which makes both change in one rename.

    def write_candidate(self, conf: str, generation: int, workers: int) -> str:
        """Writes the configuration to be tested and returns what was written."""
        text = f"{without_agent_directives(conf)}\n# tidegate-agent: generation={generation} workers={workers}\n"
        _write(self.candidate, text)
        return text

    def read_conf(self) -> str | None:
        """The running configuration, if there is one."""
        try:
            return self.conf.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return None

    def swap(self) -> None:
        """Puts the candidate in the place of the running configuration, and keeps that one as the previous."""
        self.previous.unlink(missing_ok=True)
        if self.conf.exists():
            _place(self.conf, self.previous)
        self._unconfirmed.touch()
        _place(self.candidate, self.conf)

    def restore(self) -> bool:
        """Puts the previous configuration back; false when there is none."""
        if self.previous.exists():
            _place(self.previous, self.conf)
            found = True
        else:
            self.conf.unlink(missing_ok=True)
            found = False
        self._unconfirmed.unlink(missing_ok=True)
        return found

    def commit(self) -> None:
        """The running configuration is confirmed."""
        self._unconfirmed.unlink(missing_ok=True)
        self.candidate.unlink(missing_ok=True)

    def last_confirmed(self) -> str | None:
        """The last configuration that was confirmed."""
        path = self.previous if self.unconfirmed else self.conf
        try:
            return path.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return None

    @property
    def unconfirmed(self) -> bool:
        """Whether an agent died between the swap and the confirmation."""
        return self._unconfirmed.exists()


def without_agent_directives(conf: str) -> str:
    """The text without `daemon` and `master_process` at its top: the agent sets both, and NGINX refuses duplicates."""
    head, brace, rest = conf.partition("{")
    return _OWNED_BY_AGENT.sub("", head) + brace + rest


def trailer(conf: str) -> tuple[int, int]:
    """Generation and number of workers that a stored configuration names; zeros when it does not."""
    match = _TRAILER.search(conf)
    return (int(match[1]), int(match[2])) if match else (0, 0)
