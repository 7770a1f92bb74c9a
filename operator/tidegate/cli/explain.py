"""`tidegate explain URL`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import aiohttp
import msgspec
import typer

from tidegate.cli.common import (
    AllowedNetworks,
    ConfigMapName,
    ControllerClass,
    IngressClass,
    Output,
    OutputOption,
    Prefix,
    WithoutClass,
    err,
    fail,
    load,
    networks,
    options_from,
    out,
    print_data,
    print_findings,
)
from tidegate.findings import Severity
from tidegate.report.explain import Explanation, explain
from tidegate.translate.options import DEFAULT_PREFIX


class _Refusal(msgspec.Struct):
    error: str


class _OtherServerError(Exception):
    """What answers is no Tidegate."""


async def _ask(admin: str, url: str) -> Explanation:
    """Raises ValueError for what is no URL, ClientError, TimeoutError, _OtherServerError."""
    timeout = aiohttp.ClientTimeout(total=30)
    base = admin.rstrip("/") if "://" in admin else f"http://{admin.rstrip('/')}"
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"{base}/api/v1/explain", params={"url": url}) as answer,
    ):
        body = await answer.read()
        try:
            if answer.status == 400:
                raise ValueError(msgspec.json.decode(body, type=_Refusal).error)
            if answer.status == 200:
                return msgspec.json.decode(body, type=Explanation)
        except msgspec.DecodeError:
            pass
        raise _OtherServerError(f"what answers there is another server (status {answer.status})")


def _print(found: Explanation) -> None:
    out.print(f"{found.url}: {found.answer}", style="bold", markup=False)
    rows = (
        ("host", found.host),
        ("path", f"{found.path} ({found.match})" if found.path else ""),
        ("Ingress", found.ingress),
        ("backend", f"{found.backend} ({found.algorithm})" if found.backend else ""),
        ("endpoints", ", ".join(found.endpoints)),
        ("canaries", ", ".join(found.canaries)),
        ("policy", found.policy),
    )
    for name, value in rows:
        if value:
            out.print(f"  {name:10} {value}", markup=False)
    for item in found.settings:
        out.print(f"  {item.name} = {item.value}  [{item.origin}]", style="dim", markup=False)
    for text in found.findings:
        out.print(f"  {text}", style="yellow", markup=False)


def explain_command(
    url: Annotated[str, typer.Argument(metavar="URL", help="What a client would ask for.")],
    directory: Annotated[str, typer.Option("--dir", metavar="DIR", help="Explain a folder of manifests.")] = "",
    admin: Annotated[str, typer.Option("--admin", help="Ask a running Tidegate.")] = "http://127.0.0.1:10254",
    output: OutputOption = Output.TABLE,
    ingress_class: IngressClass = "nginx",
    controller_class: ControllerClass = "k8s.io/ingress-nginx",
    watch_ingress_without_class: WithoutClass = False,
    configmap: ConfigMapName = "",
    annotations_prefix: Prefix = DEFAULT_PREFIX,
    endpoint_pool_allowed_cidrs: AllowedNetworks = "",
) -> None:
    """Show which host, path, Ingress, policy and endpoints answer a URL, and where each setting comes from."""
    try:
        if directory:
            options = options_from(
                ingress_class, controller_class, watch_ingress_without_class, configmap, annotations_prefix
            )
            translator, findings = load(directory, options, networks(endpoint_pool_allowed_cidrs))
            found = explain(translator, url)
            errors = tuple(item for item in findings if item.severity is Severity.ERROR)
            print_findings(errors, Output.TABLE, err)
        else:
            found = asyncio.run(_ask(admin, url))
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        fail(f"--admin: found {admin!r}, allowed: HOST:PORT, or http(s)://HOST:PORT", 2)
    except ValueError as error:
        fail(str(error), 2)
    except (aiohttp.ClientError, TimeoutError, _OtherServerError) as error:
        fail(f"no Tidegate answers at {admin}: {error} (--admin names another, --dir a folder to explain)")
    if output is Output.TABLE:
        _print(found)
    else:
        print_data(found, output)
