"""What NGINX's container gives it: the control plane, which may be in another one, asks here."""

from __future__ import annotations

import math
import os
import resource
from pathlib import Path

from tidegate.agent.protocol import Machine

_CGROUP = Path("/sys/fs/cgroup")
_MOST_FILES = 1_048_576


def machine() -> Machine:
    """Cores and open files that NGINX may use here."""
    return Machine(cores=_cores(_CGROUP), open_files=_open_files())


def _cores(cgroup: Path) -> int:
    """The processors that this process may use, or fewer where its control group has a quota (rounded up)."""
    available = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return max(1, available if quota is None else min(available, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """Of a container's own control group, version 2 or 1; None for no limit."""
    try:
        limit, period = (cgroup / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        quota = int((cgroup / "cpu" / "cpu.cfs_quota_us").read_text())
        return None if quota <= 0 else quota / int((cgroup / "cpu" / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None


def _open_files() -> int:
    """The limit that a process may raise its own to."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_FILES if hard == resource.RLIM_INFINITY else hard
