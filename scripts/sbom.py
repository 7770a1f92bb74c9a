"""Writes what an image consists of, as a CycloneDX document: its Debian packages and its Python packages."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

DEBIAN = "${binary:Package}\t${Version}\t${Architecture}\t${source:Package}\n"
PYTHON = """
import importlib.metadata, json
print(json.dumps([(one.metadata["Name"], one.version) for one in importlib.metadata.distributions()]))
"""


def inside(image: str, *command: str) -> str:
    """What a command says in a container of the image."""
    entry, *arguments = command
    run = ["docker", "run", "--rm", "--network", "none", "--entrypoint", entry, image, *arguments]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout


def debian_packages(image: str) -> Iterator[Component]:
    for line in inside(image, "dpkg-query", "-W", "-f", DEBIAN).splitlines():
        name, version, architecture, source = line.split("\t")
        name = name.partition(":")[0]
        where = PackageURL("deb", "debian", name, version, {"arch": architecture, "distro": "debian-13"})
        origin = [Property(name="debian:source", value=source)]
        yield Component(
            name=name, version=version, type=ComponentType.LIBRARY, purl=where, bom_ref=str(where), properties=origin
        )


def python_packages(image: str) -> Iterator[Component]:
    for name, version in json.loads(inside(image, "/opt/tidegate/bin/python", "-c", PYTHON)):
        where = PackageURL("pypi", None, name.lower().replace("_", "-"), version)
        yield Component(name=name, version=version, type=ComponentType.LIBRARY, purl=where, bom_ref=str(where))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image")
    parser.add_argument("output", type=Path)
    given = parser.parse_args()
    components = {one.bom_ref.value: one for one in (*debian_packages(given.image), *python_packages(given.image))}
    bom = Bom(components=components.values())
    name, _, tag = given.image.rpartition(":")
    whole = Component(name=name, version=tag, type=ComponentType.CONTAINER, bom_ref=given.image)
    bom.metadata.component = whole
    bom.register_dependency(whole, components.values())
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problem is not None:
        raise SystemExit(f"sbom: {problem}")
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(text + "\n")
    print(f"sbom: {len(components)} components in {given.output}")


if __name__ == "__main__":
    main()
