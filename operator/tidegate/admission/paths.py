"""Who has which path of a host, as the webhook sees it (reference: behaviour 13, step 10). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tidegate.findings import ObjectKey
from tidegate.resources.model import Ingress, IngressPath
from tidegate.translate.hosts import server_name


class Owner(NamedTuple):
    """The Ingress that a host and path belong to already."""

    host: str
    path: str
    ingress: ObjectKey


def paths_of(ingress: Ingress, host: str) -> Iterator[IngressPath]:
    """The paths that an Ingress declares for one host."""
    for rule in ingress.rules:
        if server_name(rule.host) == host:
            yield from rule.paths or ()


def _takes(declared: IngressPath, wanted: IngressPath) -> bool:
    """Whether a path that is there leaves no room for one that comes.

    A Prefix path `/p` stands for `/p` and `/p/`; of these an Exact path that comes may still have the first.
    """
    path = wanted.path or "/"
    mine = declared.path or "/"
    if declared.path_type == "Exact":
        return path == mine
    if mine.endswith("/"):
        return path == mine
    return path == mine + "/" or (path == mine and wanted.path_type != "Exact")


def find_owner(ingress: Ingress, others: Iterable[Ingress], host: str) -> Owner | None:
    """The first of the others that has a path which this Ingress wants on a host."""
    wanted = list(paths_of(ingress, host))
    for other in others:
        for declared in paths_of(other, host):
            for path in wanted:
                if _takes(declared, path):
                    return Owner(host, path.path or "/", other.key)
    return None
