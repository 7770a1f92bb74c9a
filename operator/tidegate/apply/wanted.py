"""What is wanted of NGINX's configuration, since which revision, and what NGINX has refused of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from tidegate.apply.loader import Loader, Refused
from tidegate.apply.records import Record
from tidegate.apply.servers import same_places, stream_lines
from tidegate.apply.streams import Listeners
from tidegate.model import Globals, Listener, Policy, Server, Stream


class WantedConfiguration:
    """Beside what `loader` has loaded; `globals` are those wanted last, whether NGINX takes them or not."""

    def __init__(self, loader: Loader, fallback: Globals) -> None:
        self._loader = loader
        self.globals = fallback
        self._globals_since = 0
        self.policies: dict[str, Policy] = {}
        self.policy_users: dict[str, int] = {}
        self._servers: dict[str, Server] = {}
        self._listeners = Listeners()
        self._listeners_since = 0
        self._lines_since = 0
        self._refused_policies: dict[str, str] = {}
        self._refused_servers: dict[str, str] = {}
        self._refused_lines: set[str] = set()  # those of them that are lines for `stream`
        self._refused_globals: Globals | None = None

    def take(
        self,
        globals_: Globals,
        policies: dict[str, Policy],
        policy_users: dict[str, int],
        servers: dict[str, Server],
        streams: Mapping[str, Stream],
        revision: int,
    ) -> None:
        """From now on this is wanted."""
        waited = self.listeners_wait
        if self._listeners.want(streams, time.monotonic()) and not waited:
            self._listeners_since = revision
        if globals_ != self.globals:
            self.globals, self._globals_since = globals_, revision
            self._refused_policies.clear()  # under other settings NGINX may take them
            self._refused_servers.clear()
            self._refused_globals = None
        waited = self._lines_wait
        self.policies, self.policy_users, self._servers = policies, policy_users, servers
        for digest in self._refused_lines - servers.keys():  # whoever is at fault for a port may be gone by then
            self._refused_lines.discard(digest)
            self._refused_servers.pop(digest, None)
        if self._lines_wait and not waited:
            self._lines_since = revision

    # -- what NGINX does not take -----------------------------------------------------------------------------------

    def refused_again(self, pending: Iterable[Record]) -> Refused | None:
        """What of these records, and of lines for `stream`, was refused before."""
        if not (self._refused_policies or self._refused_servers):
            return None
        records = list(pending)
        again = {digest for record in records for digest in record.policies} & self._refused_policies.keys()
        profiles = {record.profile for record in records} | stream_lines(self._servers)
        once_more = profiles & self._refused_servers.keys()
        if not (again or once_more):
            return None
        refused = {digest: self._refused_policies[digest] for digest in again}
        return Refused(refused, {digest: self._refused_servers[digest] for digest in once_more})

    def refuse(self, refused: Refused) -> list[int]:
        """Set it aside; the revisions since which it was wanted."""
        self._refused_policies |= refused.policies
        self._refused_servers |= refused.servers
        held = []
        if refused.listeners:
            self._listeners.refuse(refused.listeners)
            held.append(self._listeners_since)
        if lines := stream_lines(self._servers) & refused.servers.keys():
            self._refused_lines |= lines
            held.append(self._lines_since)
        if refused.settings:
            self._refused_globals = self.globals
            held.append(self._globals_since)
        return held

    # -- what there is to load --------------------------------------------------------------------------------------

    @property
    def settings(self) -> Globals:
        """The global settings to load: those wanted, unless NGINX has refused them."""
        return self._loader.good_globals if self.globals == self._refused_globals else self.globals

    @property
    def servers(self) -> dict[str, Server]:
        return {digest: server for digest, server in self._servers.items() if digest not in self._refused_servers}

    @property
    def listeners(self) -> frozenset[Listener]:
        return self._listeners.to_open(self._opened, time.monotonic())

    def takes(self, policy: str) -> bool:
        """Whether NGINX has not refused this policy."""
        return policy not in self._refused_policies

    @property
    def settings_wait(self) -> bool:
        return self._loader.loaded is None or self.settings != self._loader.loaded.content.globals

    @property
    def listeners_wait(self) -> bool:
        return self.listeners != self._opened

    @property
    def waits(self) -> bool:
        """Whether settings, listeners or servers are not those that run."""
        loaded = self._loader.loaded
        return (
            loaded is None
            or self.settings_wait
            or self.listeners_wait
            or not same_places(loaded.content.servers, self.servers)
        )

    @property
    def since(self) -> list[int]:
        """The revisions since which settings, listeners and lines wait that do not run yet."""
        rows = (
            (self.settings_wait, self._globals_since),
            (self.listeners_wait, self._listeners_since),
            (self._lines_wait, self._lines_since),
        )
        return [revision for waits, revision in rows if waits]

    @property
    def settings_since(self) -> list[int]:
        """The same of the settings alone."""
        return [self._globals_since] if self.settings_wait else []

    def until_next_listener(self) -> float | None:
        """Seconds until a listener is to be closed."""
        return self._listeners.until_next(self._opened, time.monotonic())

    @property
    def _opened(self) -> frozenset[Listener]:
        return frozenset(self._loader.loaded.content.listeners) if self._loader.loaded else frozenset()

    @property
    def _lines_wait(self) -> bool:
        """Whether other lines for `stream` are wanted than those that run."""
        loaded = self._loader.loaded
        return stream_lines(self.servers) != stream_lines(loaded.content.servers if loaded else {})
