"""Who may use a route: address lists, users and authentication services, and how they go together."""

from __future__ import annotations

from typing import NamedTuple

from tidegate.model import Access, BasicAuth, DigestAuth
from tidegate.settings import annotations as ann
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings, IngressSettings
from tidegate.translate.authentication import Users, login
from tidegate.translate.external_auth import Asked, Place, external_auth
from tidegate.translate.reader import Reader

EVERYBODY = frozenset({"0.0.0.0/0", "::/0"})


class Guards(NamedTuple):
    """`satisfy_any`: one of them that grants is enough. `complaint` is what is wrong with some of the users."""

    access: Access | None = None
    auth: BasicAuth | DigestAuth | None = None
    users: Users | None = None
    asked: Asked | None = None
    satisfy_any: bool = False
    complaint: str = ""

    @property
    def signin(self) -> bool:
        return self.asked is not None and bool(self.asked.auth.signin)


def _access(settings: IngressSettings) -> Access | None:
    allow, deny = settings.get(ann.ALLOWLIST_SOURCE_RANGE), settings.get(ann.DENYLIST_SOURCE_RANGE)
    return Access(allow, deny) if allow or deny else None


def guards_of(settings: IngressSettings, globals_: GlobalSettings, place: Place, reader: Reader) -> Guards:
    """The guards of a route. Raises Denied when one of them cannot be had."""
    access = _access(settings)
    if place.path.startswith(globals_.get(cm.NO_AUTH_LOCATIONS)):
        return Guards(_effective(access))
    auth, users, complaint = login(settings, globals_, place.namespace, reader) or (None, None, "")
    asked = external_auth(settings, globals_, place, reader)
    number = sum(guard is not None for guard in (access, auth, asked))
    any_of_them = settings.get(ann.SATISFY) == "any" and number > 1
    return Guards(access if any_of_them else _effective(access), auth, users, asked, any_of_them, complaint)


def _effective(access: Access | None) -> Access | None:
    """None for a list that keeps nobody out, such as cert-manager gives its Ingresses: no policy of its own."""
    return None if access is not None and not access.deny and set(access.allow) >= EVERYBODY else access
