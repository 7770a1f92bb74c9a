"""What NGINX speaks to backends, and that no connection serves where another one is called for."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from dataplane import Plane, Server, backend, host, policy, route, self_signed, trusting_context
from tidegate.model import Certificate, KeyPair, Upstream

AUTO = policy(upstream=Upstream("auto"))
APP = "ns/app:80"


def server_context(folder: Path, pair: KeyPair) -> ssl.SSLContext:
    """A backend with this certificate; `folder` holds it for a moment."""
    file = folder / "backend.pem"
    file.write_text(pair.chain + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_auto_http_speaks_to_the_backend_as_the_client_does(
    new_plane: Callable[..., Plane], name: Callable[[str], str], tmp_path: Path
) -> None:
    plane = new_plane(policies=[AUTO])
    pair = self_signed("backend")
    with Server("plain") as plain, Server("tls", context=server_context(tmp_path, pair)) as secure:
        for label, server in (("plain", plain), ("tls", secure)):
            plane.put(
                Certificate(name(label), (pair,)),
                backend(f"ns/{label}:80", server),
                host(name(label), route(backend=f"ns/{label}:80", policy=AUTO.digest)),
            )
        assert plane.ask(name("plain")).seen.backend == "plain"
        with plane.tls_client(name("tls")) as client:
            assert client.ask(name("tls"), "/x?y=1").seen.target == "/x?y=1"
        assert plane.ask(name("tls")).status == 502  # never on the connection that TLS was spoken on
        with plane.tls_client(name("tls"), trusting_context()) as client:
            assert client.ask(name("tls")).seen.connection == 1
        with plane.tls_client(name("plain")) as client:
            # a greeting of TLS is no request: the backend hangs up, or waits for the end of a line
            assert client.ask(name("plain")).status in (502, 504)
