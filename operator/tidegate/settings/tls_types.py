"""Value types of TLS towards clients."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from tidegate.settings.texts import ObjectRef, Reference
from tidegate.settings.types import InvalidValue

TICKET_KEY_SIZES: Final = (48, 80)

_CURVES: Final = frozenset(
    (
        *("auto", "P-256", "P-384", "P-521", "prime256v1", "secp256r1", "secp384r1", "secp521r1"),
        *("X25519", "X448", "x25519", "x448", "X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024"),
        *("ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192"),
        *("brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"),
    )
)
_LIST: Final = re.compile(r"[A-Za-z0-9-]+(?::[A-Za-z0-9-]+)*")


@dataclass(frozen=True)
class Curves:
    """Names of groups for the key exchange with colons between them, or `auto`.

    Another name is a misfit: NGINX might refuse it, and all that changes along with it.
    """

    @property
    def allowed(self) -> str:
        return "auto, or names such as X25519, prime256v1 and secp384r1 with colons between them"

    def parse(self, text: str) -> str:
        if _LIST.fullmatch(text) is None:
            raise InvalidValue(text, self.allowed)
        names = text.split(":")
        if not _CURVES.issuperset(names) or (len(names) > 1 and "auto" in names):
            raise InvalidValue(text, self.allowed, misfit=True)
        return text


@dataclass(frozen=True)
class TicketKeys:
    """Keys of session tickets, or the Secret that has them. The first key encrypts, the others only decrypt."""

    keys: tuple[bytes, ...] = ()
    secret: ObjectRef | None = None

    def __repr__(self) -> str:
        return f"TicketKeys({len(self.keys)} keys, {self.secret})"


def decode_ticket_key(text: bytes) -> bytes | None:
    """A key of 48 or 80 bytes as it is, or in base64; None when it is neither."""
    if len(text) in TICKET_KEY_SIZES:
        return text
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        return None
    return key if len(key) in TICKET_KEY_SIZES else None


@dataclass(frozen=True)
class TicketKeyList:
    """One or more keys in base64, or `namespace/name` of a Secret; None for nothing.

    What was found is never shown: it may be a key.
    """

    @property
    def allowed(self) -> str:
        return "keys of 48 or 80 bytes in base64 with commas between them, or namespace/name of a Secret"

    def parse(self, text: str) -> TicketKeys | None:
        if not text:
            return None
        parts = [part.strip() for part in text.split(",")]
        keys = [decode_ticket_key(part.encode()) if len(part) > 48 else None for part in parts]
        if all(keys):
            return TicketKeys(tuple(key for key in keys if key))
        try:
            return TicketKeys(secret=Reference(namespace_required=True).parse(text))
        except InvalidValue:
            raise InvalidValue(f"{len(text)} characters", self.allowed) from None
