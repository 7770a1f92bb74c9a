"""From the manifests of a case to what is compared: the whole pure pipeline, with nothing but text in between.

A case is a folder. `in.yaml` is what the source says first, `then.yaml` what it says next, `restarted.yaml` what a
new process finds that remembers the accepted revisions. `options.json` holds command line options.
"""

from __future__ import annotations

import base64
import dataclasses
import difflib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made_certificates
import msgspec
from tidegate.findings import Finding, ObjectKey
from tidegate.model import Globals, Policy, Stream, Upstream
from tidegate.render.configuration import Configuration
from tidegate.render.runtime import Capacity, NginxFeatures, Runtime
from tidegate.render.streams import opened_listeners
from tidegate.render.template import render
from tidegate.resources.changes import Change
from tidegate.resources.model import Ingress, Resource, Secret
from tidegate.sources.entries import read_text
from tidegate.sources.folder import Folder
from tidegate.store import Store
from tidegate.translate.engine import Translator
from tidegate.translate.options import Options

CONFIGMAP = ObjectKey("ConfigMap", "tidegate", "config")
CREATED = 1_700_000_000

RUNTIME = Runtime(
    run_dir="/run/tidegate",
    lua_dir="/usr/share/tidegate/lua",
    features=NginxFeatures((1, 26, 3), ("/modules/ndk.so", "/modules/lua.so"), headers_more=True),
    http_addresses=("0.0.0.0:80", "[::]:80"),
    https_addresses=("0.0.0.0:443", "[::]:443"),
    workers=2,
    user="www-data",
    open_files=65536,
)


class Pipeline:
    """One process: a folder, a store and a translator."""

    def __init__(self, options: Options, accepted: dict[ObjectKey, Ingress] | None = None) -> None:
        self.folder = Folder(ingress_class=options.ingress_class, controller_class=options.controller_class)
        self.store = Store()
        self.translator = Translator(options, accepted)
        self.source_findings: tuple[Finding, ...] = ()
        self.accepted = dict(accepted or {})

    def load(self, text: str) -> None:
        """The folder holds one file, and this is what it says now."""
        self.folder.put("in.yaml", read_text(text, "in.yaml"), CREATED)
        update = self.folder.settle()
        if update is None:
            return
        self.source_findings = update.findings
        delta = self.translator.update(
            self.store, self.store.apply(Change(c.key, with_keys(c.resource)) for c in update.changes)
        )
        for key, ingress in delta.accepted.items():
            if ingress is None:
                self.accepted.pop(key, None)
            else:
                self.accepted[key] = ingress

    def policy_names(self) -> dict[str, str]:
        """Short names of the policies by digest, in the order in which routes name them."""
        hosts = self.translator.hosts
        digests = [route.policy for name in sorted(hosts) for route in hosts[name].routes if route.policy]
        return {digest: f"{number:02}" for number, digest in enumerate(dict.fromkeys(digests), 1)}

    def nginx_conf(self) -> str:
        """With those names, so that a new field of policies does not change every file."""
        policies, users = self.translator.policies()
        names = self.policy_names()
        named = {names[digest]: policy for digest, policy in policies.items()}
        used = {names[digest]: count for digest, count in users.items()}
        servers = {
            digest: msgspec.structs.replace(server, policies=tuple(names[one] for one in server.policies))
            for digest, server in self.translator.servers().items()
        }
        opened = opened_listeners(self.translator.streams)
        runtime = dataclasses.replace(RUNTIME, ssl_passthrough=self.translator.options.ssl_passthrough)
        return render(Configuration(1, self.translator.globals, named, runtime, Capacity(), used, servers, opened))


def with_keys(resource: Resource | None) -> Resource | None:
    """A Secret in which `certificate for a, b` and `key for a, b` have become PEM texts."""
    if not isinstance(resource, Secret):
        return resource
    return msgspec.structs.replace(
        resource, data={name: made_certificates.expand(value) for name, value in resource.data.items()}
    )


def run(case: Path) -> Pipeline:
    pipeline = Pipeline(options_of(case))
    pipeline.load((case / "in.yaml").read_text())
    if (case / "then.yaml").exists():
        pipeline.load((case / "then.yaml").read_text())
    if (case / "restarted.yaml").exists():
        pipeline = Pipeline(options_of(case), pipeline.accepted)
        pipeline.load((case / "restarted.yaml").read_text())
    return pipeline


def options_of(case: Path) -> Options:
    file = case / "options.json"
    given: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    kinds = {
        "default_backend": "Service",
        "default_certificate": "Secret",
        "tcp_services": "ConfigMap",
        "udp_services": "ConfigMap",
    }
    for name, kind in kinds.items():
        if name in given:
            namespace, _, object_name = given[name].partition("/")
            given[name] = ObjectKey(kind, namespace, object_name)
    return Options(configmap=CONFIGMAP, **given)


def outputs(case: Path) -> dict[str, str]:
    """What the golden files hold, by name."""
    pipeline = run(case)
    found = {
        "model.json": _json(_model(pipeline)),
        "findings.json": _json([_finding(f) for f in (*pipeline.source_findings, *pipeline.translator.findings())]),
    }
    difference = conf_difference(empty_conf(), pipeline.nginx_conf())
    if difference:
        found["nginx.diff"] = difference
    return found


def empty_conf() -> str:
    return Pipeline(Options(configmap=CONFIGMAP)).nginx_conf()


def _model(pipeline: Pipeline) -> dict[str, Any]:
    translator, names = pipeline.translator, pipeline.policy_names()
    policies, users = translator.policies()
    assert names.keys() == policies.keys()
    default = translator.globals.default_policy
    hosts = {name: _plain(host) for name, host in sorted(translator.hosts.items())}
    for host in hosts.values():
        host.pop("name")
        for route in host.get("routes", ()):
            if "policy" in route:
                route["policy"] = names[route["policy"]]
    model: dict[str, Any] = {"hosts": hosts}
    model["backends"] = {name: _plain(backend) for name, backend in sorted(translator.backends.items())}
    for backend in model["backends"].values():
        backend.pop("id")
        backend["endpoints"] = [f"{e['address']}:{e['port']}" for e in backend.get("endpoints", ())]
    model["streams"] = {name: _stream(stream) for name, stream in translator.streams.items()}
    model["passthrough"] = {
        host: {"service": one.service, "endpoints": [f"{e.address}:{e.port}" for e in one.endpoints]}
        for host, one in sorted(translator.passthrough.items())
    }
    infos = dict(translator.certificate_infos)
    model["certificates"] = {
        name: made_certificates.describe(certificate.pairs)
        for name, certificate in sorted(translator.certificates.items())
    }
    model["certificates shown"] = {
        name: {"secret": i.secret, "names": list(i.names)} for name, i in sorted(infos.items())
    }
    model["policies"] = {
        names[digest]: {"routes": users[digest], **_difference(policies[digest], default)}
        for digest in sorted(policies, key=lambda digest: names[digest])
    }
    model["users"] = {
        item.digest: [line.partition(":")[0] for line in item.text.decode().splitlines()]
        for item in sorted(translator.users(), key=lambda item: item.digest)
    }
    model["files"] = {
        item.digest: made_certificates.describe_file(item.text)
        for item in sorted(translator.files(), key=lambda item: item.digest)
    }
    model["globals"] = _difference(translator.globals, Translator(Options()).globals)
    default_route = translator.default_route()
    model["default backend"] = default_route.default_backend
    model["accepted"] = sorted(f"{key.namespace}/{key.name}" for key in pipeline.accepted)
    return {name: value for name, value in model.items() if value}


def _plain(value: msgspec.Struct) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def _stream(stream: Stream) -> dict[str, Any]:
    row: dict[str, Any] = {"service": stream.service, "by_address": stream.by_address}
    row |= {"read_proxy": stream.listener.read_proxy, "send_proxy": stream.listener.send_proxy}
    row["endpoints"] = [f"{e.address}:{e.port}" for e in stream.endpoints]
    return {name: value for name, value in row.items() if value}


def _difference(value: Policy | Globals | Upstream, default: Policy | Globals | Upstream) -> dict[str, Any]:
    """The fields in which a struct differs from the default one."""
    found = {}
    for field in value.__struct_fields__:
        mine, other = getattr(value, field), getattr(default, field)
        if mine == other:
            continue
        found[field] = _difference(mine, other) if isinstance(mine, Policy | Upstream) else msgspec.to_builtins(mine)
    return found


def _finding(finding: Finding) -> dict[str, str]:
    row = {
        "object": str(finding.object),
        "field": finding.field,
        "severity": str(finding.severity),
        "reason": finding.reason,
        "message": finding.message,
        "place": finding.place,
    }
    return {name: value for name, value in row.items() if value}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _places(text: str) -> Iterator[tuple[str, str]]:
    """Each line of a configuration with the blocks that it is in."""
    blocks: list[str] = []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith(("#", "init_by_lua_block")):
            continue
        if line == "}":
            blocks.pop()
            continue
        yield " > ".join(blocks), line
        if line.endswith("{"):
            blocks.append(line.removesuffix("{").strip())


def conf_difference(before: str, after: str) -> str:
    """The lines that come and go between two configurations, under the blocks that they are in."""
    old, new = list(_places(before)), list(_places(after))
    rows: list[str] = []
    where = None
    for tag, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        for sign, lines in (("-", old[a:b]), ("+", new[c:d])):
            for block, line in lines:
                if block != where:
                    where = block
                    rows.append(f"@@ {block}")
                rows.append(f"{sign} {line}")
    return "".join(f"{row}\n" for row in rows)


def contains_a_key(text: str) -> bool:
    """Whether text shows a private key, or any of those made for the tests."""
    bodies = [line for key in made_certificates.private_keys() for line in key.splitlines()[1:-1]]
    encoded = [base64.b64encode(key.encode()).decode() for key in made_certificates.private_keys()]
    return "PRIVATE KEY" in text or any(part in text for part in bodies + encoded)
