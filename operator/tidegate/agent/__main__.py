"""`python -m tidegate.agent`: the agent as a process."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from tidegate.agent.main import AgentOptions, AgentStartError, run_agent
from tidegate.agent.rundir import RunDirError


def main(argv: list[str] | None = None) -> int:
    """Runs the agent; exit status 0 after a stop, 1 when it could not start."""
    parser = argparse.ArgumentParser(
        prog="tidegate agent", description="Owns NGINX: tests, reloads, verifies, restores."
    )
    parser.add_argument("--run-dir", type=Path, required=True, help="where sockets, configuration and logs are")
    parser.add_argument("--nginx-binary", default="nginx", help="NGINX to run (default: nginx on PATH)")
    parser.add_argument("--worker-user", help="the user that NGINX's workers run as, when the agent is root")
    parser.add_argument("--stop-timeout", type=float, default=30.0, help="seconds for requests to end at a stop")
    parser.add_argument("--confirm-timeout", type=float, default=30.0, help="seconds for new workers to come up")
    given = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    options = AgentOptions(
        run_dir=given.run_dir,
        nginx_binary=given.nginx_binary,
        worker_user=given.worker_user,
        stop_timeout=given.stop_timeout,
        confirm_timeout=given.confirm_timeout,
    )
    try:
        asyncio.run(run_agent(options))
    except (RunDirError, AgentStartError) as error:
        print(f"tidegate agent: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
