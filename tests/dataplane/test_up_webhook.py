"""The admission webhook of `tidegate up`: reviews are answered beside the folder that is served."""

from __future__ import annotations

import json
import ssl
import urllib.request
from typing import Any

from dataplane import self_signed, until
from up import Up, free_ports, ingress

GROUP = {"group": "networking.k8s.io", "version": "v1"}


def review(manifest: dict[str, Any]) -> bytes:
    manifest["metadata"]["uid"] = "5a9f0d5e-1111-4222-8333-444455556666"
    request = {
        "uid": "r1",
        "kind": {**GROUP, "kind": "Ingress"},
        "resource": {**GROUP, "resource": "ingresses"},
        "operation": "CREATE",
        "object": manifest,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


def test_a_review_is_answered_by_what_is_served() -> None:
    (port,) = free_ports(1)
    with Up("--validating-webhook", f"127.0.0.1:{port}") as up:
        pair = self_signed("localhost")
        certificate, key = up.base / "tls.crt", up.base / "tls.key"
        certificate.write_text(pair.chain)
        key.write_text(pair.key)
        up.flags += ("--validating-webhook-certificate", str(certificate), "--validating-webhook-key", str(key))
        up.start(ingress("shop", "shop.test"))
        trusting = ssl._create_unverified_context()

        def asked(manifest: dict[str, Any]) -> dict[str, Any]:
            request = urllib.request.Request(
                f"https://127.0.0.1:{port}/", review(manifest), {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, context=trusting, timeout=20) as answer:
                return dict(json.loads(answer.read())["response"])

        def reachable() -> bool:
            try:
                return bool(asked(ingress("other", "other.test"))["allowed"])
            except OSError:
                return False

        until(reachable)
        refused = asked(ingress("other", "other.test", limit_rps="many"))
        assert not refused["allowed"]
        assert "limit-rps" in refused["status"]["message"]
        taken = asked(ingress("other", "shop.test"))
        assert "is already defined in ingress default/shop" in taken["status"]["message"]
        names = {name for name, _, _ in up.samples()}
        assert any("admission" in name for name in names)
