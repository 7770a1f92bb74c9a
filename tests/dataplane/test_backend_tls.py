"""TLS towards backends: what is shown, what is verified, and that no connection serves another identity."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from dataplane import Plane, Server, backend, host, policy, route, running
from grpc_peers import LIMIT, Echo, Text, grpc_client, grpc_server
from tidegate.model import BackendTLS, KeyPair, Policy, Upstream
from tidegate.render.runtime import PEM_FOLDER
from tls_peers import pair, tls_server


class Files:
    """PEM files as the control plane writes them."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def add(self, text: str) -> str:
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        self.texts[digest] = text
        return digest

    def client(self, name: str) -> str:
        one = pair(name, "clients")
        return self.add(one.chain + one.key)

    def authority(self, name: str) -> str:
        return self.add(pair(name, name).chain)

    def write(self, run: Path) -> None:
        folder = run / PEM_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        for digest, text in self.texts.items():
            (folder / f"{digest}.pem").write_text(text)


FILES = Files()
ALICE, BOB = FILES.client("alice"), FILES.client("bob")
TRUSTED, OTHERS = FILES.authority("backends"), FILES.authority("others")


def secure(protocol: str = "https", **tls: object) -> Policy:
    fields = {"protocols": ("TLSv1.2", "TLSv1.3"), **tls}
    return policy(upstream=Upstream(protocol, BackendTLS(**fields)))  # type: ignore[arg-type]


@pytest.fixture
def planes(nginx, monkeypatch) -> Iterator[Callable[..., Plane]]:
    """Starts planes that have the files."""
    prepare = Plane._prepare

    def with_files(plane: Plane) -> None:
        prepare(plane)
        FILES.write(plane.run)

    monkeypatch.setattr(Plane, "_prepare", with_files)
    with ExitStack() as stack:
        yield lambda *policies: stack.enter_context(running(nginx, policies=list(policies)))


def put(plane: Plane, name: str, server: Server, *policies: Policy) -> None:
    """A host whose path `/0` has the first policy, and so on, all to the same endpoint."""
    routes = [route(f"/{number}", f"ns/{name}:443", policy=one.digest) for number, one in enumerate(policies)]
    plane.put(backend(f"ns/{name}:443", server), host(name, *routes))


def told(plane: Plane, name: str, path: str = "/0") -> list[str]:
    answer = plane.ask(name, path)
    assert answer.status == 200, answer
    return answer.body.decode().split(" ")


def test_backend_that_demands_a_certificate_gets_the_one_of_the_policy(
    planes: Callable[..., Plane], name: Callable[[str], str], tmp_path: Path
) -> None:
    old = {"protocols": ("TLSv1.2",)}  # in which a missing certificate is noticed while connecting
    alice, bob, nobody = secure(certificate=ALICE, **old), secure(certificate=BOB, **old), secure(**old)
    plane = planes(alice, bob, nobody)
    with tls_server(tmp_path, clients=True) as server:
        put(plane, name("a"), server, alice, bob, nobody)
        assert told(plane, name("a"), "/0")[1] == "alice"
        assert told(plane, name("a"), "/1")[1] == "bob"
        assert plane.ask(name("a"), "/2").status == 502


def test_certificate_of_the_backend_is_verified(
    planes: Callable[..., Plane], name: Callable[[str], str], tmp_path: Path
) -> None:
    good = secure(verify=True, trusted=TRUSTED, name="app.internal")
    wrong_name = secure(verify=True, trusted=TRUSTED, name="else.internal")
    wrong_authority = secure(verify=True, trusted=OTHERS, name="app.internal")
    unverified = secure(name="else.internal")
    plane = planes(good, wrong_name, wrong_authority, unverified)
    with tls_server(tmp_path) as server:
        put(plane, name("a"), server, good, wrong_name, wrong_authority, unverified)
        assert [plane.ask(name("a"), f"/{number}").status for number in range(4)] == [200, 502, 502, 200]
        assert [plane.ask(name("a"), f"/{number}").status for number in range(4)] == [200, 502, 502, 200]


def test_no_more_authorities_may_stand_between_than_the_depth_says(
    planes: Callable[..., Plane], name: Callable[[str], str], tmp_path: Path
) -> None:
    leaf = pair("app.internal", "second")
    between = pair("second", "first", intermediate=True).chain + pair("first", "backends", intermediate=True).chain
    base = {"verify": True, "trusted": TRUSTED, "name": "app.internal"}
    shallow, deep = secure(**base, depth=1), secure(**base, depth=2)
    plane = planes(shallow, deep)
    with tls_server(tmp_path, shown=KeyPair(leaf.chain + between, leaf.key)) as server:
        put(plane, name("a"), server, shallow, deep)
        assert [plane.ask(name("a"), f"/{number}").status for number in range(2)] == [502, 200]


def test_backend_is_told_the_name_only_where_asked(
    planes: Callable[..., Plane], name: Callable[[str], str], tmp_path: Path
) -> None:
    silent, open_ = secure(name="app.internal"), secure(name="app.internal", server_name=True)
    plane = planes(silent, open_)
    with tls_server(tmp_path) as server:
        put(plane, name("a"), server, silent, open_)
        assert told(plane, name("a"), "/0")[2] == "-"
        assert told(plane, name("a"), "/1")[2] == "app.internal"


def test_versions_and_ciphers_are_those_of_the_policy(
    planes: Callable[..., Plane], name: Callable[[str], str], tmp_path: Path
) -> None:
    old, new = secure(protocols=("TLSv1.2",)), secure(protocols=("TLSv1.3",))
    odd = secure(protocols=("TLSv1.2",), ciphers="AES128-SHA")  # without forward secrecy: the server's list has it not
    plane = planes(old, new, odd)
    with tls_server(tmp_path) as server:
        put(plane, name("a"), server, old, new, odd)
        assert told(plane, name("a"), "/0")[3] == "TLSv1.2"
        assert told(plane, name("a"), "/1")[3] == "TLSv1.3"
        assert plane.ask(name("a"), "/2").status == 502


def test_kept_connection_never_serves_another_identity(
    planes: Callable[..., Plane], name: Callable[[str], str], tmp_path: Path
) -> None:
    """Sets that differ in one setting each, all to one address: each stays on its own connection."""
    base = {"certificate": ALICE, "server_name": True, "name": "a.internal"}
    sets = [
        secure(**base),
        secure(**{**base, "certificate": BOB}),
        secure(**{**base, "certificate": ""}),
        secure(**{**base, "name": "b.internal"}),
        secure(**{**base, "server_name": False}),
        secure(**{**base, "protocols": ("TLSv1.2",)}),
        secure(**{**base, "verify": True, "trusted": TRUSTED, "name": "app.internal"}),
    ]
    wanted = [
        ("alice", "a.internal", "TLSv1.3"),
        ("bob", "a.internal", "TLSv1.3"),
        ("-", "a.internal", "TLSv1.3"),
        ("alice", "b.internal", "TLSv1.3"),
        ("alice", "-", "TLSv1.3"),
        ("alice", "a.internal", "TLSv1.2"),
        ("alice", "app.internal", "TLSv1.3"),
    ]
    plane = planes(*sets)
    with tls_server(tmp_path) as server:
        put(plane, name("a"), server, *sets)
        connections: list[set[str]] = [set() for _ in sets]
        for _ in range(3):
            for number, identity in enumerate(wanted):
                connection, *seen = told(plane, name("a"), f"/{number}")
                assert tuple(seen) == identity
                connections[number].add(connection)
        assert all(len(one) == 1 for one in connections), "kept connections are used again"
        assert len(set.union(*connections)) == len(sets), "and not shared"


def test_connection_that_was_not_verified_is_not_used_where_verification_is_asked_for(
    planes: Callable[..., Plane], name: Callable[[str], str], tmp_path: Path
) -> None:
    careless, careful = secure(), secure(verify=True, trusted=OTHERS, name="app.internal")
    plane = planes(careless, careful)
    with tls_server(tmp_path) as server:
        put(plane, name("a"), server, careless, careful)
        assert told(plane, name("a"), "/0")[0] == "1"
        assert plane.ask(name("a"), "/1").status == 502


def test_name_that_depends_on_the_request_is_asked_for_anew_each_time(
    planes: Callable[..., Plane], name: Callable[[str], str], tmp_path: Path
) -> None:
    varying = secure(server_name=True, name="$host")
    plane = planes(varying)
    with tls_server(tmp_path) as server:
        put(plane, name("a"), server, varying)
        put(plane, name("b"), server, varying)
        assert told(plane, name("a"))[2] == name("a")
        assert told(plane, name("b"))[2] == name("b")
        assert told(plane, name("a"))[2] == name("a")


def test_grpc_backend_that_demands_a_certificate_gets_it_and_is_verified(
    planes: Callable[..., Plane], name: Callable[[str], str]
) -> None:
    good = secure("grpcs", certificate=ALICE, verify=True, trusted=TRUSTED, name="app.internal")
    nobody, wrong = secure("grpcs"), secure("grpcs", certificate=ALICE, verify=True, trusted=OTHERS)
    plane = planes(good, nobody, wrong)
    echo = Echo()
    with grpc_server(echo, pair("app.internal", "backends"), pair("clients", "clients").chain) as endpoint:
        for label, one in (("good", good), ("nobody", nobody), ("wrong", wrong)):
            plane.put(
                backend(f"ns/{label}:1", endpoint), host(name(label), route(backend=f"ns/{label}:1", policy=one.digest))
            )
        with grpc_client(plane, name("good")) as stub:
            assert stub.Unary(Text(content=b"ab"), timeout=LIMIT).content == b"ba"
        for label in ("nobody", "wrong"):
            with grpc_client(plane, name(label)) as stub, pytest.raises(Exception, match="502"):
                stub.Unary(Text(content=b"ab"), timeout=LIMIT)
    assert echo.calls == 1
