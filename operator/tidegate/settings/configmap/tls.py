"""ConfigMap keys of TLS towards clients."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.lists import WordList
from tidegate.settings.nginx_types import Ciphers, Duration
from tidegate.settings.setting import Becomes, Scope, Setting
from tidegate.settings.texts import OptionalReference
from tidegate.settings.tls_types import Curves, TicketKeyList
from tidegate.settings.types import Size, WeakBool

_FAMILY: Final = Family("TLS", scope=Scope.GLOBAL, becomes=Becomes.GLOBAL)

SSL_PROTOCOLS: Final[Setting[tuple[str, ...]]] = _FAMILY.setting(
    "ssl-protocols",
    WordList(("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"), sorted_=True),
    ("TLSv1.2", "TLSv1.3"),
    "TLS versions that clients may speak. Old ones need a lower @SECLEVEL in the ciphers, too.",
)
SSL_CIPHERS: Final = _FAMILY.setting(
    "ssl-ciphers",
    Ciphers(optional=True),
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256",
    "Ciphers for TLS up to 1.2, the server's choice first. Empty: NGINX's own list, the client's choice first.",
)
SSL_ECDH_CURVE: Final = _FAMILY.setting("ssl-ecdh-curve", Curves(), "auto", "Curves for the key exchange.")
SSL_DH_PARAM: Final = _FAMILY.setting(
    "ssl-dh-param",
    OptionalReference(),
    None,
    "A Secret whose key dhparam.pem makes DHE ciphers usable.",
)
SSL_EARLY_DATA: Final = _FAMILY.setting(
    "ssl-early-data",
    WeakBool(),
    False,
    "Whether TLS 1.3 clients may send data at once; backends are told by the header Early-Data.",
)
SSL_SESSION_CACHE: Final = _FAMILY.setting(
    "ssl-session-cache", WeakBool(), True, "Whether TLS sessions are remembered for all workers."
)
SSL_SESSION_CACHE_SIZE: Final = _FAMILY.setting(
    "ssl-session-cache-size", Size(32768, 2**34), 10 * 1024**2, "Bytes of memory for TLS sessions."
)
SSL_SESSION_TIMEOUT: Final = _FAMILY.setting(
    "ssl-session-timeout",
    Duration(whole_seconds=True),
    600_000,
    "Milliseconds (whole seconds) for which a TLS session can be resumed.",
)
SSL_SESSION_TICKETS: Final = _FAMILY.setting(
    "ssl-session-tickets", WeakBool(), False, "Whether clients may keep their TLS session as a ticket."
)
SSL_SESSION_TICKET_KEY: Final = _FAMILY.setting(
    "ssl-session-ticket-key",
    TicketKeyList(),
    None,
    "Keys of tickets, 48 or 80 bytes in base64 each: the first encrypts, all decrypt. Or a Secret that has the "
    "first as ticket.key. Empty: random ones.",
    note="several keys, and a Secret, so that old tickets are still taken while a key changes",
)
SSL_BUFFER_SIZE: Final = _FAMILY.setting(
    "ssl-buffer-size", Size(1, 2**24), 4096, "Bytes of an answer that are encrypted at a time."
)
SSL_REJECT_HANDSHAKE: Final = _FAMILY.setting(
    "ssl-reject-handshake",
    WeakBool(),
    False,
    "Whether a handshake for an unknown name fails instead of showing the default certificate.",
)
ENABLE_OCSP: Final = _FAMILY.setting(
    "enable-ocsp",
    WeakBool(),
    False,
    "Whether handshakes carry a stapled OCSP answer, which the control plane fetches.",
)
