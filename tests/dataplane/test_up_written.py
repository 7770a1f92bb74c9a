"""Settings that no request shows, or only one of many seconds or megabytes: NGINX's configuration has them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from streams import entries, stream_service
from up import configmap, free_ports, ingress, running

KEYS = {
    "client-body-buffer-size": ("20k", "client_body_buffer_size 20480;"),
    "client-body-timeout": ("7", "client_body_timeout 7s;"),
    "client-header-buffer-size": ("2k", "client_header_buffer_size 2048;"),
    "client-header-timeout": ("8", "client_header_timeout 8s;"),
    "enable-multi-accept": ("false", "multi_accept off;"),
    "error-log-level": ("warn", "error.log warn;"),
    "grpc-buffer-size-kb": ("9", "grpc_buffer_size 9216;"),
    "gzip-level": ("4", "gzip_comp_level 4;"),
    "gzip-min-length": ("333", "gzip_min_length 333;"),
    "log-format-stream": ("streamed $remote_addr", "log_format tidegate streamed $remote_addr;"),
    "map-hash-bucket-size": ("512", "map_hash_bucket_size 512;"),
    "max-worker-connections": ("777", "worker_connections 777;"),
    "max-worker-open-files": ("3333", "worker_rlimit_nofile 3333;"),
    "nginx-status-ipv6-whitelist": ("fd00::/8", "allow fd00::/8;"),
    "otel-max-queuesize": ("77", "most:77"),
    "proxy-buffer-size": ("8k", "proxy_buffer_size 8192;"),
    "proxy-buffers-number": ("6", "proxy_buffers 6 "),
    "proxy-busy-buffers-size": ("16k", "proxy_busy_buffers_size 16384;"),
    "proxy-connect-timeout": ("9", "proxy_connect_timeout 9s;"),
    "proxy-headers-hash-bucket-size": ("128", "proxy_headers_hash_bucket_size 128;"),
    "proxy-headers-hash-max-size": ("1024", "proxy_headers_hash_max_size 1024;"),
    "proxy-http-version": ("1.0", "proxy_http_version 1.0;"),
    "proxy-max-temp-file-size": ("3m", "proxy_max_temp_file_size 3145728;"),
    "proxy-next-upstream-timeout": ("11", "proxy_next_upstream_timeout 11s;"),
    "proxy-request-buffering": ("off", "proxy_request_buffering off;"),
    "proxy-send-timeout": ("12", "proxy_send_timeout 12s;"),
    "proxy-stream-next-upstream": ("false", "proxy_next_upstream off;"),
    "proxy-stream-next-upstream-timeout": ("13s", "proxy_next_upstream_timeout 13000ms;"),
    "proxy-stream-next-upstream-tries": ("5", "proxy_next_upstream_tries 5;"),
    "proxy-stream-responses": ("2", "proxy_responses 2;"),
    "proxy-stream-timeout": ("14s", "proxy_timeout 14000ms;"),
    "server-name-hash-bucket-size": ("256", "server_names_hash_bucket_size 256;"),
    "server-name-hash-max-size": ("4096", "server_names_hash_max_size 4096;"),
    "ssl-buffer-size": ("5k", "ssl_buffer_size 5120;"),
    "ssl-session-cache-size": ("3m", ":3145728;"),
    "ssl-session-timeout": ("15m", "ssl_session_timeout 900s;"),
    "stream-access-log-path": ("syslog:server=127.0.0.1:9", "access_log syslog:server=127.0.0.1:9 tidegate;"),
    "upstream-keepalive-requests": ("17", "keepalive_requests 17;"),
    "upstream-keepalive-time": ("18m", "keepalive_time 1080000ms;"),
    "variables-hash-bucket-size": ("512", "variables_hash_bucket_size 512;"),
    "variables-hash-max-size": ("4096", "variables_hash_max_size 4096;"),
    "worker-shutdown-timeout": ("19s", "worker_shutdown_timeout 19000ms;"),
}
"""Keys of the ConfigMap: a value that is not the default, and what it becomes."""

ANNOTATIONS = {
    "client-body-buffer-size": ("24k", "client_body_buffer_size 24576;"),
    "proxy-buffer-size": ("16k", "proxy_buffer_size 16384;"),
    "proxy-buffers-number": ("7", "proxy_buffers 7 "),
    "proxy-busy-buffers-size": ("32k", "proxy_busy_buffers_size 32768;"),
    "proxy-http-version": ("1.1", "proxy_http_version 1.1;"),
    "proxy-max-temp-file-size": ("4m", "proxy_max_temp_file_size 4194304;"),
    "proxy-next-upstream-timeout": ("21", "proxy_next_upstream_timeout 21s;"),
    "proxy-request-buffering": ("on", "proxy_request_buffering on;"),
}
"""Annotations, over the keys of the same name."""


@pytest.fixture(scope="module")
def written() -> Iterator[str]:
    """The configuration with all of them set."""
    port = free_ports(1)[0]
    flags = ("--configmap", "default/settings", "--udp-services-configmap", "default/udp")
    keys = {"use_gzip": "true"} | {key.replace("-", "_"): value for key, (value, _) in KEYS.items()}
    own = {name.replace("-", "_"): value for name, (value, _) in ANNOTATIONS.items()}
    manifests = [
        configmap(**keys),
        ingress("own", "own.test", **own),
        ingress("calls", "calls.test", backend_protocol="GRPC"),
        entries("udp", **{f"p{port}": "default/datagrams:7000"}),
        *stream_service("datagrams", ("127.0.0.1", 7000), protocol="UDP"),
    ]
    with running(*flags, manifests=lambda _: manifests) as (up, _):
        assert up.backend_of("own.test") == "echo"
        yield up.configuration().replace('"', "")


@pytest.mark.parametrize("key", KEYS)
def test_a_key_becomes_what_it_says(written: str, key: str) -> None:
    assert KEYS[key][1] in written


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_an_annotation_becomes_what_it_says(written: str, name: str) -> None:
    policies = re.findall(r"location @policy_\w+ \{(.*?)^        \}", written, re.DOTALL | re.MULTILINE)
    (policy,) = [one for one in policies if "grpc_pass" not in one]
    assert ANNOTATIONS[name][1] in policy
