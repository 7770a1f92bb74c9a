"""`tidegate up`: Secrets for TLS to backends become files before anything names them, and close paths when they go."""

from __future__ import annotations

import stat
from pathlib import Path

from dataplane import Server
from tidegate.render.runtime import PEM_FOLDER
from tls_peers import pair, tls_server
from up import Manifest, Up, ingress, service

TLS = {"backend_protocol": "HTTPS", "proxy_ssl_secret": "default/client"}
VERIFIED = {**TLS, "proxy_ssl_verify": "on", "proxy_ssl_name": "app.internal"}


def secret(name: str = "alice", authority: str = "backends") -> Manifest:
    one = pair(name, "clients")
    data = {"tls.crt": one.chain, "tls.key": one.key, "ca.crt": pair(authority, authority).chain}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "client"}, "stringData": data}


def client_of(up: Up, host: str) -> str:
    """Whose certificate the backend saw; the status where it did not answer."""
    status, body = up.get(host)
    return body.split(" ")[1] if status == 200 else str(status)


def test_a_secret_is_shown_to_the_backend_and_its_changes_are_followed(tmp_path: Path) -> None:
    with tls_server(tmp_path, clients=True) as server, Up() as up:
        up.start(service("echo", server.port), ingress("a", "a.test", **VERIFIED))
        assert client_of(up, "a.test") == "503", "there is no Secret yet"
        up.apply("client", secret())
        assert client_of(up, "a.test") == "alice"
        up.apply("client", secret("bob"))
        assert client_of(up, "a.test") == "bob"
        up.apply("client", secret("bob", "others"))
        assert client_of(up, "a.test") == "502", "the backend's certificate is not of these authorities"
        up.delete("client")
        assert client_of(up, "a.test") == "503"
        found = up.ingress("a")
        assert (found["state"], [one["reason"] for one in found["findings"]]) == ("degraded", ["Denied"])


def test_the_backend_is_told_a_name_and_authorities_may_stand_between_as_the_annotations_say(tmp_path: Path) -> None:
    more = {"proxy_ssl_server_name": "on", "proxy_ssl_verify_depth": "3"}
    with tls_server(tmp_path, clients=True) as server, Up() as up:
        rules = [ingress("a", "a.test", **VERIFIED), ingress("b", "b.test", **VERIFIED, **more)]
        up.start(service("echo", server.port), secret(), rules)
        assert [up.get(host)[1].split(" ")[2] for host in ("a.test", "b.test")] == ["-", "app.internal"]
        assert up.configuration().count("proxy_ssl_verify_depth 3;") == 1


def test_files_with_keys_are_for_their_owner_alone_and_leave_with_the_next_start(tmp_path: Path) -> None:
    with tls_server(tmp_path, clients=True) as server, Up() as up:
        up.start(service("echo", server.port), ingress("a", "a.test", **TLS), secret())
        folder = up.run / PEM_FOLDER
        first = list(folder.iterdir())
        assert [stat.S_IMODE(file.stat().st_mode) for file in first] == [0o600]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        up.apply("start", service("echo", server.port), ingress("a", "a.test", **TLS), secret("bob"))
        for rate in ("8", "9"):  # two reloads: the configuration that runs and the one before have no use for alice
            up.apply("b", ingress("b", "b.test", limit_rps=rate))
        assert set(first) < set(folder.iterdir())
        up.kill()
        up.spawn()
        up.wait_ready()
        assert client_of(up, "a.test") == "bob"
        assert not set(first) & set(folder.iterdir())


def test_paths_of_the_host_inherit_the_settings_of_the_oldest_ingress_and_close_with_it(tmp_path: Path) -> None:
    with tls_server(tmp_path, clients=True) as server, Server("plain") as plain, Up() as up:
        heir = ingress("heir", "a.test", "/heir", backend_protocol="HTTPS")
        other = ingress("other", "a.test", "/plain", backend="plain")
        apart = ingress("apart", "b.test", backend_protocol="HTTPS")
        rest = [ingress("a", "a.test", **TLS), heir, other, apart]
        up.start(service("echo", server.port), service("plain", plain.port), *rest)
        up.apply("client", secret())
        assert up.get("a.test", "/heir")[1].split(" ")[1] == "alice"
        assert up.get("b.test")[0] == 502
        up.delete("client")
        assert up.get("a.test", "/heir")[0] == 503
        assert up.backend_of("a.test", "/plain") == "plain"
