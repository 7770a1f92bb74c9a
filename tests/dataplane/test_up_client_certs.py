"""Hosts that ask clients for certificates, on a real NGINX: who gets in, when, and with whose session."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from authorities import Authority, client_context, pem_file
from dataplane import Client, Server, until
from up import Manifest, Up, configmap, ingress, service

CLIENTS, PARTNERS = Authority("clients"), Authority("partners")
ALICE, MALLORY, BOB = CLIENTS.pair("alice"), CLIENTS.pair("mallory"), PARTNERS.pair("bob")
OPEN, REFUSED = (200,), (400, 403, 421)


@pytest.fixture
def up() -> Iterator[Up]:
    with Server("echo") as server, Up("--configmap", "default/settings") as one:
        yield one.start(service("echo", server.port), ingress("plain", "plain.test"))


@pytest.fixture
def alice(tmp_path: Path) -> Path:
    return pem_file(tmp_path, "alice", ALICE)


@pytest.fixture
def mallory(tmp_path: Path) -> Path:
    return pem_file(tmp_path, "mallory", MALLORY)


@pytest.fixture
def bob(tmp_path: Path) -> Path:
    return pem_file(tmp_path, "bob", BOB)


def authorities(name: str = "ca", authority: str = CLIENTS.pem, **more: str) -> Manifest:
    data = {"ca.crt": authority, **{key.replace("_", "."): text for key, text in more.items()}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "default"},
        "stringData": {key: text for key, text in data.items() if text},
    }


def guarded(name: str, host: str, secret: str = "ca", **annotations: str) -> Manifest:
    return ingress(name, host, auth_tls_secret=f"default/{secret}", **annotations)


def connect(up: Up, name: str | None, certificate: Path | None = None) -> Client:
    raw = socket.create_connection(("127.0.0.1", up.https), 10)
    return Client(client_context(certificate).wrap_socket(raw, server_hostname=name))


def ask(up: Up, host: str, certificate: Path | None = None, sni: str | None = "") -> int:
    """The status of one request over TLS; `sni` None asks for no name, empty for the host's."""
    with connect(up, host if sni == "" else sni, certificate) as client:
        return client.ask(host).status


class Knocking:
    """Requests without a certificate, one after the other, each with the time at which it began."""

    def __init__(self, up: Up, host: str) -> None:
        self._up, self._host = up, host
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.statuses: list[tuple[float, int]] = []
        self.faults: list[str] = []

    def __enter__(self) -> Knocking:
        self._thread.start()
        self.more()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(30)

    def more(self, count: int = 20) -> None:
        goal = len(self.statuses) + count
        until(lambda: len(self.statuses) >= goal, 30, f"{self.faults[-3:]}")

    def _run(self) -> None:
        while not self._end.is_set():
            began = time.monotonic()
            try:
                self.statuses.append((began, ask(self._up, self._host)))
            except (OSError, EOFError) as error:
                self.faults.append(repr(error))

    def since(self, moment: float) -> set[int]:
        """What requests were answered that began after this moment."""
        return {status for when, status in self.statuses if when > moment}


def test_clients_without_a_certificate_are_sent_to_the_error_page(up: Up) -> None:
    page = "http://errors.test/no-certificate"
    up.apply("shop", authorities(), guarded("shop", "shop.test", auth_tls_error_page=page))
    with connect(up, "shop.test") as client:
        answer = client.ask("shop.test")
    assert (answer.status, answer.header("Location")) == (302, page)


def test_a_host_that_becomes_guarded_lets_nobody_in_once_that_is_in_force(up: Up, alice: Path) -> None:
    up.apply("shop", authorities(), ingress("shop", "shop.test"))
    waiting = [connect(up, "shop.test") for _ in range(8)]  # to workers that know nothing of a guard
    with Knocking(up, "shop.test") as knocking:
        up.apply("shop", authorities(), guarded("shop", "shop.test"))
        moment = time.monotonic()
        knocking.more()
    assert knocking.since(moment) == {400}
    assert 200 in {status for _, status in knocking.statuses}
    for client in waiting:
        with client, contextlib.suppress(OSError, EOFError, IndexError):
            assert client.ask("shop.test").status in REFUSED
    assert ask(up, "shop.test", alice) == 200
    assert ask(up, "plain.test") == 200


def test_other_authorities_take_over_without_a_moment_between(up: Up, alice: Path, bob: Path) -> None:
    up.apply("shop", authorities(), guarded("shop", "shop.test"))
    with Knocking(up, "shop.test") as knocking:
        assert (ask(up, "shop.test", alice), ask(up, "shop.test", bob)) == (200, 400)
        up.apply("shop", authorities(authority=PARTNERS.pem), guarded("shop", "shop.test"))
        assert (ask(up, "shop.test", alice), ask(up, "shop.test", bob)) == (400, 200)
        up.apply("shop", guarded("shop", "shop.test"))  # the Secret is gone
        assert ask(up, "shop.test", bob) in REFUSED
        up.apply("shop", authorities(), guarded("shop", "shop.test"))
        assert ask(up, "shop.test", alice) == 200
        up.delete("shop")
        knocking.more()
    assert {status for _, status in knocking.statuses} <= {400, 403, 404, 421, 500, 503}


def test_a_guard_outlives_the_control_plane_and_nginx(up: Up, alice: Path) -> None:
    up.apply("shop", authorities(), guarded("shop", "shop.test"))
    with Knocking(up, "shop.test") as knocking:
        os.kill(up.master(), signal.SIGKILL)
        until(lambda: _answers(lambda: ask(up, "shop.test", alice)) == 200, 30)
        up.kill()
        assert ask(up, "shop.test", alice) == 200
        up.spawn()
        up.wait_ready()
        knocking.more()
        up.stop()
        up.spawn()
        up.wait_ready()
        until(lambda: _answers(lambda: ask(up, "shop.test", alice)) == 200, 30)
        knocking.more()
    assert {status for _, status in knocking.statuses} == {400}


def _answers(request: Callable[[], int]) -> int:
    try:
        return request()
    except (OSError, EOFError, IndexError, ValueError):
        return 0


def test_a_guarded_wildcard_asks_for_one_label_and_not_for_hosts_that_are_declared(up: Up, alice: Path) -> None:
    up.apply("open", ingress("open", "open.wild.test"))
    with Knocking(up, "open.wild.test") as knocking:
        up.apply("wild", authorities(), guarded("wild", "*.wild.test"))
        up.apply("later", ingress("later", "later.wild.test"))
        knocking.more()
    assert {status for _, status in knocking.statuses} == {200}
    assert [ask(up, name) for name in ("any.wild.test", "later.wild.test")] == [400, 200]
    assert ask(up, "any.wild.test", alice) == 200
    assert ask(up, "a.b.wild.test") == 404


@pytest.mark.parametrize("tickets", ["false", "true"])
def test_a_session_of_one_host_opens_no_other(up: Up, tmp_path: Path, mallory: Path, tickets: str) -> None:
    up.apply("settings", configmap(ssl_session_tickets=tickets))
    up.apply(
        "hosts",
        authorities(),
        authorities("strict", ca_crl=CLIENTS.revoking("mallory")),
        guarded("one", "one.test"),
        guarded("two", "two.test"),
        guarded("strict", "strict.test", "strict"),
        guarded("maybe", "maybe.test", auth_tls_verify_client="optional_no_ca"),
    )
    for version in ("tls1_2", "tls1_3"):
        session = tmp_path / version

        def s_client(host: str, *options: str | Path, sni: str = "", version: str = version) -> str:
            return openssl(up, host, f"-{version}", *options, sni=sni)

        def begin(host: str, version: str = version, session: Path = session) -> str:
            return s_client(host, "-sess_out", session, "-cert", mallory, "-key", mallory, version=version)

        assert "HTTP/1.1 200" in begin("one.test")
        if not session.exists():
            assert (tickets, version) == ("true", "tls1_3")  # such a session would be a ticket, which are not given out
            begin("plain.test")
            assert "HTTP/1.1 200" not in s_client("one.test", "-sess_in", session)
            continue
        resumed = s_client("one.test", "-sess_in", session)
        assert "HTTP/1.1 200" in resumed
        assert "Reused" in resumed
        for other in ("two.test", "strict.test"):
            begin("one.test")
            assert "HTTP/1.1 200" not in s_client(other, "-sess_in", session)
            begin("one.test")
            assert "HTTP/1.1 200" not in s_client(other, "-sess_in", session, sni="one.test")
        begin("maybe.test")
        assert "HTTP/1.1 200" not in s_client("one.test", "-sess_in", session)
        begin("plain.test")
        assert "HTTP/1.1 200" not in s_client("one.test", "-sess_in", session)
        begin("one.test")
        assert '"ssl-client' not in s_client("plain.test", "-sess_in", session).lower()


@pytest.mark.parametrize("tickets", ["false", "true"])
def test_who_is_revoked_cannot_go_on_with_a_session_of_before(
    up: Up, tmp_path: Path, mallory: Path, alice: Path, tickets: str
) -> None:
    up.apply("settings", configmap(ssl_session_tickets=tickets))
    up.apply("hosts", authorities(), guarded("one", "one.test"))
    sessions = {version: tmp_path / version for version in ("tls1_2", "tls1_3")}
    for version, session in sessions.items():
        options = ("-sess_out", session, "-cert", mallory, "-key", mallory)
        assert "HTTP/1.1 200" in openssl(up, "one.test", f"-{version}", *options)
    if tickets == "true":  # of TLS 1.3 these are the only sessions, and guarded hosts give out none
        assert not sessions.pop("tls1_3").exists()
    up.apply("more", authorities("other", PARTNERS.pem), guarded("more", "more.test", "other"))
    for version, session in sessions.items():
        kept = openssl(up, "one.test", f"-{version}", "-sess_in", session, "-sess_out", session)
        assert "HTTP/1.1 200" in kept, "another host with other authorities ends no session of this one"
    up.apply("hosts", authorities(ca_crl=CLIENTS.revoking("mallory")), guarded("one", "one.test"))
    for version, session in sessions.items():
        assert "HTTP/1.1 200" not in openssl(up, "one.test", f"-{version}", "-sess_in", session)
    assert (ask(up, "one.test", mallory), ask(up, "one.test", alice)) == (400, 200)


def openssl(up: Up, host: str, *options: str | Path, sni: str = "") -> str:
    """What `openssl s_client` and the server say: the handshake, and the answer to one request."""
    command: list[str | Path] = ["openssl", "s_client", "-connect", f"127.0.0.1:{up.https}", "-servername", sni or host]
    with subprocess.Popen(
        [*command, "-ign_eof", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            process.stdin.flush()
        assert process.stdout is not None
        output = process.stdout.read()
        process.wait(20)
    return output.decode(errors="replace")


def test_clients_without_a_name_and_those_of_another_host_are_refused(up: Up, alice: Path) -> None:
    up.apply("shop", authorities(), guarded("shop", "shop.test"), guarded("page", "page.test"))
    assert ask(up, "shop.test", alice, sni=None) in REFUSED
    assert ask(up, "shop.test", alice, sni="unknown.test") in REFUSED
    assert ask(up, "shop.test", alice, sni="plain.test") == 421
    assert ask(up, "shop.test", alice, sni="page.test") == 421
    assert ask(up, "plain.test", alice, sni="shop.test") == 200


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"ca.crt": ""}, "no key ca.crt"),
        ({"ca.crt": "garbage"}, "holds no PEM certificate"),
        ({"ca.crt": CLIENTS.pem[:300]}, "holds no PEM certificate"),
        ({"ca.crl": "garbage"}, "holds no PEM revocation list"),
        ({"ca.crl": CLIENTS.revoking()[:200] + "\n-----END X509 CRL-----\n"}, "cannot be read"),
    ],
)
def test_authorities_that_cannot_be_used_close_the_host(up: Up, alice: Path, data: dict[str, str], words: str) -> None:
    secret = authorities()
    secret["stringData"] = {key: text for key, text in {**secret["stringData"], **data}.items() if text}
    up.apply("shop", secret, guarded("shop", "shop.test"), ingress("other", "shop.test", "/other"))
    assert [ask(up, "shop.test", one) for one in (None, alice)] == [403, 403]
    assert up.get("shop.test", "/other")[0] == 403
    findings = up.ingress("shop")["findings"]
    assert any(words in item["message"] and item["severity"] == "error" for item in findings), findings
    assert ask(up, "plain.test") == 200


def test_a_revocation_list_of_another_authority_lets_nobody_in_and_is_told(up: Up, alice: Path) -> None:
    up.apply("shop", authorities(ca_crl=PARTNERS.revoking()), guarded("shop", "shop.test"))
    assert [ask(up, "shop.test", one) for one in (None, alice)] == [400, 400]
    assert any("not an authority of ca.crt" in item["message"] for item in up.ingress("shop")["findings"])
