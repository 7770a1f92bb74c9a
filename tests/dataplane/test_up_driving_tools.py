"""Tools that drive ingress controllers, on a folder: what each creates, in its order, is served as it expects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import yaml
from dataplane import Reply, Request, Server, echo
from dnsserver import Dns
from toolsequences import SEQUENCES
from up import Manifest, Up


class Folder:
    """Each object is a file of its own."""

    in_cluster = False

    def __init__(self, up: Up, stack: ExitStack) -> None:
        self.up, self._stack = up, stack

    def put(self, *manifests: Manifest) -> None:
        for one in manifests:
            self.up.write(_file(one), one)

    def remove(self, *manifests: Manifest) -> None:
        for one in manifests:
            (self.up.folder / f"{_file(one)}.yaml").unlink()

    def read(self, manifest: Manifest) -> Manifest:
        return dict(yaml.safe_load((self.up.folder / f"{_file(manifest)}.yaml").read_text()))

    def server(self, name: str, handler: Callable[[Request], Reply | None] = echo) -> Server:
        return self._stack.enter_context(Server(name, handler))


def _file(manifest: Manifest) -> str:
    return f"{manifest['kind'].lower()}-{manifest['metadata']['name']}"


@pytest.fixture(scope="module")
def folder() -> Iterator[Folder]:
    with ExitStack() as stack:
        dns = stack.enter_context(Dns(["127.0.0.1"]))
        up = stack.enter_context(Up("--resolver", f"127.0.0.1:{dns.port}"))
        up.start()
        yield Folder(up, stack)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_what_tools_do_to_a_folder_is_served_as_they_expect(
    folder: Folder, sequence: str, record_property: Callable[[str, object], None]
) -> None:
    for name, seconds in SEQUENCES[sequence](folder).items():
        record_property(name, seconds)
        print(f"{name}: {seconds * 1000:.0f} ms")
