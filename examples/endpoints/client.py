#!/usr/bin/env python3
"""A client that asks Tidegate whether a Service has ready endpoints, and then calls one of them by chance.

    client.py shop/pooled --count 10 --admin http://127.0.0.1:10254

The Service has to be used by an Ingress, for only then its endpoints are listed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import urllib.request
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def ready(admin: str, namespace: str, service: str) -> int:
    """How many endpoints of the Service are ready."""
    query = urlencode({"service": service, "namespace": namespace})
    return int(ask(f"{admin}/check_endpoint?{query}")["ready"])


def endpoints(admin: str, namespace: str, service: str) -> list[str]:
    """Address and port of each ready endpoint."""
    return [
        f"{one['address']}:{one['port']}"
        for backend in ask(f"{admin}/api/v1/backends")
        if backend["name"].startswith(f"{namespace}/{service}:")
        for one in backend["endpoints"]
    ]


def call(admin: str, namespace: str, service: str) -> str:
    """Wait until an endpoint is ready, call one, and say what it answered."""
    while not ready(admin, namespace, service):
        time.sleep(0.2)
    chosen = random.choice(endpoints(admin, namespace, service))
    with urllib.request.urlopen(f"http://{chosen}/", timeout=5) as answer:
        return f"{chosen} {answer.status}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Calls ready endpoints of a Service.")
    parser.add_argument("service", metavar="NAMESPACE/SERVICE")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--admin", default="http://127.0.0.1:10254")
    options = parser.parse_args()
    namespace, _, service = options.service.partition("/")
    failures = 0
    for _ in range(options.count):
        try:
            print(call(options.admin, namespace, service))
        except (URLError, TimeoutError, IndexError) as error:  # it went between the two questions
            failures += 1
            print(f"failed: {error}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
