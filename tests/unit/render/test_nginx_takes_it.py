"""`nginx -t` takes configurations that use every field of a policy, with the least and the greatest values."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from rendering import Wanted, wanted
from tidegate.apply.nginx import NginxMissingError, find_binary, probe
from tidegate.model import Policy
from tidegate.render.runtime import Runtime
from tidegate.render.template import template_folder
from tidegate.settings.nginx_types import STREAM_VARIABLES


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    try:
        features = asyncio.run(probe("nginx"))
    except NginxMissingError as error:
        pytest.skip(str(error))
    run_dir = tmp_path_factory.mktemp("run")
    for name in ("logs", "tls", "tmp", "state", "users"):
        (run_dir / name).mkdir()
    (run_dir / "tls" / "default.pem").write_text(default_certificate())
    return Runtime(
        run_dir=str(run_dir),
        lua_dir=str(template_folder() / "lua"),
        features=features,
        http_addresses=("127.0.0.1:18080",),
        https_addresses=("127.0.0.1:18443",),
        workers=1,
    )


def default_certificate() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "made for a test")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2034, 1, 1, tzinfo=datetime.UTC))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (certificate.public_bytes(serialization.Encoding.PEM) + private).decode()


def refusal(given: Wanted, runtime: Runtime) -> str:
    """What NGINX says against it; empty if it takes it."""
    file = Path(runtime.run_dir) / "nginx.conf"
    file.write_text(given.conf(runtime))
    command = [find_binary("nginx"), "-t", "-q", "-c", str(file), "-p", runtime.run_dir]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr


EVERY: list[dict[str, str]] = [
    {
        "proxy-body-size": "8m",
        "proxy-buffering": "on",
        "proxy-request-buffering": "off",
        "proxy-buffers-number": "8",
        "proxy-buffer-size": "16k",
        "proxy-busy-buffers-size": "32k",
        "proxy-max-temp-file-size": "1m",
        "client-body-buffer-size": "1m",
        "proxy-http-version": "1.0",
        "proxy-next-upstream": "error timeout http_502 non_idempotent",
        "proxy-next-upstream-timeout": "5",
        "proxy-next-upstream-tries": "2",
        "backend-protocol": "HTTPS",
        "limit-rps": "5",
        "limit-rpm": "50",
        "limit-connections": "3",
        "limit-rate": "100",
        "limit-rate-after": "10",
        "whitelist-source-range": "10.0.0.0/8",
        "auth-type": "basic",
        "auth-secret": "users",
        "satisfy": "any",
        "upstream-vhost": "other.test",
        "custom-http-errors": "404,503",
        "disable-proxy-intercept-errors": "true",
        "enable-access-log": "false",
        "connection-proxy-header": "keep-alive",
        "proxy-redirect-from": "http://one.test/",
        "proxy-redirect-to": "/two/",
        "proxy-cookie-domain": "~.a b.test",
        "proxy-cookie-path": "/one/ /",
        "mirror-target": "https://copies.test/$request_uri",
    },
    *(
        {"backend-protocol": protocol, "custom-http-errors": "502"}
        for protocol in ("AUTO_HTTP", "GRPC", "GRPCS", "FCGI")
    ),
    *({"backend-protocol": protocol, "proxy-redirect-from": "default"} for protocol in ("HTTP", "HTTPS", "AUTO_HTTP")),
    {"backend-protocol": "FCGI", "fastcgi-index": "index.php"},
    {"auth-type": "basic", "auth-secret": "users"},
    {"denylist-source-range": "10.0.0.0/8"},
    {"custom-http-errors": "400,599,502"},
    {"proxy-next-upstream": "off"},
    {
        "auth-url": "https://guard.test/check?u=$request_uri",
        "auth-response-headers": "X-User, Authorization",
        "auth-signin": "https://$host/start",
        "auth-keepalive": "8",
        "auth-cache-key": "$cookie_session",
    },
    {"auth-url": "https://guard.test/"},
    {"auth-type": "digest", "auth-secret": "users", "auth-realm": "area"},
    {
        "enable-modsecurity": "true",
        "enable-owasp-core-rules": "true",
        "modsecurity-snippet": "SecRuleEngine On",
        "modsecurity-transaction-id": "$request_id",
    },
    {
        "use-regex": "true",
        "configuration-snippet": "add_header X-First $1; if ($arg_x) { return 410; } error_page 404 /lost;",
        "custom-http-errors": "404",
    },
]
EVERY_KEY = {
    "allow-snippet-annotations": "true",
    "annotations-risk-level": "Critical",
    "location-snippet": "add_header X-All 1;",
}
EXTREMES: list[dict[str, str]] = [
    {"limit-connections": "2147483647"},
    {"limit-rps": "2147483647", "limit-burst-multiplier": "1000000"},
    {"limit-rpm": "1", "limit-burst-multiplier": "1"},
    {"limit-rate": "2147483647", "limit-rate-after": "2147483647", "proxy-buffering": "on"},
    {"proxy-buffers-number": "2"},
    {"proxy-buffers-number": "2", "proxy-buffer-size": "1m", "proxy-max-temp-file-size": "1"},
    {"proxy-buffers-number": "3", "proxy-busy-buffers-size": "512m"},
    {"proxy-buffers-number": "65536", "proxy-buffer-size": "1", "proxy-busy-buffers-size": "1"},
    {"proxy-body-size": "1023g", "client-body-buffer-size": "1"},
    {"proxy-body-size": "0", "proxy-max-temp-file-size": "0"},
    {"proxy-next-upstream-timeout": "2147483647", "proxy-next-upstream-tries": "0"},
    {"proxy-next-upstream": "non_idempotent"},
    {"proxy-next-upstream": "http_502 http_504", "backend-protocol": "FCGI"},
    {"auth-url": "http://guard.test/", "auth-keepalive": "2147483647", "auth-keepalive-timeout": "9223372036854775807"},
    {"auth-url": "http://guard.test/", "auth-response-headers": ",".join(f"X-{n}" for n in range(300))},
]


def test_nginx_takes_a_configuration_with_every_field_of_a_policy(runtime: Runtime) -> None:
    given = wanted(EVERY, EVERY_KEY)
    default = given.settings.default_policy
    changed = {
        field
        for policy in given.policies.values()
        for field in Policy.__struct_fields__
        if getattr(policy, field) != getattr(default, field)
    }
    assert changed == set(Policy.__struct_fields__), "a new field of policies needs an annotation here"
    assert refusal(given, runtime) == ""


@pytest.mark.parametrize("annotations", EXTREMES, ids=str)
def test_nginx_takes_the_least_and_the_greatest_value_of_each_annotation(
    annotations: dict[str, str], runtime: Runtime
) -> None:
    given = wanted([annotations])
    assert given.policies
    assert refusal(given, runtime) == ""


LEAST = {
    "keep-alive": "0",
    "keep-alive-requests": "0",
    "client-header-buffer-size": "1",
    "large-client-header-buffers": "1 512",
    "client-header-timeout": "1",
    "client-body-timeout": "1",
    "upstream-keepalive-connections": "1",
    "upstream-keepalive-time": "1ms",
    "upstream-keepalive-timeout": "0",
    "upstream-keepalive-requests": "0",
    "http2-max-concurrent-streams": "1",
    "ssl-session-cache-size": "32k",
    "ssl-session-timeout": "0",
    "ssl-buffer-size": "1",
    "worker-shutdown-timeout": "1ms",
    "max-worker-connections": "1",
    "proxy-buffers-number": "2",
    "proxy-busy-buffers-size": "1",
    "hsts-max-age": "0",
    "limit-req-status-code": "400",
    "proxy-real-ip-cidr": "",
    "use-proxy-protocol": "true",
    "ssl-ciphers": "",
    "custom-http-errors": "",
    "proxy-stream-timeout": "1ms",
    "proxy-stream-next-upstream": "false",
    "proxy-stream-next-upstream-timeout": "0",
    "proxy-stream-next-upstream-tries": "0",
    "proxy-stream-responses": "0",
    "disable-stream-access-log": "true",
    "stream-snippet": "server { listen 127.0.0.1:9001; return x; }",
}
GREATEST = {
    "keep-alive": "2147483647",
    "keep-alive-requests": "2147483647",
    "client-header-buffer-size": "16m",
    "large-client-header-buffers": "99999 1m",
    "client-header-timeout": "2147483647",
    "upstream-keepalive-connections": "1048576",
    "upstream-keepalive-time": "100y",
    "upstream-keepalive-timeout": "2147483647",
    "upstream-keepalive-requests": "2147483647",
    "http2-max-concurrent-streams": "2147483647",
    "ssl-session-cache-size": "1g",
    "ssl-session-timeout": "60y",
    "ssl-buffer-size": "16m",
    "worker-shutdown-timeout": "100y",
    "worker-processes": "1024",
    "max-worker-connections": "1048576",
    "hsts-max-age": "9223372036854775807",
    "limit-conn-status-code": "599",
    "proxy-body-size": "1023g",
    "use-forwarded-headers": "true",
    "compute-full-forwarded-for": "true",
    "forwarded-for-header": "X" * 120,
    "proxy-real-ip-cidr": "10.0.0.0/8,::/0",
    "custom-http-errors": "400,401,404,500,503,599",
    "log-format-upstream": '$Remote_addr ${request} "\\ ; } $ingress_name',
    "log-format-escape-json": "true",
    "whitelist-source-range": "10.0.0.0/8",
    "proxy-buffering": "on",
    "limit-rate": "1",
    "proxy-stream-timeout": "100y",
    "proxy-stream-next-upstream-timeout": "100y",
    "proxy-stream-next-upstream-tries": "2147483647",
    "proxy-stream-responses": "2147483647",
    "log-format-stream": " ".join(f"${name}" for name in sorted(STREAM_VARIABLES)),
}


@pytest.mark.parametrize("data", [LEAST, GREATEST], ids=["least", "greatest"])
def test_nginx_takes_the_least_and_the_greatest_values_of_the_configmap(data: dict[str, str], runtime: Runtime) -> None:
    log = f"{runtime.run_dir}/logs/access.log"
    assert refusal(wanted([{}], data, access_log=log), runtime) == ""


def test_nginx_takes_the_configuration_of_an_ordinary_user_without_headers_more(runtime: Runtime) -> None:
    plain = dataclasses.replace(runtime.features, headers_more=False, modules=runtime.features.modules[:2])
    assert refusal(wanted([{}]), dataclasses.replace(runtime, features=plain)) == ""


@pytest.mark.parametrize("data", [{}, {"use-proxy-protocol": "true", **GREATEST}], ids=["plain", "behind a proxy"])
def test_nginx_takes_the_configuration_with_passthrough(data: dict[str, str], runtime: Runtime) -> None:
    given = wanted([{}], data)
    assert refusal(given, dataclasses.replace(runtime, ssl_passthrough=True)) == ""


def test_a_zone_is_named_by_all_of_its_parameters(runtime: Runtime) -> None:
    """NGINX refuses a reload that changes what a zone's name stands for."""
    names: dict[str, Any] = {}
    for rate in ("1", "2", "60"):
        for unit in ("limit-rps", "limit-rpm"):
            conf = wanted([{unit: rate}]).conf(runtime)
            lines = [line.strip() for line in conf.splitlines() if "_zone " in line]
            for line in lines:
                name = line.split("zone=")[1].split(":")[0]
                assert names.setdefault(name, line) == line
    assert len(names) == 6


def test_policies_are_values(runtime: Runtime) -> None:
    assert shutil.which("sh")
    given = wanted(EVERY)
    for policy in given.policies.values():
        assert msgspec.json.decode(msgspec.json.encode(policy), type=Policy) == policy
