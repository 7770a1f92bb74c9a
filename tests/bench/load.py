"""Load for the CPU figures: wrk for HTTP/1.1, and for HTTP/2 `h2flood.py`, because h2load asks one host only."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from subjects import BenchError

FLOOD = Path(__file__).with_name("h2flood.py")
CONNECTIONS = 32
H2_CONNECTIONS, H2_STREAMS = 8, 8

SCRIPT = """
local requests = {}
for line in io.lines("%s") do
  local host, path = line:match("^(%%S+) (%%S+)$")
  requests[#requests + 1] = "GET " .. path .. " HTTP/1.1\\r\\nHost: " .. host
    .. "\\r\\nUser-Agent: bench\\r\\nAccept: */*\\r\\n\\r\\n"
end
init = function() math.randomseed(os.time()) end
request = function() return requests[math.random(#requests)] end
"""


class Targets:
    """What to ask for, drawn at random: hosts and paths, in a file for the generators."""

    def __init__(self, place: Path, rows: Sequence[tuple[str, str]]) -> None:
        self.rows = place / "targets.txt"
        self.rows.write_text("".join(f"{host} {path}\n" for host, path in rows))
        self.script = place / "targets.lua"
        self.script.write_text(SCRIPT % self.rows)


def http1(port: int, targets: Targets, seconds: float) -> int:
    """Requests answered 2xx by `seconds` of wrk; anything else is an error."""
    command = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{max(1, round(seconds))}s", "-s", str(targets.script)]
    out = subprocess.run([*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+) requests in", out)
    if found is None or "Non-2xx" in out or "Socket errors" in out:
        raise BenchError(f"wrk: {out}")
    return int(found[1])


def http2(port: int, targets: Targets, seconds: float, *kind: str) -> int:
    """Requests answered 200 over TLS and HTTP/2; anything else is an error."""
    command = [
        sys.executable,
        str(FLOOD),
        str(port),
        str(targets.rows),
        str(seconds),
        str(H2_CONNECTIONS),
        str(H2_STREAMS),
        *kind,
    ]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result = json.loads(out)
    if result["wrong"]:
        raise BenchError(f"HTTP/2: {result}")
    return int(result["right"])


def grpc(port: int, targets: Targets, seconds: float) -> int:
    """Unary calls answered over TLS; anything else is an error."""
    return http2(port, targets, seconds, "grpc")


GENERATORS = {"h1": http1, "h2": http2, "grpc": grpc}
