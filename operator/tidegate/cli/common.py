"""What several commands share: output formats, option types, and loading a folder without a data plane."""

from __future__ import annotations

import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import typer
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegate.endpointpools.guard import IPNetwork, parse_networks
from tidegate.endpointpools.static import with_pools
from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.report.metrics import NAMES, PREFIX
from tidegate.resources.changes import SourceUpdate
from tidegate.resources.labels import Selector, parse_selector
from tidegate.sources.directory import MissingFolderError, load_once, load_text
from tidegate.store import Store
from tidegate.translate.engine import Translator
from tidegate.translate.options import DEFAULT_PREFIX, Options


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class AgentKind(StrEnum):
    OWN = "own"
    EXTERNAL = "external"


OutputOption = Annotated[Output, typer.Option("--output", help="How data is printed.")]
IngressClass = Annotated[str, typer.Option("--ingress-class", help="The class annotation's value that is ours.")]
ControllerClass = Annotated[str, typer.Option("--controller-class", help="The spec.controller that is ours.")]
WithoutClass = Annotated[
    bool, typer.Option("--watch-ingress-without-class", help="Serve Ingresses that name no class.")
]
ConfigMapName = Annotated[str, typer.Option("--configmap", metavar="NS/NAME", help="The global settings.")]
AgentOption = Annotated[
    AgentKind,
    typer.Option(
        "--agent", help="Who starts NGINX's agent: this command, or somebody else (`tidegate agent --shared`)."
    ),
]
TCPServices = Annotated[
    str, typer.Option("--tcp-services-configmap", metavar="NS/NAME", help="TCP ports and their Services.")
]
UDPServices = Annotated[
    str, typer.Option("--udp-services-configmap", metavar="NS/NAME", help="UDP ports and their Services.")
]
StreamPort = Annotated[
    int,
    typer.Option(
        "--stream-port",
        min=1,
        max=65535,
        help="Where NGINX asks itself for the endpoints of TCP services (loopback, UDP).",
    ),
]
AllowedNetworks = Annotated[
    str,
    typer.Option("--endpoint-pool-allowed-cidrs", metavar="CIDR,CIDR", help="Where pools may lead; empty: all."),
]
Passthrough = Annotated[
    bool, typer.Option("--enable-ssl-passthrough", help="Let Ingresses have TLS go to their backends undecrypted.")
]
ExcludedMetrics = Annotated[
    str, typer.Option("--exclude-socket-metrics", metavar="NAME,NAME", help="Metrics of requests to leave out.")
]
GeoFolder = Annotated[str, typer.Option("--geoip-dir", help="Where GeoIP2 databases (*.mmdb) are mounted.")]
HTTP3 = Annotated[
    bool, typer.Option("--enable-http3", help="Serve HTTP/3, too, on the UDP port of the number of the HTTPS port.")
]
HTTP3Port = Annotated[
    int,
    typer.Option(
        "--http3-advertised-port", min=0, max=65535, help="The UDP port that clients are told; 0: as HTTPS is reached."
    ),
]
Prefix = Annotated[str, typer.Option("--annotations-prefix", help="The prefix of annotations.")]
StatusClasses = Annotated[
    bool, typer.Option("--report-status-classes", help="Count requests by 2xx, 3xx, ... instead of by status.")
]

HEALTH_PATH = re.compile(r"/[A-Za-z0-9._~/-]*")
STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "dim"}

err = Console(stderr=True, highlight=False)
out = Console(highlight=False)


def fail(message: str, status: int = 1) -> NoReturn:
    """End with a message on stderr: 1 for what went wrong, 2 for wrong usage."""
    err.print(f"error: {message}", style="bold red", markup=False, soft_wrap=True)
    raise typer.Exit(status)


def reference(kind: str, text: str, flag: str) -> ObjectKey | None:
    """`NS/NAME`, or None for an empty text; ends with a usage error for anything else."""
    if not text:
        return None
    namespace, slash, name = text.partition("/")
    if not slash or not namespace or not name or "/" in name:
        fail(f"{flag}: found {text!r}, allowed: NAMESPACE/NAME", 2)
    return ObjectKey(kind, namespace, name)


def networks(text: str) -> tuple[IPNetwork, ...]:
    """The value of `--endpoint-pool-allowed-cidrs`; ends with a usage error for what is none."""
    try:
        return parse_networks(part for part in text.split(",") if part.strip())
    except ValueError as error:
        fail(f"--endpoint-pool-allowed-cidrs: {error}", 2)


def health_path(text: str) -> str:
    """The value of `--health-check-path`; ends with a usage error for what is no path of its own."""
    if not HEALTH_PATH.fullmatch(text):
        fail(f"--health-check-path: found {text!r}, allowed: a path of letters, digits and . _ ~ / -", 2)
    return text


def selector(text: str) -> Selector | None:
    """The value of `--watch-namespace-selector`; ends with a usage error for what is none."""
    try:
        return parse_selector(text) if text else None
    except ValueError as error:
        fail(f"--watch-namespace-selector: {error}", 2)


def buckets(text: str, flag: str, default: tuple[float, ...]) -> tuple[float, ...]:
    """The bounds of a histogram; ends with a usage error for what are none."""
    if not text:
        return default
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or list(found) != sorted(set(found)):
        fail(f"{flag}: found {text!r}, allowed: growing numbers, separated by commas", 2)
    return found


def print_data(value: Any, output: Output) -> None:
    """JSON or YAML on stdout."""
    if output is Output.JSON:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
    else:
        yaml.safe_dump(msgspec.to_builtins(value), sys.stdout, sort_keys=False)


def print_findings(findings: tuple[Finding, ...], output: Output, console: Console = out) -> None:
    """A table on a terminal, else a line for each."""
    if output is not Output.TABLE:
        print_data(findings, output)
        return
    if not findings:
        return
    if not console.is_terminal:
        for item in findings:
            place = f" ({item.place})" if item.place else ""
            field = f"{item.field}: " if item.field else ""
            line = f"{item.severity} {item.reason} {item.object}: {field}{item.message}{place}"
            console.print(line, markup=False, soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("severity", "reason", "object", "field", "message", "place"):
        table.add_column(column, overflow="fold")
    for item in findings:
        table.add_row(
            *map(Text, (item.severity, item.reason, str(item.object), item.field, item.message, item.place)),
            style=STYLES[item.severity],
        )
    console.print(table)


def load(folder: str, options: Options, allowed: tuple[IPNetwork, ...] = ()) -> tuple[Translator, tuple[Finding, ...]]:
    """Translate a folder (or `-`: stdin) once; ends with an error when there is no such folder.

    `allowed` are the networks that endpoint pools may lead to.
    """
    try:
        update: SourceUpdate
        if folder == "-":
            update = load_text(
                sys.stdin.buffer.read(), ingress_class=options.ingress_class, controller_class=options.controller_class
            )
        else:
            update = load_once(
                Path(folder), ingress_class=options.ingress_class, controller_class=options.controller_class
            )
    except MissingFolderError as error:
        fail(str(error), 2)
    store = Store()
    translator = Translator(options)
    changes, about_pools = with_pools(update.changes, allowed)
    translator.update(store, store.apply(changes))
    return translator, tuple(sorted({*update.findings, *about_pools, *translator.findings()}))


def excluded_metrics(text: str) -> tuple[str, ...]:
    """The names in a comma separated list, without their prefix; those that there are not are told."""
    names = tuple(name.strip().removeprefix(PREFIX) for name in text.split(",") if name.strip())
    for name in names:
        if name not in NAMES:
            err.print(
                f"note: --exclude-socket-metrics: there is no metric {name!r}; there are {', '.join(NAMES)}",
                markup=False,
                soft_wrap=True,
            )
    return names


def http3_port(enabled: bool, passthrough: bool, advertised: int, usual: int) -> int:
    """The port that clients are told, 0 for no HTTP/3; ends with a usage error where that cannot be."""
    if not enabled:
        return 0
    if passthrough:
        fail("--enable-http3 and --enable-ssl-passthrough exclude each other: QUIC cannot be passed through by SNI", 2)
    return advertised or usual


def webhook_address(place: str) -> tuple[str, int]:
    """The value of `--validating-webhook`; ends with a usage error for what is none."""
    host, colon, port = place.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        fail(f"--validating-webhook: found {place!r}, allowed: HOST:PORT or :PORT", 2)
    return host.strip("[]"), int(port)


def reserved_ports(http_port: int, https_port: int, healthz_port: int, webhook: str = "") -> dict[int, str]:
    """The ports that no TCP or UDP service can have, and by which flag they are taken; may end with a usage error."""
    if http_port == https_port:
        fail(f"--http-port and --https-port: found {http_port} for both, allowed: two different ones", 2)
    taken = {webhook_address(webhook)[1]: "--validating-webhook"} if webhook else {}
    return {**taken, healthz_port: "--healthz-port", https_port: "--https-port", http_port: "--http-port"}


def options_from(
    ingress_class: str,
    controller_class: str,
    without_class: bool,
    configmap: str,
    prefix: str = DEFAULT_PREFIX,
    *,
    tcp_services: str = "",
    udp_services: str = "",
) -> Options:
    """Options from the texts of flags, objects as `NS/NAME`; ends with a usage error for what is none."""
    return Options(
        ingress_class=ingress_class,
        controller_class=controller_class,
        watch_ingress_without_class=without_class,
        annotations_prefix=prefix,
        configmap=reference("ConfigMap", configmap, "--configmap"),
        tcp_services=reference("ConfigMap", tcp_services, "--tcp-services-configmap"),
        udp_services=reference("ConfigMap", udp_services, "--udp-services-configmap"),
    )
