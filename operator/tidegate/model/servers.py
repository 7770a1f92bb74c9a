"""Native servers: configuration, for what a named location cannot say."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from tidegate.model.policies import Directive

VerifyMode = Literal["on", "off", "optional", "optional_no_ca"]


class Verification(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How certificates of clients are verified. `authorities` and `revocations` name PEM files by digest."""

    authorities: str
    revocations: str = ""
    depth: int = 1
    mode: VerifyMode = "on"


class ServerProfile(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What needs a native `server` of its own: verified clients, ciphers, lines of a server snippet.

    One with lines for the `stream` block has nothing else, and no hosts.
    """

    snippet: tuple[Directive, ...] = ()
    stream: tuple[Directive, ...] = ()
    verification: Verification | None = None
    ciphers: str = ""  # empty: the global ones
    prefer_server_ciphers: bool | None = None  # None: as globally

    @property
    def digest(self) -> str:
        """A name for this profile, the same in every process."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


class Server(msgspec.Struct, frozen=True, gc=False):
    """A native server: which names it takes, and the policies that routes of these names name."""

    profile: ServerProfile
    hosts: tuple[str, ...]
    policies: tuple[str, ...] = ()
