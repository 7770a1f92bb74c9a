"""The e2e tier: a kind cluster with the chart in it. Without the cluster of `make e2e` nothing here is collected."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "dataplane"))

collect_ignore_glob = [] if "E2E_NODE" in os.environ else ["test_*"]
