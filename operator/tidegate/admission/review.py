"""The AdmissionReview of `admission.k8s.io/v1`, in and out."""

from __future__ import annotations

from typing import Any

import msgspec

from tidegate.admission.judge import Verdict

API_VERSION = "admission.k8s.io/v1"


class ReviewError(Exception):
    """A review that cannot be answered: `status` is that of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Group(msgspec.Struct):
    group: str = ""
    version: str = ""
    kind: str = ""
    resource: str = ""


class Request(msgspec.Struct, rename="camel"):
    """What the API server asks about; `object` is None for a deletion."""

    uid: str
    kind: _Group
    resource: _Group
    operation: str = ""
    object: dict[str, Any] | None = None


class _Review(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    request: Request | None = None


def read_review(body: bytes) -> Request:
    """The request of a body. Raises ReviewError: 400 for what cannot be read, 500 for what is not about an Ingress."""
    try:
        review = msgspec.json.decode(body, type=_Review)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ReviewError(400, f"this is no AdmissionReview: {error}") from error
    if review.api_version != API_VERSION or review.kind != "AdmissionReview" or review.request is None:
        raise ReviewError(
            500, f"found {review.kind} of {review.api_version}, allowed: AdmissionReview of {API_VERSION}"
        )
    kind = review.request.kind
    if (kind.group, kind.version, kind.kind) != ("networking.k8s.io", "v1", "Ingress"):
        found = f"{kind.kind} of {kind.group}/{kind.version}"
        raise ReviewError(500, f"found {found}, allowed: Ingress of networking.k8s.io/v1")
    return review.request


def answer(uid: str, verdict: Verdict) -> bytes:
    """The AdmissionReview with the answer."""
    response: dict[str, Any] = {"uid": uid, "allowed": verdict.allowed}
    if not verdict.allowed:
        response["status"] = {
            "status": "Failure",
            "message": verdict.message,
            "reason": "BadRequest",
            "code": 400,
        }
    if verdict.warnings:
        response["warnings"] = list(verdict.warnings)
    return msgspec.json.encode({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response})
