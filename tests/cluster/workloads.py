"""What a cluster without nodes lacks: somebody who runs pods and says so.

Each version of an application is one server of the test. Whoever asks for replicas (a ReplicaSet or a Deployment) is
told that they are there, and a Service that selects them gets an EndpointSlice with the server of their version.
"""

from __future__ import annotations

import json
import threading
from types import TracebackType

import driven
from apiserver import ApiServer, Manifest
from dataplane import Server

VERSION = "version"  # the label of a pod template that says which server its pods are


class Workloads:
    """Goes round until it is left; what went wrong is raised then."""

    def __init__(self, api: ApiServer, *servers: Server) -> None:
        self._api = api
        self._servers = {server.name: server for server in servers}
        self._slices: dict[str, Manifest] = {}
        self._end = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Workloads:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._end.set()
        self._thread.join(60)
        if error is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._end.wait(0.3):
                self._round()
        except BaseException as error:
            self._error = error

    def _round(self) -> None:
        kinds = "replicasets.apps,deployments.apps,services"
        found = json.loads(self._api.kubectl("-n", driven.NAMESPACE, "get", kinds, "-o", "json"))["items"]
        workloads = [one for one in found if one["kind"] != "Service"]
        for one in workloads:
            self._report(one)
        for one in found:
            if one["kind"] == "Service" and one["spec"].get("selector"):
                self._publish(one, workloads)

    def _report(self, workload: Manifest) -> None:
        """As its controller would, once all of its pods are ready."""
        meta, count = workload["metadata"], workload["spec"].get("replicas", 1)
        status: Manifest = {"observedGeneration": meta["generation"], "replicas": count}
        if count:
            status |= {"readyReplicas": count, "availableReplicas": count}
        if count and workload["kind"] == "Deployment":
            status["updatedReplicas"] = count
        now = workload.get("status", {})
        if any(now.get(key) != value for key, value in status.items()) or (not count and now.get("readyReplicas")):
            patch = {"status": {"readyReplicas": None, "availableReplicas": None, "updatedReplicas": None} | status}
            words = ["-n", driven.NAMESPACE, "patch", workload["kind"].lower(), meta["name"], "--subresource=status"]
            # it may be gone by now
            self._api.kubectl(*words, "--type=merge", "-p", json.dumps(patch), check=False)

    def _publish(self, service: Manifest, workloads: list[Manifest]) -> None:
        wanted = service["spec"]["selector"].items()
        versions = {
            template["labels"][VERSION]
            for one in workloads
            if one["spec"].get("replicas", 1)
            and one.get("status", {}).get("readyReplicas")
            and wanted <= (template := one["spec"]["template"]["metadata"])["labels"].items()
            and VERSION in template["labels"]
        }
        name = service["metadata"]["name"]
        found = driven.endpoints(name, *(self._servers[version] for version in sorted(versions)))
        if self._slices.get(name) != found:
            self._api.kubectl("apply", "-f", "-", stdin=driven.as_json(found))
            self._slices[name] = found


def template(app: str, version: str) -> Manifest:
    """The pod template of a version."""
    labels = {"app": app, VERSION: version}
    return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": f"{app}:{version}"}]}}
