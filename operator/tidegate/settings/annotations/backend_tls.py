"""Annotations of TLS towards the backend. They act only together with `proxy-ssl-secret`."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.lists import WordList
from tidegate.settings.nginx_types import Ciphers
from tidegate.settings.setting import OnInvalid, Risk
from tidegate.settings.texts import CharClass, Reference, Text
from tidegate.settings.types import Int, OnOff

_FAMILY: Final = Family("TLS to backends")

PROXY_SSL_SECRET: Final = _FAMILY.setting(
    "proxy-ssl-secret",
    Reference(namespace_required=True),
    None,
    "The Secret with the certificate shown to the backend and the authorities trusted for the backend's.",
    risk=Risk.MEDIUM,
    on_invalid=OnInvalid.REJECT,
    on_misfit=OnInvalid.DENY,
    security=True,
)
PROXY_SSL_VERIFY: Final = _FAMILY.setting(
    "proxy-ssl-verify",
    OnOff(),
    False,
    "Whether the backend's certificate is verified; a bad one gives 502.",
    on_invalid=OnInvalid.DENY,
    security=True,
    note="Without proxy-ssl-secret there is nothing to verify with, and a finding says so; a bad value closes.",
)
PROXY_SSL_VERIFY_DEPTH: Final = _FAMILY.setting(
    "proxy-ssl-verify-depth",
    Int(1, 100, zero_means=1),
    1,
    "How many authorities may stand between the backend's certificate and a trusted one.",
)
PROXY_SSL_NAME: Final = _FAMILY.setting(
    "proxy-ssl-name",
    Text(CharClass.REGEX),
    "",
    "The name that the backend's certificate has to be for.",
    risk=Risk.HIGH,
)
PROXY_SSL_SERVER_NAME: Final = _FAMILY.setting(
    "proxy-ssl-server-name", OnOff(), False, "Whether the backend is told that name when TLS begins."
)
PROXY_SSL_PROTOCOLS: Final = _FAMILY.setting(
    "proxy-ssl-protocols",
    WordList(("TLSv1.2", "TLSv1.3"), sorted_=True),
    ("TLSv1.2",),
    "TLS versions spoken to the backend.",
)
PROXY_SSL_CIPHERS: Final = _FAMILY.setting(
    "proxy-ssl-ciphers", Ciphers(commands=False), "DEFAULT", "Ciphers offered to the backend.", risk=Risk.MEDIUM
)
