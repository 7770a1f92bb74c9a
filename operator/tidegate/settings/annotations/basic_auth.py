"""Annotations of authentication by user name and password."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.setting import Becomes, OnInvalid, Risk
from tidegate.settings.texts import CharClass, Containing, Reference, Text

_FAMILY: Final = Family("Basic authentication", on_invalid=OnInvalid.REJECT, security=True)

AUTH_TYPE: Final = _FAMILY.setting(
    "auth-type",
    Containing(("basic", "digest")),
    "",
    "Whether clients need a user name and password, and by which scheme.",
    on_misfit=OnInvalid.DENY,
    note="Text that only contains basic or digest denies instead of breaking the configuration.",
)
AUTH_SECRET: Final = _FAMILY.setting(
    "auth-secret",
    Reference(),
    None,
    "The Secret with the users.",
    risk=Risk.MEDIUM,
    on_invalid=OnInvalid.DENY,
    becomes=Becomes.DATA,
)
AUTH_SECRET_TYPE: Final = _FAMILY.setting(
    "auth-secret-type",
    Containing(("auth-file", "auth-map")),
    "auth-file",
    "Whether the Secret has an htpasswd file under the key auth (auth-file) or a key for each user (auth-map).",
    on_misfit=OnInvalid.DENY,
)
AUTH_REALM: Final = _FAMILY.setting(
    "auth-realm",
    Text(CharClass.BASIC_SP),
    "",
    "What the client is told it logs in to.",
    risk=Risk.MEDIUM,
    becomes=Becomes.DATA,
)
