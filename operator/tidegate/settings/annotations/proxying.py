"""Annotations of how a request is passed to the backend. Most override a ConfigMap key of the same name."""

from __future__ import annotations

from typing import Final

from tidegate.settings.configmap import client as client_keys
from tidegate.settings.configmap import proxying as keys
from tidegate.settings.family import Family
from tidegate.settings.lists import NextUpstream
from tidegate.settings.setting import Becomes, OnInvalid, Risk, Setting
from tidegate.settings.texts import CharClass, PairOrOff, Text
from tidegate.settings.types import Choice, Int, OnOff, OptionalSize, Size

_FAMILY: Final = Family("Proxying")
_MAX_INT: Final = 2**31 - 1
_SECONDS: Final = Int(1, _MAX_INT, "seconds")

PROXY_CONNECT_TIMEOUT: Final = _FAMILY.overriding(
    keys.PROXY_CONNECT_TIMEOUT,
    _SECONDS,
    "Seconds for connecting to the backend; then 504.",
    becomes=Becomes.DATA,
    note=keys.PROXY_CONNECT_TIMEOUT.note,
)
PROXY_SEND_TIMEOUT: Final = _FAMILY.overriding(
    keys.PROXY_SEND_TIMEOUT,
    _SECONDS,
    "Seconds between two pieces of a request sent to the backend.",
    becomes=Becomes.DATA,
    note=keys.PROXY_SEND_TIMEOUT.note,
)
PROXY_READ_TIMEOUT: Final = _FAMILY.overriding(
    keys.PROXY_READ_TIMEOUT,
    _SECONDS,
    "Seconds between two pieces of the backend's answer, and of silence on a WebSocket; then 504.",
    becomes=Becomes.DATA,
    note=keys.PROXY_READ_TIMEOUT.note,
)
PROXY_NEXT_UPSTREAM: Final[Setting[tuple[str, ...]]] = _FAMILY.overriding(
    keys.PROXY_NEXT_UPSTREAM,
    NextUpstream(),
    "When a request is tried again on another endpoint; off: never.",
    risk=Risk.MEDIUM,
)
PROXY_NEXT_UPSTREAM_TIMEOUT: Final = _FAMILY.overriding(
    keys.PROXY_NEXT_UPSTREAM_TIMEOUT,
    Int(0, _MAX_INT, "seconds"),
    "Seconds during which a request may be tried again; 0: no limit.",
)
PROXY_NEXT_UPSTREAM_TRIES: Final = _FAMILY.overriding(
    keys.PROXY_NEXT_UPSTREAM_TRIES,
    Int(0, _MAX_INT),
    "Attempts for one request in all; 0: no limit.",
)
PROXY_REQUEST_BUFFERING: Final = _FAMILY.overriding(
    keys.PROXY_REQUEST_BUFFERING, OnOff(), "Whether the backend gets a request body only when all of it is there."
)
PROXY_BUFFERING: Final = _FAMILY.overriding(
    keys.PROXY_BUFFERING, OnOff(), "Whether answers are collected before they go to the client."
)
PROXY_BUFFERS_NUMBER: Final = _FAMILY.overriding(
    keys.PROXY_BUFFERS_NUMBER, Int(2, 2**16), "Buffers for one answer, each of `proxy-buffer-size`."
)
PROXY_BUFFER_SIZE: Final = _FAMILY.overriding(
    keys.PROXY_BUFFER_SIZE, Size(1, 2**30), "Bytes for the head of an answer; a longer head gives 502."
)
PROXY_BUSY_BUFFERS_SIZE: Final = _FAMILY.overriding(
    keys.PROXY_BUSY_BUFFERS_SIZE,
    OptionalSize(Size(1, 2**30)),
    "Bytes of an answer that may be on their way to the client while the rest is read.",
)
PROXY_MAX_TEMP_FILE_SIZE: Final = _FAMILY.overriding(
    keys.PROXY_MAX_TEMP_FILE_SIZE, Size(giga=True), "Bytes of an answer that may be put into a file; 0: none."
)
PROXY_BODY_SIZE: Final = _FAMILY.overriding(
    client_keys.PROXY_BODY_SIZE,
    Size(giga=True),
    "The largest request body in bytes; a larger one gets 413. 0 means no limit.",
    risk=Risk.MEDIUM,
    note="A size with the suffix b falls back to the ConfigMap's value instead of 1m.",
)
CLIENT_BODY_BUFFER_SIZE: Final = _FAMILY.overriding(
    client_keys.CLIENT_BODY_BUFFER_SIZE,
    Size(1, 2**30),
    "Bytes of a request body that are kept in memory; the rest goes to a file.",
    on_invalid=OnInvalid.REJECT,
    on_misfit=OnInvalid.DEFAULT,
)
PROXY_HTTP_VERSION: Final = _FAMILY.overriding(
    keys.PROXY_HTTP_VERSION, Choice(("1.0", "1.1")), "The HTTP version spoken to the backend."
)
PROXY_COOKIE_DOMAIN: Final = _FAMILY.overriding(
    keys.PROXY_COOKIE_DOMAIN,
    PairOrOff(CharClass.BASIC),
    "What to replace, and with what, in the Domain of cookies of HTTP backends.",
    risk=Risk.MEDIUM,
)
PROXY_COOKIE_PATH: Final = _FAMILY.overriding(
    keys.PROXY_COOKIE_PATH,
    PairOrOff(CharClass.URL),
    "What to replace, and with what, in the Path of cookies of HTTP backends.",
    risk=Risk.MEDIUM,
)
PROXY_REDIRECT_FROM: Final = _FAMILY.overriding(
    keys.PROXY_REDIRECT_FROM,
    Text(CharClass.URL),
    "The beginning of the backend's Location header that is replaced; off: none, default: the backend's address.",
    risk=Risk.MEDIUM,
)
PROXY_REDIRECT_TO: Final = _FAMILY.overriding(
    keys.PROXY_REDIRECT_TO,
    Text(CharClass.URL),
    "What takes the place of `proxy-redirect-from`; off: nothing is replaced.",
    risk=Risk.MEDIUM,
)
CONNECTION_PROXY_HEADER: Final = _FAMILY.setting(
    "connection-proxy-header",
    Choice(("close", "keep-alive")),
    "",
    "The Connection header that an HTTP backend gets; unset: what the client's request calls for.",
    on_invalid=OnInvalid.REJECT,
)
