"""Annotations with lines of NGINX configuration, and those of the web application firewall."""

from __future__ import annotations

from typing import Final

from tidegate.settings.configmap import modsecurity as keys
from tidegate.settings.directives import Directives
from tidegate.settings.family import Family
from tidegate.settings.setting import OnInvalid, Risk, Scope
from tidegate.settings.texts import CharClass, Snippet, Text
from tidegate.settings.types import GoBool

_SNIPPETS: Final = Family("Snippets", on_invalid=OnInvalid.REJECT)
_FIREWALL: Final = Family("ModSecurity", on_invalid=OnInvalid.DENY, security=True)

CONFIGURATION_SNIPPET: Final = _SNIPPETS.setting(
    "configuration-snippet", Directives(), (), "Lines for each path of the Ingress.", risk=Risk.CRITICAL
)
SERVER_SNIPPET: Final = _SNIPPETS.setting(
    "server-snippet",
    Directives(),
    (),
    "Lines for the host; only the oldest Ingress of a host has a say.",
    scope=Scope.SERVER,
    risk=Risk.CRITICAL,
)
STREAM_SNIPPET: Final = _SNIPPETS.setting(
    "stream-snippet",
    Directives(),
    (),
    "Lines for TCP and UDP services.",
    scope=Scope.GLOBAL,
    risk=Risk.CRITICAL,
    note="Lines that listen at a port of Tidegate's own or at a Unix socket are refused; the same lines of several "
    "Ingresses count once.",
)
ENABLE_MODSECURITY: Final = _FIREWALL.overriding(
    keys.ENABLE_MODSECURITY,
    GoBool(),
    "Whether the firewall inspects requests of this Ingress.",
    on_invalid=OnInvalid.CLOSED,
    fallback=True,
)
ENABLE_OWASP_CORE_RULES: Final = _FIREWALL.setting(
    "enable-owasp-core-rules",
    GoBool(),
    False,
    "Whether it uses the OWASP core rules here.",
    on_invalid=OnInvalid.CLOSED,
    fallback=True,
)
MODSECURITY_TRANSACTION_ID: Final = _FIREWALL.setting(
    "modsecurity-transaction-id",
    Text(CharClass.NGXVAR),
    "",
    "What names a request in the firewall's log.",
    risk=Risk.HIGH,
)
MODSECURITY_SNIPPET: Final = _FIREWALL.setting(
    "modsecurity-snippet", Snippet(), "", "Rules in place of the recommended ones.", risk=Risk.CRITICAL
)
