"""Options that `up` and `run` have alike: each is declared here once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidegate.logs import LogFormat

WatchNamespace = Annotated[str, typer.Option("--watch-namespace", help="Serve this namespace only.")]
NamespaceSelector = Annotated[
    str, typer.Option("--watch-namespace-selector", help="Serve namespaces with these labels only.")
]
ClassByName = Annotated[bool, typer.Option("--ingress-class-by-name", help="Also serve the class of that name.")]
Validation = Annotated[
    bool,
    typer.Option(
        "--enable-annotation-validation/--no-enable-annotation-validation", help="Refuse annotations of odd characters."
    ),
]
DeepInspect = Annotated[bool, typer.Option("--deep-inspect/--no-deep-inspect", help="Refuse dangerous texts anywhere.")]
NoCatchAll = Annotated[bool, typer.Option("--disable-catch-all", help="Refuse default backends.")]
NoExternalName = Annotated[
    bool, typer.Option("--disable-svc-external-name", help="Services of type ExternalName have no endpoints.")
]
ChainCompletion = Annotated[
    bool, typer.Option("--enable-ssl-chain-completion", help="Fetch issuers that chains of certificates lack.")
]
HostOwnership = Annotated[
    str, typer.Option("--host-ownership", metavar="merge|namespace", help="Who may add to a host.")
]
DefaultBackendService = Annotated[
    str, typer.Option("--default-backend-service", metavar="NS/NAME", help="Answers what nobody declares.")
]
DefaultCertificate = Annotated[
    str, typer.Option("--default-ssl-certificate", metavar="NS/NAME", help="A TLS Secret for all other names.")
]
PublishService = Annotated[
    str, typer.Option("--publish-service", metavar="NS/NAME", help="The Service whose addresses are ours.")
]
HTTPPort = Annotated[int, typer.Option("--http-port", min=1, max=65535, help="Where plain HTTP is served.")]
HTTPSPort = Annotated[int, typer.Option("--https-port", min=1, max=65535, help="Where HTTPS is served.")]
HealthPort = Annotated[int, typer.Option("--healthz-port", min=1, max=65535, help="The admin port.")]
HealthPath = Annotated[str, typer.Option("--health-check-path", help="The path of health.")]
MaxSeries = Annotated[int, typer.Option("--metrics-max-series", min=0, help="Label sets; 0: no bound.")]
TimeBuckets = Annotated[str, typer.Option("--time-buckets", metavar="S,S", help="Bounds of histograms of seconds.")]
LengthBuckets = Annotated[
    str, typer.Option("--length-buckets", metavar="N,N", help="Bounds of histograms of lengths of messages.")
]
SizeBuckets = Annotated[str, typer.Option("--size-buckets", metavar="N,N", help="Bounds of histograms of bytes sent.")]
PerHost = Annotated[bool, typer.Option("--metrics-per-host/--no-metrics-per-host", help="Count by host.")]
PerUndefinedHost = Annotated[bool, typer.Option("--metrics-per-undefined-host", help="Count unknown hosts too.")]
Webhook = Annotated[
    str, typer.Option("--validating-webhook", metavar="[HOST]:PORT", help="Where the webhook listens; else none.")
]
WebhookCertificate = Annotated[str, typer.Option("--validating-webhook-certificate", help="Its certificate, a file.")]
WebhookKey = Annotated[str, typer.Option("--validating-webhook-key", help="The key, a file.")]
ShutdownGrace = Annotated[
    int, typer.Option("--shutdown-grace-period", min=0, help="Seconds after SIGTERM in which NGINX still serves.")
]
PostShutdownGrace = Annotated[
    int, typer.Option("--post-shutdown-grace-period", min=0, help="Seconds to wait after NGINX has ended.")
]
NginxBinary = Annotated[str, typer.Option("--nginx-binary", help="The NGINX to run.")]
Resolvers = Annotated[
    list[str] | None, typer.Option("--resolver", metavar="ADDRESS[:PORT]", help="DNS servers to ask.")
]
RunDir = Annotated[Path | None, typer.Option("--run-dir", help="Where everything of this run lives.")]
Workers = Annotated[
    int, typer.Option("--workers", min=0, max=1024, help="NGINX workers; 0: as the ConfigMap says, else one per core.")
]
Format = Annotated[LogFormat, typer.Option("--log-format", help="How messages are written.")]
Verbosity = Annotated[int, typer.Option("--v", "-v", help="0: what matters, 2: everything.")]
