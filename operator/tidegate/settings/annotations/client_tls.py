"""Annotations of TLS towards clients. They count for the whole host."""

from __future__ import annotations

from typing import Final

from tidegate.settings.configmap import tls as keys
from tidegate.settings.family import Family
from tidegate.settings.nginx_types import Ciphers
from tidegate.settings.setting import OnInvalid, Scope
from tidegate.settings.types import GoBool

_FAMILY: Final = Family("TLS to clients", scope=Scope.SERVER)

SSL_CIPHERS: Final = _FAMILY.overriding(
    keys.SSL_CIPHERS, Ciphers(), "Ciphers that the host offers.", on_invalid=OnInvalid.REJECT
)
SSL_PREFER_SERVER_CIPHERS: Final = _FAMILY.setting(
    "ssl-prefer-server-ciphers", GoBool(), True, "Whether the server's order of ciphers counts, not the client's."
)
SSL_PASSTHROUGH: Final = _FAMILY.setting(
    "ssl-passthrough",
    GoBool(),
    False,
    "Whether TLS for the host goes to the Service of the path / undecrypted.",
    on_invalid=OnInvalid.REJECT,
    note="needs --enable-ssl-passthrough; goes to the endpoints of the Service and not to its address",
)
