"""What is rewritten in answers of backends: Location headers, and domains and paths of cookies."""

from __future__ import annotations

from tidegate.model import AnswerRewrites, BackendRedirect
from tidegate.settings import annotations as ann
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings, IngressSettings
from tidegate.settings.texts import Pair


def _redirect(old: str, new: str, *, relative: bool, port: bool) -> BackendRedirect | None:
    if old == "default":
        return BackendRedirect("", "/", relative, port)
    if old in ("", "off") or new in ("", "off"):
        return None
    return BackendRedirect(old, new, relative, port)


def _pair(found: Pair | None) -> tuple[str, str] | None:
    return (found.old, found.new) if found else None


def answer_rewrites(settings: IngressSettings) -> AnswerRewrites:
    """Those that an Ingress asks for."""
    get = settings.get
    return AnswerRewrites(
        _redirect(
            get(ann.PROXY_REDIRECT_FROM),
            get(ann.PROXY_REDIRECT_TO),
            relative=get(ann.RELATIVE_REDIRECTS),
            port=get(ann.USE_PORT_IN_REDIRECTS),
        ),
        _pair(get(ann.PROXY_COOKIE_DOMAIN)),
        _pair(get(ann.PROXY_COOKIE_PATH)),
    )


def default_rewrites(settings: GlobalSettings) -> AnswerRewrites:
    """Those that the ConfigMap asks for."""
    get = settings.get
    return AnswerRewrites(
        _redirect(
            get(cm.PROXY_REDIRECT_FROM),
            get(cm.PROXY_REDIRECT_TO),
            relative=get(cm.RELATIVE_REDIRECTS),
            port=get(cm.USE_PORT_IN_REDIRECTS),
        ),
        _pair(get(cm.PROXY_COOKIE_DOMAIN)),
        _pair(get(cm.PROXY_COOKIE_PATH)),
    )
