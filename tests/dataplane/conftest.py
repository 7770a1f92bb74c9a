"""Fixtures of the data plane's tests: each runs with this machine's NGINX and with the one of the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from dataplane import Nginx, NoTrixieError, Plane, Server, backend, running, system_nginx, trixie_nginx


@pytest.fixture(scope="session", params=["machine", "trixie"])
def nginx(request: pytest.FixtureRequest) -> Nginx:
    """The NGINX program."""
    if request.param == "machine":
        return system_nginx()
    try:
        return trixie_nginx()
    except NoTrixieError as error:
        pytest.skip(f"the root file system of Debian 13 could not be made: {error}")


@pytest.fixture(scope="module")
def plane(nginx: Nginx) -> Iterator[Plane]:
    """One plane for all tests of a module; each test uses host names of its own."""
    with running(nginx) as one:
        yield one


@pytest.fixture
def new_plane(nginx: Nginx) -> Iterator[Callable[..., Plane]]:
    """Starts planes with a set-up of their own."""
    with ExitStack() as stack:
        yield lambda **setup: stack.enter_context(running(nginx, **setup))


@pytest.fixture(scope="module")
def server(plane: Plane) -> Iterator[Server]:
    """An echo backend, known to the plane as `ns/echo:80`."""
    with Server() as one:
        plane.put(backend("ns/echo:80", one))
        yield one


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """A host name that no other test uses."""
    test: Any = request.node
    base = "".join(letter if letter.isalnum() else "-" for letter in test.originalname)
    return lambda label="a": f"{label}.{base.lower().replace('_', '-')[-50:].strip('-')}.test"
