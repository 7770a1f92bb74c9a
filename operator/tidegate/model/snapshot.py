"""The whole wanted state."""

from __future__ import annotations

import msgspec

from tidegate.model.backends import Backend, Passthrough, Stream
from tidegate.model.certificates import Certificate
from tidegate.model.policies import Policy
from tidegate.model.routes import Host
from tidegate.model.servers import Server


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """The whole wanted state, keyed by the names that the data plane looks things up by."""

    hosts: dict[str, Host]
    backends: dict[str, Backend]
    certificates: dict[str, Certificate]
    policies: dict[str, Policy]
    servers: dict[str, Server]
    streams: dict[str, Stream] = {}
    passthrough: dict[str, Passthrough] = {}
