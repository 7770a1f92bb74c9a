"""Digest authentication: who gets in, what is refused when it is sent again, and what the backend never sees."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator

import pytest
from dataplane import Answer, Nginx, Plane, Server, backend, host, policy, route, running
from tidegate.model import Access, DigestAuth, Policy, Route

ECHO = "ns/echo:80"
LOGIN = policy(digest_auth=True)
LISTED = {any_: policy(digest_auth=True, access=True, satisfy_any=any_) for any_ in (False, True)}


def digest(algorithm: str, text: str) -> str:
    return (hashlib.md5 if algorithm == "MD5" else hashlib.sha256)(text.encode()).hexdigest()


USERS = "".join(
    f"{user}:area:{digest(algorithm, f'{user}:area:{word}')}\n"
    for user, word, algorithm in (("ann", "secret", "MD5"), ("bob", "word", "SHA-256"))
)


@pytest.fixture(scope="module")
def plane(nginx: Nginx) -> Iterator[Plane]:
    with running(nginx, policies=[LOGIN, *LISTED.values()]) as one, Server() as server:
        (one.run / "users/u").write_text(USERS)
        (one.run / "users/md5").write_text(USERS.splitlines()[0] + "\n")
        one.put(backend(ECHO, server))
        yield one


def guarded(one: Policy = LOGIN, users: str = "md5", access: Access | None = None) -> Route:
    return route(backend=ECHO, policy=one.digest, digest_auth=DigestAuth("area", users), access=access)


def nonce_of(answer: Answer) -> str:
    challenge = answer.header("WWW-Authenticate")
    assert challenge is not None
    found = re.search(r'nonce="([^"]+)"', challenge)
    assert found is not None
    return found[1]


def authorization(nonce: str, user: str = "ann", word: str = "secret", **changes: str) -> dict[str, str]:
    """What a client sends; `changes` are parameters, and `target` and `method` of what it hashes."""
    given = {"uri": "/x?a=1", "nc": "00000001", "cnonce": "c", "qop": "auth", "algorithm": "MD5", "realm": "area"}
    target, method = changes.pop("target", ""), changes.pop("method", "GET")
    given |= changes
    algorithm = given["algorithm"]
    first = digest(algorithm, f"{user}:{given['realm']}:{word}")
    second = digest(algorithm, f"{method}:{target or given['uri']}")
    proof = digest(algorithm, f"{first}:{nonce}:{given['nc']}:{given['cnonce']}:{given['qop']}:{second}")
    rows = {"username": user, "nonce": nonce, "response": proof, **given}
    return {"Authorization": "Digest " + ", ".join(f'{key}="{text}"' for key, text in rows.items() if text)}


def test_a_user_with_the_right_password_gets_in_once_per_count(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), guarded()))
    asked = plane.ask(name("a"), "/x?a=1")
    assert asked.status == 401
    assert 'realm="area"' in str(asked.header("WWW-Authenticate"))
    nonce = nonce_of(asked)
    first = authorization(nonce)
    assert plane.ask(name("a"), "/x?a=1", headers=first).seen.header("Authorization") is None
    again = plane.ask(name("a"), "/x?a=1", headers=first)
    assert again.status == 401 and "stale=true" in str(again.header("WWW-Authenticate"))
    assert plane.ask(name("a"), "/x?a=1", headers=authorization(nonce, nc="00000003")).status == 200
    assert plane.ask(name("a"), "/x?a=1", headers=authorization(nonce, nc="00000002")).status == 200


def test_both_algorithms_are_offered_where_users_have_both(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), guarded(users="u")), host(name("b"), guarded()))
    challenge = str(plane.ask(name("a")).header("WWW-Authenticate"))
    assert challenge.index("SHA-256") < challenge.index("algorithm=MD5")
    assert "SHA-256" not in str(plane.ask(name("b")).header("WWW-Authenticate"))
    nonce = nonce_of(plane.ask(name("a")))
    bob = authorization(nonce, "bob", "word", algorithm="SHA-256")
    assert plane.ask(name("a"), "/x?a=1", headers=bob).status == 200
    assert plane.ask(name("a"), "/x?a=1", headers=authorization(nonce)).status == 401  # this count is used
    assert plane.ask(name("a"), "/x?a=1", headers=authorization(nonce, nc="00000009")).status == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"word": "wrong"},
        {"user": "nobody"},
        {"user": "bob", "word": "word"},
        {"uri": "/other", "target": "/other"},
        {"uri": "/x", "target": "/x"},
        {"method": "POST"},
        {"qop": ""},
        {"qop": "auth-int"},
        {"nc": "1"},
        {"nc": "0000000g"},
        {"cnonce": ""},
        {"realm": "elsewhere"},
        {"algorithm": "SHA-256"},
    ],
    ids=str,
)
def test_what_does_not_prove_the_password_for_this_request_is_refused(
    plane: Plane, name: Callable[[str], str], changes: dict[str, str]
) -> None:
    plane.put(host(name("a"), guarded(users="u")))
    nonce = nonce_of(plane.ask(name("a"), "/x?a=1"))
    assert plane.ask(name("a"), "/x?a=1", headers=authorization(nonce, **changes)).status == 401


def test_a_nonce_of_somebody_else_s_making_is_refused(plane: Plane, name: Callable[[str], str]) -> None:
    plane.put(host(name("a"), guarded()))
    nonce = nonce_of(plane.ask(name("a")))
    for forged in ("", "x", nonce[:-1] + ("0" if nonce[-1] != "0" else "1"), "f" + nonce[1:], nonce + "0"):
        assert plane.ask(name("a"), "/x?a=1", headers=authorization(forged)).status == 401
    assert plane.ask(name("a"), "/x?a=1", headers=authorization(nonce)).status == 200


@pytest.mark.parametrize(
    "text",
    ["", "Digest", "Digest ", "Basic YW5uOnNlY3JldA==", 'Digest username="ann', "Digest ,,,=", 'Digest a=b, a="c"'],
)
def test_a_header_that_is_none_of_ours_is_refused(plane: Plane, name: Callable[[str], str], text: str) -> None:
    plane.put(host(name("a"), guarded()))
    assert plane.ask(name("a"), headers={"Authorization": text}).status == 401


@pytest.mark.parametrize("any_", [False, True], ids=["all", "any"])
@pytest.mark.parametrize("listed", [False, True], ids=["listed-out", "listed-in"])
@pytest.mark.parametrize("known", [False, True], ids=["wrong", "right"])
def test_list_and_login_combine_as_satisfy_says(
    plane: Plane, name: Callable[[str], str], any_: bool, listed: bool, known: bool
) -> None:
    access = Access(allow=("127.0.0.0/8" if listed else "10.0.0.0/8",))
    plane.put(host(name("a"), guarded()), host(name("b"), guarded(LISTED[any_], access=access)))
    nonce = nonce_of(plane.ask(name("a")))
    given = authorization(nonce, word="secret" if known else "wrong")
    answer = plane.ask(name("b"), "/x?a=1", headers=given)
    granted = (listed or known) if any_ else (listed and known)
    if granted:
        assert answer.status == 200 and answer.header("WWW-Authenticate") is None
    else:
        assert answer.status == (403 if not any_ and not listed else 401)
