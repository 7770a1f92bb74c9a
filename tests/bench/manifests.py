"""Manifests of many small applications: a Service, its EndpointSlice and an Ingress each, one file per application.

Application `number` has the host `h<number>.bench.test`, three paths, and an endpoint of its own address; several
applications share a backend process, so that any number of them needs only a few.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

PATHS = (("/", "Prefix"), ("/api/", "Prefix"), ("/login", "Exact"))
REQUESTS = ("/", "/api/v1/items", "/login")  # one that each path takes
PREFIX = "nginx.ingress.kubernetes.io/"
CONFIGMAP = "bench/settings"
PATTERNS_PER_HOST = 5


@dataclass(frozen=True)
class App:
    """One application; `endpoints` are ports on 127.0.0.1, `settings` annotations without their prefix."""

    number: int
    endpoints: tuple[int, ...]
    paths: tuple[tuple[str, str], ...] = PATHS
    settings: dict[str, str] = field(default_factory=dict)
    requests: tuple[str, ...] = REQUESTS

    @property
    def name(self) -> str:
        return f"app{self.number:05}"

    @property
    def takes_calls(self) -> bool:
        return self.settings.get("backend-protocol") == "GRPC"

    @property
    def host(self) -> str:
        return f"h{self.number:05}.bench.test"


def service(app: App) -> str:
    return f"""\
apiVersion: v1
kind: Service
metadata: {{name: {app.name}, namespace: bench}}
spec:
  ports: [{{name: http, port: 80, targetPort: http}}]
"""


def slices(app: App) -> str:
    """A slice has one set of ports, so there is one for each port."""
    parts = []
    for port in app.endpoints:
        parts.append(f"""\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {app.name}-{port}
  namespace: bench
  labels: {{kubernetes.io/service-name: {app.name}}}
addressType: IPv4
ports: [{{name: http, port: {port}, protocol: TCP}}]
endpoints:
  - addresses: [127.0.0.1]
    conditions: {{ready: true}}
""")
    return "---\n".join(parts)


def ingress(app: App) -> str:
    lines = [
        "apiVersion: networking.k8s.io/v1",
        "kind: Ingress",
        "metadata:",
        f"  name: {app.name}",
        "  namespace: bench",
    ]
    if app.settings:
        lines.append("  annotations:")
        lines += [f'    {PREFIX}{name}: "{value}"' for name, value in app.settings.items()]
    lines += [
        "spec:",
        "  ingressClassName: nginx",
        "  rules:",
        f"    - host: {app.host}",
        "      http:",
        "        paths:",
    ]
    for path, kind in app.paths:
        lines.append(
            f"          - {{path: '{path}', pathType: {kind},"
            f" backend: {{service: {{name: {app.name}, port: {{name: http}}}}}}}}"
        )
    return "\n".join(lines) + "\n"


def document(app: App) -> str:
    return "---\n".join((service(app), slices(app), ingress(app)))


def put(folder: Path, name: str, text: str) -> None:
    """Write one file as a whole: readers see the former text or this one."""
    temporary = folder / f".{name}.new"
    temporary.write_text(text)
    temporary.rename(folder / name)


def write(folder: Path, apps: Iterable[App], settings: dict[str, str]) -> None:
    """The folder of these applications and the ConfigMap with these settings."""
    folder.mkdir(parents=True, exist_ok=True)
    for app in apps:
        (folder / f"{app.name}.yaml").write_text(document(app))
    put(folder, "configmap.yaml", configmap(settings))


def configmap(settings: dict[str, str]) -> str:
    namespace, _, name = CONFIGMAP.partition("/")
    lines = ["apiVersion: v1", "kind: ConfigMap", f"metadata: {{name: {name}, namespace: {namespace}}}", "data:"]
    lines += [f'  {key}: "{value}"' for key, value in settings.items()]
    return "\n".join(lines if settings else [*lines[:-1], "data: {}"]) + "\n"


def apps(count: int, ports: tuple[int, ...], **more: object) -> list[App]:
    """Applications 1 to `count`, spread over the backends' ports."""
    return [App(number, (ports[number % len(ports)],), **more) for number in range(1, count + 1)]  # type: ignore[arg-type]


def pattern_apps(count: int, ports: tuple[int, ...], word: str = "item") -> list[App]:
    """Applications whose paths are regular expressions, all of them different."""
    found = []
    for number in range(1, count + 1):
        rows = [(f"/{part}/[a-z0-9]+/{word}-{number}-{part}(/|$)(.*)", "ImplementationSpecific") for part in _parts()]
        requests = tuple(f"/{part}/abc42/{word}-{number}-{part}/x.html" for part in _parts())
        found.append(App(number, (ports[number % len(ports)],), tuple(rows), {"use-regex": "true"}, requests))
    return found


def _parts() -> list[str]:
    return [f"svc{number}" for number in range(PATTERNS_PER_HOST)]
