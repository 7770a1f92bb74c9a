"""What is said about certificates that are not valid now, or soon no longer."""

from __future__ import annotations

import pytest
from tidegate.findings import ObjectKey
from tidegate.model import CertificateInfo
from tidegate.report.expiry import Expiry, expiry_findings

DAY = 86400
NOW = 1_800_000_000


def info(begin: int, end: int, secret: str = "n/one") -> CertificateInfo:
    return CertificateInfo(secret, ("a.test",), "somebody", NOW + end * DAY, "1", "ab", not_before=NOW + begin * DAY)


@pytest.mark.parametrize(
    ("begin", "end", "reason"),
    [
        (-30, -1, "CertificateExpired"),
        (-30, 0, "CertificateExpired"),
        (-30, 10, "CertificateExpiresSoon"),
        (1, 90, "CertificateNotYetValid"),
    ],
)
def test_a_certificate_that_is_not_valid_for_long_is_told(begin: int, end: int, reason: str) -> None:
    (finding,) = expiry_findings([("a.test", info(begin, end))], NOW)
    assert (finding.object, finding.reason) == (ObjectKey("Secret", "n", "one"), reason)
    assert "a.test" in finding.message


def test_a_certificate_with_more_than_ten_days_and_our_own_one_are_not_told() -> None:
    assert expiry_findings([("a.test", info(-30, 11)), ("_", info(-30, -1, secret=""))], NOW) == ()


def test_hosts_of_one_secret_are_told_together() -> None:
    rows = [(f"h{number}.test", info(-30, -1)) for number in range(5)]
    (finding,) = expiry_findings(rows, NOW)
    assert "h0.test, h1.test, h2.test and 2 more" in finding.message


def test_hosts_that_are_not_looked_at_again_keep_what_was_said() -> None:
    expiry = Expiry()
    expiry.look({"a.test": (info(-30, -1),), "b.test": (info(-30, 5, "n/two"),), "c.test": (info(-30, 60),)}, NOW)
    assert [finding.object.name for finding in expiry.findings(NOW)] == ["one", "two"]
    expiry.look({"a.test": (info(-1, 60),)}, NOW)
    assert [finding.object.name for finding in expiry.findings(NOW)] == ["two"]
    expiry.look({"b.test": ()}, NOW)
    assert expiry.findings(NOW) == ()


def test_certificate_that_expires_meanwhile_is_said_to_have() -> None:
    expiry = Expiry()
    expiry.look({"a.test": (info(-30, 5),)}, NOW)
    (finding,) = expiry.findings(NOW + 6 * DAY)
    assert finding.reason == "CertificateExpired"
