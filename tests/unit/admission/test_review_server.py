"""The webhook's server: what it answers to whom, whatever happens to a review, and the certificate that it shows."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import json
import os
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import time_machine
from aiohttp.test_utils import TestClient, TestServer
from cryptography import x509
from tidegate.admission import server as module
from tidegate.admission.certificate import FileKeeper, Keeper, SecretKeeper, SecretPlan, make_pair
from tidegate.admission.counts import AdmissionCounts
from tidegate.admission.judge import Judge, Verdict
from tidegate.admission.server import LARGEST, SMALL, AdmissionServer
from tidegate.findings import ObjectKey
from tidegate.kubernetes.client import ConflictError, Kubernetes, NotFoundError
from tidegate.kubernetes.kinds import SECRET, VALIDATING_WEBHOOK, Kind

UID = "f0b7a1d0-1111-2222-3333-444444444444"


class Fixed(Judge):
    """Says what it is told to."""

    def __init__(self) -> None:
        self.verdict = Verdict(True)
        self.fault: Exception | None = None
        self.go_on = threading.Event()
        self.go_on.set()

    def judge(self, item: dict[str, Any]) -> Verdict:
        self.go_on.wait(60)
        if self.fault is not None:
            raise self.fault
        return self.verdict


@pytest.fixture
def judge() -> Fixed:
    return Fixed()


@pytest.fixture
async def client(judge: Fixed, tmp_path: Path) -> AsyncIterator[TestClient[Any, Any]]:
    keeper = FileKeeper(tmp_path / "crt", tmp_path / "key")
    async with TestClient(TestServer(AdmissionServer(judge, keeper, "", 0, AdmissionCounts()).app)) as one:
        yield one


def review(size: int = 0, **changes: Any) -> dict[str, Any]:
    kind = {"group": "networking.k8s.io", "version": "v1", "kind": "Ingress"}
    request = {"uid": UID, "kind": kind, "resource": {}, "object": {"metadata": {"name": "x", "note": "n" * size}}}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request | changes}


async def answered(client: TestClient[Any, Any], body: Any, path: str = "/networking/v1/ingresses") -> dict[str, Any]:
    answer = await client.post(path, data=json.dumps(body))
    assert answer.status == 200, await answer.text()
    found = dict(await answer.json())["response"]
    assert found["uid"] == UID
    return dict(found)


@pytest.mark.parametrize("path", ["/", "/networking/v1/ingresses", "/any/other?timeout=10s"])
async def test_any_path_will_do(client: TestClient[Any, Any], path: str) -> None:
    assert (await answered(client, review(), path))["allowed"] is True


async def test_a_refusal_is_a_bad_request_with_its_reason(client: TestClient[Any, Any], judge: Fixed) -> None:
    judge.verdict = Verdict(False, "found 'many'", ("and that",))
    found = await answered(client, review())
    assert found["allowed"] is False
    status = {"status": "Failure", "message": "found 'many'", "reason": "BadRequest", "code": 400}
    assert (found["status"], found["warnings"]) == (status, ["and that"])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"", 400),
        (b"[]", 400),
        (json.dumps(review() | {"apiVersion": "admission.k8s.io/v1beta1"}).encode(), 500),
        (json.dumps(review(kind={"group": "", "version": "v1", "kind": "Pod"})).encode(), 500),
        (b" " * (LARGEST + 1), 413),
    ],
)
async def test_what_is_no_review_of_an_ingress_is_refused(
    client: TestClient[Any, Any], body: bytes, status: int
) -> None:
    assert (await client.post("/", data=body)).status == status


@pytest.mark.parametrize("size", [0, SMALL])
async def test_a_fault_lets_the_object_in_with_a_warning(client: TestClient[Any, Any], judge: Fixed, size: int) -> None:
    judge.fault = RuntimeError("a fault")
    found = await answered(client, review(size))
    assert found["allowed"] is True
    assert "a fault of the webhook" in found["warnings"][0]


async def test_a_review_that_takes_too_long_lets_the_object_in_and_holds_up_nobody(
    client: TestClient[Any, Any], judge: Fixed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUDGET", 0.05)
    judge.go_on.clear()
    try:
        found = await answered(client, review(SMALL))
    finally:
        judge.go_on.set()
    assert found["allowed"] is True
    assert "not checked in time" in found["warnings"][0]


def _write(folder: Path, number: int) -> None:
    """A certificate and its key, as something that renews them writes them."""
    pair = make_pair((f"name{number}.test",))
    for name, text in (("crt", pair["tls.crt"]), ("key", pair["tls.key"])):
        new = folder / f"{name}.new"
        new.write_bytes(text)
        os.utime(new, ns=(number, number))
        new.rename(folder / name)


async def _shown(keeper: Keeper) -> str:
    """The name in the certificate of a new connection."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=await keeper.context())
    async with server:
        port = server.sockets[0].getsockname()[1]
        pem = await asyncio.to_thread(_certificate, port)
    found = x509.load_pem_x509_certificate(pem.encode())
    assert found.not_valid_after_utc > datetime.datetime.now(datetime.UTC)
    return str(found.subject.rfc4514_string()).removeprefix("CN=")


def _certificate(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port))


async def test_files_are_read_again_when_they_change_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    keeper = FileKeeper(tmp_path / "crt", tmp_path / "key")
    assert not keeper._load()
    _write(tmp_path, 1)
    assert await _shown(keeper) == "name1.test"
    _write(tmp_path, 2)
    assert keeper._load()
    assert await _shown(keeper) == "name2.test"
    (tmp_path / "crt").write_text("none")
    assert keeper._load()
    assert await _shown(keeper) == "name2.test"


class Cluster(Kubernetes):
    """A Secret and a webhook's configuration; notes the order in which they are written."""

    def __init__(self) -> None:
        self.objects: dict[Kind, dict[str, Any]] = {VALIDATING_WEBHOOK: {"webhooks": [{"clientConfig": {}}]}}
        self.written: list[str] = []

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        if kind not in self.objects:
            raise NotFoundError(404, "there is none")
        found: dict[str, Any] = json.loads(json.dumps(self.objects[kind]))
        return found

    async def create(self, kind: Kind, namespace: str, body: Any) -> dict[str, Any]:
        if kind in self.objects:
            raise ConflictError(409, "it exists")
        return await self.replace(kind, namespace, "", body)

    async def replace(self, kind: Kind, namespace: str, name: str, body: Any, part: str = "") -> dict[str, Any]:
        self.written.append(kind.name)
        self.objects[kind] = body
        return dict(body)

    def trusted(self) -> list[x509.Certificate]:
        bundle = self.objects[VALIDATING_WEBHOOK]["webhooks"][0]["clientConfig"]["caBundle"]
        return x509.load_pem_x509_certificates(base64.b64decode(bundle))

    def shown(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(base64.b64decode(self.objects[SECRET]["data"]["tls.crt"]))


def _is_trusted(certificate: x509.Certificate, authorities: list[x509.Certificate]) -> bool:
    for authority in authorities:
        with contextlib.suppress(Exception):
            certificate.verify_directly_issued_by(authority)
            return True
    return False


async def test_every_replica_shows_what_the_leader_has_made_and_it_is_trusted_before() -> None:
    cluster = Cluster()
    plan = SecretPlan(ObjectKey("Secret", "tidegate", "hook"), ("hook.tidegate.svc",), "hooks")
    leader, other = SecretKeeper(cluster, plan, lambda: True), SecretKeeper(cluster, plan, lambda: False)
    await other._look()
    assert cluster.written == []
    await leader._look()
    await other._look()
    assert cluster.written == ["ValidatingWebhookConfiguration", "Secret"]
    first = cluster.shown()
    assert await _shown(leader) == await _shown(other) == "hook.tidegate.svc"
    assert _is_trusted(first, cluster.trusted())

    cluster.objects[SECRET]["data"]["tls.crt"] = base64.b64encode(b"none").decode()
    await leader._look()
    assert cluster.written[2:] == ["ValidatingWebhookConfiguration", "Secret"]
    assert cluster.shown() != first
    assert _is_trusted(cluster.shown(), cluster.trusted())
    assert _is_trusted(first, cluster.trusted())  # until each replica shows the new one
    await other._look()
    assert other._used == leader._used


async def test_a_certificate_that_is_well_is_left_alone() -> None:
    cluster = Cluster()
    plan = SecretPlan(ObjectKey("Secret", "tidegate", "hook"), ("hook.tidegate.svc",), "hooks")
    keeper = SecretKeeper(cluster, plan, lambda: True)
    for _ in range(3):
        await keeper._look()
    assert len(cluster.written) == 2


async def test_a_certificate_that_has_not_begun_as_the_clock_was_set_back_is_made_anew() -> None:
    cluster = Cluster()
    plan = SecretPlan(ObjectKey("Secret", "tidegate", "hook"), ("hook.tidegate.svc",), "hooks")
    keeper = SecretKeeper(cluster, plan, lambda: True)
    now = datetime.datetime.now(datetime.UTC)
    with time_machine.travel(now + datetime.timedelta(hours=5)):
        await keeper._look()
    assert cluster.shown().not_valid_before_utc > now
    await keeper._look()
    assert cluster.shown().not_valid_before_utc <= now
    assert await _shown(keeper) == "hook.tidegate.svc"
