"""Annotations of error answers and response headers."""

from __future__ import annotations

from typing import Final

from tidegate.settings.configmap import proxying as keys
from tidegate.settings.family import Family
from tidegate.settings.lists import CodeList
from tidegate.settings.setting import Becomes, OnInvalid, Risk, Support
from tidegate.settings.texts import Reference, ServiceName
from tidegate.settings.types import GoBool

_FAMILY: Final = Family("Errors")

DEFAULT_BACKEND: Final = _FAMILY.setting(
    "default-backend",
    ServiceName(),
    "",
    "The Service that answers when the route's own has no endpoints, and for `custom-http-errors`.",
    becomes=Becomes.DATA,
    on_invalid=OnInvalid.REJECT,
    exact=True,
)
CUSTOM_HTTP_ERRORS: Final = _FAMILY.overriding(
    keys.CUSTOM_HTTP_ERRORS,
    CodeList(400, 599),
    "Status codes whose answers come from the default backend instead.",
    on_invalid=OnInvalid.REJECT,
)
DISABLE_PROXY_INTERCEPT_ERRORS: Final = _FAMILY.setting(
    "disable-proxy-intercept-errors",
    GoBool(),
    False,
    "Whether errors made by the backend pass, so that only NGINX's own ones are replaced. Beside `custom-http-errors`"
    " of the Ingress; it does not undo what the ConfigMap's list replaces.",
)
CUSTOM_HEADERS: Final = _FAMILY.setting(
    "custom-headers",
    Reference(namespace_required=True),
    None,
    "A ConfigMap whose entries are headers of every answer.",
    risk=Risk.MEDIUM,
    becomes=Becomes.DATA,
    on_misfit=OnInvalid.DENY,
)
HTTP2_PUSH_PRELOAD: Final = _FAMILY.setting(
    "http2-push-preload",
    GoBool(),
    False,
    "HTTP/2 push, which NGINX and browsers have given up.",
    becomes=Becomes.NOTHING,
    on_invalid=OnInvalid.REJECT,
    support=Support.DEAD,
)
