"""Ways around the guards that a review looked for. What is open is marked, with the place where it is to be closed."""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
from claims import free_ports
from hostile import CONFIGMAP
from served import TIDEGATE, Answer, Up, is_root, until, up
from tidegate.findings import ObjectKey
from tidegate.render.quoting import UnsafeValue, lua_text
from tidegate.resources.changes import Resolution
from tidegate.resources.model import Ingress
from tidegate.sources.directory import load_text
from tidegate.store import Store
from tidegate.translate.engine import Translator
from tidegate.translate.options import Options

PREFIX = "nginx.ingress.kubernetes.io"
JOE = {"Authorization": "Basic " + base64.b64encode(b"joe:secret").decode()}


def manifest(name: str, path: str = "/", namespace: str = "calm", host: str = "", **annotations: str) -> str:
    """An Ingress for `NAME.calm.test`, as JSON."""
    given = {f"{PREFIX}/{key.replace('_', '-')}": value for key, value in annotations.items()}
    backend = {"service": {"name": "echo", "port": {"number": 80}}}
    rule = {"host": host or f"{name}.calm.test", "http": {"paths": [_path(path, backend)]}}
    metadata = {"name": name, "namespace": namespace, "annotations": given}
    api = "networking.k8s.io/v1"
    return json.dumps({"apiVersion": api, "kind": "Ingress", "metadata": metadata, "spec": {"rules": [rule]}})


def _path(path: str, backend: object) -> dict[str, object]:
    return {"path": path, "pathType": "Prefix", "backend": backend}


def translated(text: str, **options: str) -> Translator:
    store, translator = Store(), Translator(Options(configmap=CONFIGMAP, **options))  # type: ignore[arg-type]
    translator.update(store, store.apply(load_text(text).changes))
    return translator


@pytest.fixture(scope="module")
def served() -> Iterator[Up]:
    with up() as one:
        yield one


def serve(served: Up, name: str, path: str = "/", **annotations: str) -> str:
    """Serves an Ingress; its host."""
    served.put(f"{name}.json", manifest(name, path, **annotations))
    host = f"{name}.calm.test"
    until(lambda: any(row["host"] == host for row in served.admin("/api/v1/routes")), host)
    served.settle()
    return host


def seen(answer: Answer) -> dict[str, str]:
    """The headers that the backend got."""
    return {name.lower(): value for name, value in json.loads(answer.body)}


# -- closed ------------------------------------------------------------------------------------------------------------


def test_a_deny_list_alone_lets_nobody_in_whom_satisfy_any_would_ask_for_a_password(served: Up) -> None:
    host = serve(
        served, "deny", denylist_source_range="192.0.2.1", satisfy="any", auth_type="basic", auth_secret="users"
    )
    assert served.ask(host, "/").status == 401
    assert served.ask(host, "/", JOE).status == 200


def test_a_group_of_two_thousand_million_endpoints_does_not_hold_a_worker(served: Up) -> None:
    ports = free_ports(2)
    endpoints = "".join(
        f"""\
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: dead-{port}, namespace: calm, labels: {{kubernetes.io/service-name: dead}}}}
addressType: IPv4
ports: [{{port: {port}}}]
endpoints: [{{addresses: [127.0.0.1]}}]
"""
        for port in ports
    )
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: dead, namespace: calm}\nspec: {ports: [{port: 80}]}\n"
    served.put("dead.yaml", service + endpoints)
    settings = {"upstream_hash_by": "$remote_addr", "upstream_hash_by_subset": "true"}
    text = manifest("spin", upstream_hash_by_subset_size="2147483647", **settings)
    served.put("spin.json", text.replace('"echo"', '"dead"'))
    until(lambda: served.ask("spin.calm.test", "/").status == 502, "the dead endpoints are asked")
    started = time.monotonic()
    assert served.ask("spin.calm.test", "/").status == 502
    assert time.monotonic() - started < 2


def test_hundreds_of_policies_fit_into_what_nginx_reads_at_once(served: Up) -> None:
    for number in range(300):
        served.put(f"policy-{number}.json", manifest(f"policy-{number}", proxy_body_size=str(1_000_000 + number)))
    until(lambda: served.ask("policy-299.calm.test", "/").status == 200, "the last policy runs")
    served.settle()
    assert len(served.admin("/api/v1/policies")) >= 300
    assert {served.ask(f"policy-{number}.calm.test", "/").status for number in range(0, 300, 20)} == {200}
    assert "[emerg]" not in served.errors()


def test_text_for_lua_comes_in_pieces_that_lua_joins() -> None:
    text = "".join(map(str, range(3000)))
    pieces = f"[=====[{lua_text(text)}]=====]".split(" .. ")
    assert all(len(piece.encode()) <= 4096 for piece in pieces)
    assert "".join(piece.removeprefix("[=====[").removesuffix("]=====]") for piece in pieces) == text
    with pytest.raises(UnsafeValue):
        lua_text("]=====]")


def test_a_global_allow_list_is_in_force_though_nginx_refuses_the_settings_beside_it() -> None:
    config = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config", "namespace": "hostile"}, '
    translator = translated(config + '"data": {"whitelist-source-range": "192.0.2.1"}}' + manifest("a"))
    (route,) = translator.hosts["a.calm.test"].routes
    policies, _ = translator.policies()
    assert route.access is not None
    assert policies[route.policy].access


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "0.0.0.0", "::", "224.0.0.1"])
def test_no_name_leads_to_the_metadata_of_the_cloud(address: str) -> None:
    service = (
        '{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "echo", "namespace": "calm"}, '
        '"spec": {"type": "ExternalName", "externalName": "metadata.test", "ports": [{"port": 80}]}}'
    )
    store, translator = Store(), Translator(Options())
    translator.update(store, store.apply(load_text(service + manifest("a")).changes))
    assert translator.dns_names() == {"metadata.test"}
    translator.update(store, store.resolve(Resolution("metadata.test", (address, "192.0.2.7"))))
    (backend,) = translator.backends.values()
    assert [endpoint.address for endpoint in backend.endpoints] == ["192.0.2.7"]


def test_a_get_over_http_2_has_no_body_beyond_the_limit(served: Up) -> None:
    host = serve(served, "body")
    assert _status_of_a_large_get(served, host, 3_000_000) == 413


def _status_of_a_large_get(served: Up, host: str, size: int) -> int:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    raw = socket.create_connection(("127.0.0.1", served.tls_port), 20)
    with context.wrap_socket(raw, server_hostname=host) as sock:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        connection.initiate_connection()
        rows = [(":method", "GET"), (":scheme", "https"), (":authority", host), (":path", "/")]
        connection.send_headers(1, rows)
        while True:
            window = min(connection.local_flow_control_window(1), size, connection.max_outbound_frame_size)
            if size and window:
                size -= window
                connection.send_data(1, b"x" * window, end_stream=not size)
                sock.sendall(connection.data_to_send())
                continue
            sock.sendall(connection.data_to_send())
            for event in connection.receive_data(sock.recv(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    return int(next(str(value) for name, value in event.headers if str(name) == ":status"))


# -- open --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["authorization", "x-real-ip", "x-forwarded-proto", "x-forwarded-host", "proxy"])
def test_an_error_backend_gets_no_password_and_no_forged_header(served: Up, header: str) -> None:
    guards = {"auth_type": "basic", "auth_secret": "users"}
    host = serve(served, "errors", custom_http_errors="404", default_backend="echo", **guards)
    forged = dict.fromkeys(("X-Real-IP", "X-Forwarded-Proto", "X-Forwarded-Host", "Proxy"), "forged")
    answer = served.ask(host, "/missing", {**JOE, **forged})
    got = seen(answer)
    if got.get("x-code") != "404":
        pytest.fail("the error backend was not asked")
    assert got.get(header, "") not in ("forged", JOE["Authorization"])


def test_a_client_cannot_ask_the_backend_for_a_tunnel_of_http_2(served: Up) -> None:
    host = serve(served, "tunnel")
    asked = {"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA"}
    assert "h2c" not in seen(served.ask(host, "/", asked)).get("upgrade", "")


@pytest.mark.parametrize("header", ["ssl-client-verify", "ssl-client-subject-dn", "ssl-client-cert"])
def test_a_client_cannot_forge_what_a_certificate_would_say(served: Up, header: str) -> None:
    host = serve(served, "forge")
    assert header not in seen(served.ask(host, "/", {header: "SUCCESS"}))


@pytest.mark.skipif(not is_root(), reason="an ordinary user has one user only")
def test_a_worker_cannot_put_another_configuration_in_the_place_of_ours(served: Up) -> None:
    """What stands in that folder is read, and run, by NGINX's master and the agent, which are root."""
    owner = Path(f"/proc/{_worker(served)}").stat().st_uid
    assert owner != 0
    moved = served.run / "conf"
    command = ["setpriv", f"--reuid={owner}", "--clear-groups", "mv", "-T", str(moved), f"{moved}.moved"]
    result = subprocess.run(command, capture_output=True, check=False)
    if result.returncode == 0:
        Path(f"{moved}.moved").rename(moved)
    assert result.returncode != 0


def _worker(served: Up) -> int:
    master = int((served.run / "nginx.pid").read_text())
    return int(Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])


def test_check_prints_a_finding_with_brackets_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(manifest("a", proxy_body_size="[/red] [bold]x"))
    terminal = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": "500"}
    command = [str(TIDEGATE), "check", str(tmp_path)]
    result = subprocess.run(command, env=terminal, capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr
    assert "[/red]" in result.stdout
    assert "metadata.annotations[nginx.ingress.kubernetes.io/proxy-body-size]" in result.stdout


def test_the_first_namespace_keeps_its_host_where_that_is_asked_for() -> None:
    other = manifest("b", "/login", namespace="a-thief", host="a.calm.test")
    options = Options(host_ownership="namespace")
    store, translator = Store(), Translator(options)
    changes = load_text(manifest("a") + other).changes
    translator.update(store, store.apply(changes))
    assert isinstance(store.ingresses[ObjectKey("Ingress", "a-thief", "b")], Ingress)
    assert {route.labels.namespace for route in translator.hosts["a.calm.test"].routes} == {"calm"}
