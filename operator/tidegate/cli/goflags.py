"""Flags as the retired controller takes them, so that the arguments of its manifests work as they are.

Go's `--flag=false` for a flag that is on or off and `-v=2` are translated. Flags that ask for nothing here are taken
with a word of why; flags that ask for what Tidegate does not do end the program with the reason.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from typer.core import TyperCommand

from tidegate.cli.common import err, fail
from tidegate.settings.types import FALSE, TRUE

_KLOG = "messages are not written by klog"
_PORT = "there is no such port: what it was for goes through a Unix socket"
_PUSH = "changes are pushed as they come"
_RETIRED = "it had no effect in the retired controller's last versions either"
_PROFILER = "there is no profiler"
_DOWNLOAD = "databases are mounted, not downloaded"

WITHOUT_EFFECT: dict[str, str] = {
    "sync-rate-limit": _PUSH,
    "dynamic-configuration-retries": _PUSH,
    "default-server-port": _PORT,
    "status-port": _PORT,
    "ssl-passthrough-proxy-port": _PORT,
    "internal-logger-address": "there is no chroot image",
    "profiler-port": _PROFILER,
    "profiler-address": _PROFILER,
    "disable-full-test": "a review always costs just the object under review",
    "monitor-max-batch-size": "requests are counted in NGINX, none is left out",
    "max-buckets": "there are no native histograms",
    "health-check-timeout": "health is known at any time, nobody waits for it",
    "maxmind-retries-count": _DOWNLOAD,
    "maxmind-retries-timeout": _DOWNLOAD,
    "maxmind-edition-ids": _DOWNLOAD,
    "maxmind-mirror": _DOWNLOAD,
    "stderrthreshold": _KLOG,
    "vmodule": _KLOG,
    "log_dir": _KLOG,
    "log_file": _KLOG,
    "log_file_max_size": _KLOG,
    "log_backtrace_at": _KLOG,
}
"""Flags with a value."""

SWITCHES_WITHOUT_EFFECT: dict[str, str] = {
    "enable-metrics": "metrics are always on",
    "profiling": _PROFILER,
    "logtostderr": _KLOG,
    "alsologtostderr": _KLOG,
    "add_dir_header": _KLOG,
    "skip_headers": _KLOG,
    "skip_log_headers": _KLOG,
    "one_output": _KLOG,
    "legacy_stderr_threshold_behavior": _KLOG,
    "disable-node-list": _RETIRED,
    "sort-backends": _RETIRED,
    "enable-dynamic-configuration": _RETIRED,
    "enable-dynamic-certificates": _RETIRED,
    "force-namespace-isolation": _RETIRED,
}

REFUSED: dict[str, str] = {
    "bucket-factor": "there are no native histograms: leave it out, or say 0",
    "maxmind-license-key": "GeoIP databases are not downloaded: mount them, and leave the flag out",
}
"""Flags whose value asks for something: is neither empty nor 0."""

VERBOSITY = re.compile(r"-v=?(\d+)")


NO_CLUSTER = "there is no cluster"
OF_A_CLUSTER: dict[str, str] = dict.fromkeys(
    (
        "kubeconfig",
        "apiserver-host",
        "certificate-authority",
        "sync-period",
        "publish-status-address",
        "status-update-interval",
        "election-id",
        "election-ttl",
        "validating-webhook-secret",
        "validating-webhook-service",
        "validating-webhook-configuration",
    ),
    NO_CLUSTER,
)
SWITCHES_OF_A_CLUSTER: dict[str, str] = dict.fromkeys(
    (
        "update-status",
        "update-status-on-shutdown",
        "report-node-internal-ip-address",
        "disable-leader-election",
        "disable-sync-events",
    ),
    NO_CLUSTER,
)
"""What only `run` has a use for; `up` takes it, so that the arguments of a manifest work there as well."""


class GoCommand(TyperCommand):
    """A command whose arguments are translated before they are parsed."""

    without_effect: ClassVar[dict[str, str]] = WITHOUT_EFFECT
    switches_without_effect: ClassVar[dict[str, str]] = SWITCHES_WITHOUT_EFFECT

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._translated(args))

    def _translated(self, args: list[str]) -> list[str]:
        switches = {
            option: (parameter.opts, parameter.secondary_opts)
            for parameter in self.params
            if getattr(parameter, "is_flag", False)
            for option in parameter.opts
        }
        found: list[str] = []
        rest = iter(args)
        for word in rest:
            name, equals, value = word.partition("=")
            plain = name.removeprefix("--") if name.startswith("--") else ""
            if match := VERBOSITY.fullmatch(word):
                found += ["--v", match[1]]
            elif (switch := plain.removeprefix("no-")) in self.switches_without_effect:
                _tell(name, self.switches_without_effect[switch])
            elif plain in self.without_effect or plain in REFUSED:
                given = value if equals else next(rest, "")
                if plain in self.without_effect:
                    _tell(name, self.without_effect[plain])
                elif given not in ("", "0"):
                    fail(f"{name}: {REFUSED[plain]}", 2)
            elif equals and name in switches and value in TRUE | FALSE:
                on, off = switches[name]
                found += on[:1] if value in TRUE else off[:1]
            else:
                found.append(word)
        return found


class FolderCommand(GoCommand):
    """The same without a cluster."""

    without_effect: ClassVar[dict[str, str]] = {**WITHOUT_EFFECT, **OF_A_CLUSTER}
    switches_without_effect: ClassVar[dict[str, str]] = {**SWITCHES_WITHOUT_EFFECT, **SWITCHES_OF_A_CLUSTER}


def _tell(flag: str, reason: str) -> None:
    err.print(f"note: {flag} has no effect: {reason}", markup=False, soft_wrap=True)
