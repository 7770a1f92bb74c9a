"""Basic and digest authentication: from annotations and a Secret to a file of users (reference: annotations 4.1)."""

from __future__ import annotations

import hashlib
import re

import msgspec

from tidegate.model import BasicAuth, DigestAuth
from tidegate.settings import annotations as ann
from tidegate.settings.resolve import GlobalSettings, IngressSettings
from tidegate.translate.reader import Reader
from tidegate.translate.references import Denied, foreign

DIGEST_LINE = re.compile(r"[^:\x00-\x1f\x7f]+:[^\x00-\x1f\x7f]*:(?:[0-9A-Fa-f]{32}|[0-9A-Fa-f]{64})")
"""User, realm, and the hash (MD5 or SHA-256) of `user:realm:password`."""
USER_LINE = re.compile(r"[^:\x00-\x1f\x7f]+:[^\x00-\x1f\x7f]*")


class Users(msgspec.Struct, frozen=True):
    """A file of htpasswd lines, named by its content."""

    digest: str
    text: bytes


def _reference(settings: IngressSettings, globals_: GlobalSettings, namespace: str) -> tuple[str, str]:
    reference = settings.get(ann.AUTH_SECRET)
    if reference is None:
        raise Denied("auth-secret", "auth-type asks for users, but no Secret is named")
    place = reference.namespace or namespace
    if fault := foreign("Secret", place, namespace, globals_):
        raise Denied("auth-secret", fault)
    return place, reference.name


def _lines(data: dict[str, bytes], kind: str, secret: str) -> list[str]:
    if kind == "auth-map":
        return [f"{user}:{value.decode('utf-8', 'replace').strip()}" for user, value in sorted(data.items())]
    if kind != "auth-file":
        raise Denied("auth-secret-type", f"found {kind!r}, allowed: auth-file or auth-map")
    if "auth" not in data:
        raise Denied("auth-secret", f"the Secret {secret} has no key auth")
    return data["auth"].decode("utf-8", "replace").splitlines()


def login(
    settings: IngressSettings, globals_: GlobalSettings, namespace: str, reader: Reader
) -> tuple[BasicAuth | DigestAuth, Users, str] | None:
    """What guards the paths of an Ingress, the users, and a complaint about some of them, or nothing.

    None when the Ingress asks for nothing. Raises Denied when it cannot be had.
    """
    kind = settings.get(ann.AUTH_TYPE)
    if not kind:
        return None
    realm = settings.get(ann.AUTH_REALM)
    if realm == "off" and kind == "basic":
        raise Denied("auth-realm", "found 'off', a word with which NGINX turns authentication off")
    place, name = _reference(settings, globals_, namespace)
    secret = reader.secret(place, name)
    if secret is None:
        raise Denied("auth-secret", f"there is no Secret {place}/{name}")
    lines = _lines(secret.data, settings.get(ann.AUTH_SECRET_TYPE), f"{place}/{name}")
    form = USER_LINE if kind == "basic" else DIGEST_LINE
    good = [line for line in lines if form.fullmatch(line) and not line.startswith("#")]
    text = "".join(f"{line}\n" for line in good).encode()
    digest = hashlib.sha256(text).hexdigest()[:32]
    bad = sum(1 for line in lines if line.strip() and not line.startswith("#")) - len(good)
    auth = BasicAuth(realm, digest) if kind == "basic" else DigestAuth(realm, digest)
    return auth, Users(digest, text), _complaint(f"{place}/{name}", kind, len(good), bad)


_FORMS = {"basic": "user:hash", "digest": "user:realm:hash"}


def _complaint(secret: str, kind: str, good: int, bad: int) -> str:
    """What is wrong with the lines of a file of users, without showing any; empty if nothing is."""
    if bad:
        return f"found {bad} line(s) not of the form `{_FORMS[kind]}` in the Secret {secret}; left out, {good} in use"
    return "" if good else f"found no user in the Secret {secret}; nobody can log in"
