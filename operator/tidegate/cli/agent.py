"""`tidegate agent`: process 1 of the NGINX sidecar."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import typer

from tidegate.agent.main import AgentOptions, AgentStartError, RunDirError, run_agent
from tidegate.cli.common import fail


def agent(
    run_dir: Annotated[Path, typer.Option("--run-dir", help="The folder that NGINX and the agent share.")],
    nginx_binary: Annotated[str, typer.Option("--nginx-binary", help="The NGINX to own.")] = "nginx",
    worker_user: Annotated[str, typer.Option("--worker-user", help="Who the workers run as, when root.")] = "",
    stop_timeout: Annotated[float, typer.Option("--stop-timeout", min=0, help="Seconds for requests to end.")] = 30.0,
    shutdown_grace_period: Annotated[
        float, typer.Option("--shutdown-grace-period", min=0, help="Seconds that NGINX still serves after SIGTERM.")
    ] = 0.0,
    shared: Annotated[
        bool, typer.Option("--shared", help="The control plane runs as another user of this group.")
    ] = False,
    health_port: Annotated[
        int, typer.Option("--health-port", min=0, max=65535, help="Where probes are answered; 0: nowhere.")
    ] = 0,
    health_host: Annotated[str, typer.Option("--health-host", help="The address of that; empty: all.")] = "",
) -> None:
    """Own NGINX: test, start, reload and verify it, and bring it back when it dies."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    options = AgentOptions(
        run_dir,
        nginx_binary,
        worker_user or None,
        stop_timeout,
        shared=shared,
        drain=shutdown_grace_period,
        health=(health_host, health_port) if health_port else None,
        console=True,
    )
    try:
        asyncio.run(run_agent(options))
    except (AgentStartError, RunDirError) as error:
        fail(str(error))
